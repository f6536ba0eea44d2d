/** A master that is found through Sentinels, and changes in the middle of a run: everybody waits, and no byte is another. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { checkpoint, metricsOf, Stage, timesOf, tinyImages, tinyRun, trainedSteps } from '../helpers/run.ts';
import { TestSentinels } from '../helpers/sentinels.ts';
import { temporaryFolder } from '../helpers/temporary.ts';
import { nightlySerial, thoroughSerial } from '../helpers/thorough.ts';

/** Long enough for a worker to join and for a failover before the end. */
const shape = ['--image-size', '64', '--epochs', '10', '--save-val-epochs', '10'];
const steps = 80;
let shared: { folder: string; images: string; weights: Buffer; metrics: Record<string, number>[] };

test.before(async () => {
  const folder = mkdtempSync(join(tmpdir(), 'cornet-test-'));
  shared = { folder, images: await tinyImages(folder), weights: Buffer.alloc(0), metrics: [] };
});

test.after.always(() => rmSync(shared.folder, { recursive: true }));

thoroughSerial('an undisturbed run, with which all others are compared', async (t) => {
  const output = join(temporaryFolder(t), 'run');
  const argv = [...tinyRun(shared.images), ...shape, '--cpu-workers', '2', '-o', output];
  const run = new Stage(t).start('coordinator', argv);
  t.is(await run.ended, 0, run.stdout + run.stderr);
  shared.weights = checkpoint(output, steps);
  shared.metrics = metricsOf(output);
});

interface Failover {
  what: string;
  /** Brings it about, while the run goes on. */
  happens: (sentinels: TestSentinels, untilMoreSteps: () => Promise<void>) => Promise<void>;
  nightly?: boolean;
  /** What else is true when it is over. */
  afterwards?: (sentinels: TestSentinels, t: ExecutionContext) => Promise<unknown>;
}

const failovers: Failover[] = [
  {
    what: 'the death of the master',
    happens: ({ data: [master] }) => master.server.kill(),
  },
  {
    what: 'a failover that somebody orders',
    happens: (sentinels) => sentinels.failOver(),
    nightly: true,
  },
  {
    what: 'a master that stands still, and closes no connection',
    nightly: true,
    happens: async ({ data: [master] }) => master.server.pause(),
  },
  {
    what: 'a failover to a replica that lacks what the master had acknowledged',
    happens: async ({ data: [master, replica] }, untilMoreSteps) => {
      replica.server.pause();
      await master.client.call('CLIENT', 'KILL', 'TYPE', 'replica');
      await master.client.set('acknowledged', 'yes');
      await untilMoreSteps();
      await master.server.kill();
      replica.server.resume();
    },
    afterwards: async ({ data: [, replica] }, t) => t.is(await replica.client.get('acknowledged'), null),
  },
];

for (const { what, happens, nightly = false, afterwards } of failovers) {
  const run = nightly ? nightlySerial : thoroughSerial;
  run(`a run goes through ${what}, and ends with the same bytes`, async (t) => {
    const sentinels = await TestSentinels.start(t);
    const stage = new Stage(t);
    const output = join(temporaryFolder(t), 'run');
    const env = { CORNET_REDIS_URL: sentinels.url() };
    const argv = [...tinyRun(shared.images), ...shape, '--cpu-workers', '1', '-o', output];
    const remote = stage.start('worker', ['start', '--wait', '100'], env);
    const run = stage.start('coordinator', argv, env);
    await run.until('both workers are there', () => timesOf(run.stdout, / joined\./g) === 2);
    const trained = () => trainedSteps(output).length;
    const untilMoreSteps = () => {
      const before = trained();
      return run.until('they have trained together', () => trained() > before + 2);
    };
    await untilMoreSteps();
    await happens(sentinels, untilMoreSteps);
    await sentinels.untilMaster(sentinels.data[1]);
    t.true(trained() < steps, 'the run was over too soon');
    await afterwards?.(sentinels, t);
    t.is(await run.ended, 0, run.stdout + run.stderr);
    t.is(await remote.ended, 0, remote.stdout + remote.stderr);
    t.deepEqual(metricsOf(output), shared.metrics);
    t.true(checkpoint(output, steps).equals(shared.weights));
    t.is(timesOf(run.stdout, /is away \(/g), 1, run.stdout);
    t.is(timesOf(run.stdout, /is back after/g), 1, run.stdout);
    t.regex(run.stdout, /has failed over: all workers report the step they hold/);
    t.notRegex(readFileSync(join(output, 'log.jsonl'), 'utf8'), /was dropped/);
  });
}
