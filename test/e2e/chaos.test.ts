/** A few seconds of `npm run chaos`; with this seed the first faults are a killed worker, a sleeping coordinator, a full disk, a stop of everybody and a dead Redis. */
import { join } from 'node:path';
import { makeDemoDataset } from '../../coordinator/demo/make-dataset.ts';
import { Draws } from '../../shared/random.ts';
import { runAmongFaults, undisturbed } from '../chaos/chaos.ts';
import { emptyReport, table } from '../chaos/report.ts';
import { TestRedis } from '../helpers/redis.ts';
import { canMount, smallDisk, temporaryFolder } from '../helpers/temporary.ts';
import { thorough } from '../helpers/thorough.ts';

const diskBytes = 256 * 1024 * 1024;

thorough('a run among faults of every kind ends with the bytes of an undisturbed one', async (t) => {
  const folder = temporaryFolder(t);
  const data = join(folder, 'images');
  await makeDemoDataset(data, { seed: 1, trainPerClass: 20, valPerClass: 1 });
  const options = {
    data,
    folder,
    redis: await TestRedis.start(t),
    steps: 30,
    disk: canMount ? { folder: smallDisk(t, diskBytes), bytes: diskBytes } : null,
    mtbf: 4,
    longestPause: 2_000,
    draws: new Draws(28_101, 666),
    say: t.log,
  };
  const expected = await undisturbed(options);
  const report = emptyReport();
  t.is(await runAmongFaults(options, report), expected);
  t.log(table(report));
  t.truthy(report.faults.worker, 'a worker was killed');
});
