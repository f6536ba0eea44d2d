import test from 'ava';
import { Redis } from 'ioredis';
import { timeouts } from '../../shared/defaults.ts';
import { names } from '../../shared/wire/protocol.ts';
import { waitForEra } from '../../worker/commands/find-run.ts';
import { TestRedis } from '../helpers/redis.ts';

const run = 'r';

test('a worker whose run ended before it was ready says so soon, and one whose coordinator is slow waits', async (t) => {
  const redis = new Redis((await TestRedis.start(t)).socket);
  t.teardown(() => redis.disconnect());
  const begun = performance.now();
  await t.throwsAsync(waitForEra(redis, run), {
    code: 'COORDINATOR_GONE',
    message: 'Run r ended before this worker was ready.',
  });
  t.true(performance.now() - begun < timeouts.workerStart / 2);

  const era = { term: 2, boot: 1 };
  await redis.set(names.config(run), '{}');
  const waiting = waitForEra(redis, run);
  setTimeout(
    () => redis.mset(names.era(run), JSON.stringify(era), names.token(run), 'secret'),
    2 * timeouts.member,
  );
  t.deepEqual(await waiting, { era, token: 'secret' });
});
