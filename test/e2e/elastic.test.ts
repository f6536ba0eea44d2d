/** What happens to the workers and to Redis in the middle of a run changes no byte of the last checkpoint. */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import test, { type ExecutionContext } from 'ava';
import { Redis } from 'ioredis';
import { fleet, timeouts } from '../../shared/defaults.ts';
import { type CarrierName, carrierOf, downMessage, names, upMessage } from '../../shared/wire/protocol.ts';
import { possible } from '../helpers/possible.ts';
import { processes } from '../helpers/processes.ts';
import { TestRedis } from '../helpers/redis.ts';
import {
  type Command,
  checkpoint,
  metricsOf,
  pausedAt,
  Stage,
  timesOf,
  tinyImages,
  tinyRun,
  tinySteps,
  trainedSteps,
  until,
} from '../helpers/run.ts';
import { temporaryFolder } from '../helpers/temporary.ts';
import { nightlySerial, thoroughSerial } from '../helpers/thorough.ts';

const lanes = ['--lanes', '4'];
/** Milliseconds for which a run pauses at least, step by step: its workers load what they were told to load. */
const slowMotion = 200;
const everyStep = Array.from({ length: tinySteps }, (_, i) => i + 1);
let shared: { folder: string; images: string; weights: Buffer; metrics: Record<string, number>[] };

test.before(async () => {
  const folder = mkdtempSync(join(tmpdir(), 'cornet-test-'));
  shared = { folder, images: await tinyImages(folder), weights: Buffer.alloc(0), metrics: [] };
});

test.after.always(() => rmSync(shared.folder, { recursive: true }));

interface Play {
  stage: Stage;
  output: string;
  run: Command;
}

/** Starts a run with so many local workers. */
function play(
  t: ExecutionContext,
  workers: number,
  { env = {}, more = [] }: { env?: NodeJS.ProcessEnv; more?: string[] } = {},
): Play {
  const stage = new Stage(t);
  const output = join(stage.folder, 'run');
  const argv = [...tinyRun(shared.images), ...lanes, '--cpu-workers', String(workers), ...more, '-o', output];
  return { stage, output, run: stage.start('coordinator', argv, env) };
}

function joined(run: Command): number {
  return timesOf(run.stdout, / joined\./g);
}

/** Has a run that is `pausedAt('*')` do one more step, and pause again. */
async function nextStep({ output, run }: Play): Promise<void> {
  await sleep(slowMotion);
  rmSync(join(output, 'fault')); // a fault happens once per marker
  run.resume();
  await run.until('the step was done', () => existsSync(join(output, 'fault')));
  await run.paused();
}

/** The run ends as the undisturbed one did. */
async function assertSame(t: ExecutionContext, { output, run }: Play): Promise<void> {
  t.is(await run.ended, 0, run.stdout + run.stderr);
  t.deepEqual(trainedSteps(output), everyStep);
  t.deepEqual(metricsOf(output), shared.metrics);
  t.true(checkpoint(output, tinySteps).equals(shared.weights));
}

/** Ids of the workers that have said hello, as Redis holds it: they wait for a coordinator that stands still. */
async function greetings(url: string, output: string): Promise<string[]> {
  const messages = await sent('up', url, output);
  return messages.flatMap((message) => {
    const { data } = upMessage.safeParse(message);
    return data?.type === 'hello' ? [data.worker] : [];
  });
}

/** Has the coordinator told the workers that one of them is dropped? Its log says so before the message is under way. */
async function dropIsTold(url: string, output: string): Promise<boolean> {
  const messages = await sent('down', url, output);
  return messages.some((message) => {
    const { data } = downMessage.safeParse(message);
    return data?.type === 'members' && data.dropped.length > 0;
  });
}

async function sent(stream: 'up' | 'down', url: string, output: string): Promise<unknown[]> {
  const { run } = JSON.parse(readFileSync(join(output, 'config.json'), 'utf8')) as { run: string };
  const redis = new Redis(url.replace('unix://', ''));
  try {
    const entries = await redis.xrange(names[stream](run), '-', '+');
    return entries.map(([, [, text]]) => JSON.parse(text!));
  } finally {
    redis.disconnect();
  }
}

test.serial('four lanes on a single worker: the run that all others are compared with', async (t) => {
  const single = play(t, 1);
  t.is(await single.run.ended, 0, single.run.stderr);
  t.deepEqual(trainedSteps(single.output), everyStep);
  shared.metrics = metricsOf(single.output);
  shared.weights = checkpoint(single.output, tinySteps);
});

for (const [workers, how, run] of [
  [2, 'two each', thoroughSerial],
  [3, 'one of them serves two', test.serial],
  [4, 'one each', nightlySerial],
  [6, 'two of them are spares', nightlySerial],
] as const) {
  run(`four lanes on ${workers} workers (${how}) give the same bytes`, async (t) => {
    await assertSame(t, play(t, workers));
  });
}

thoroughSerial('shards that a second worker computes, too, to be compared give the same bytes', async (t) => {
  for (const workers of [2, 3]) {
    const played = play(t, workers, { more: ['--audit', '1/2'] });
    await assertSame(t, played);
    const log = readFileSync(join(played.output, 'log.jsonl'), 'utf8');
    const audited = log.split('"audited":1').length - 1;
    t.true(audited > tinySteps && audited < 3 * tinySteps, `${audited} of ${4 * tinySteps}`);
    t.false(log.includes('"recomputed"'));
  }
});

/** How the vectors of the last step travel, as far as they are there. */
async function lastVectors(url: string, output: string): Promise<Set<CarrierName>> {
  const messages = await sent('up', url, output);
  const vectors = messages.flatMap((message) => {
    const { data } = upMessage.safeParse(message);
    return data?.type === 'vector' && data.ref !== null ? [data] : [];
  });
  const last = Math.max(...vectors.map(({ step }) => step));
  return new Set(vectors.filter(({ step }) => step === last).map(({ ref }) => carrierOf(ref!)));
}

const inOwnProcesses = ['unshare', '--pid', '--fork', '--mount-proc', '--kill-child'];

(possible(canRun(inOwnProcesses), 'no PID namespaces: root is needed') ? test.serial : test.serial.skip)(
  'vectors stay in shared memory until a worker comes that cannot map it, as in a container, to the same bytes',
  async (t) => {
    const redis = await TestRedis.start(t);
    const env = { CORNET_REDIS_URL: redis.url };
    const played = play(t, 2, { env: { ...env, ...pausedAt('*') } });
    const { stage, output, run } = played;
    await run.paused();
    while (joined(run) < 2) await nextStep(played);
    for (let i = 0; i < 2; i++) await nextStep(played);
    t.deepEqual(await lastVectors(redis.url, output), new Set(['memory']));
    const stranger = stage.start('worker', ['start'], env, inOwnProcesses);
    await until('it has said hello', async () => (await greetings(redis.url, output)).length === 3);
    while (joined(run) < 3) await nextStep(played);
    for (let i = 0; i < 2; i++) await nextStep(played);
    t.deepEqual(await lastVectors(redis.url, output), new Set(['local']));
    run.resume();
    await assertSame(t, played);
    t.is(await stranger.ended, 0, stranger.stderr);
  },
);

function canRun([program, ...argv]: readonly string[]): boolean {
  return spawnSync(program!, [...argv, 'true']).status === 0;
}

thoroughSerial('workers from elsewhere join in mid-run and leave again', async (t) => {
  const redis = await TestRedis.start(t);
  const env = { CORNET_REDIS_URL: redis.url };
  const played = play(t, 1, { env: { ...env, ...pausedAt('*') } });
  const { stage, output, run } = played;
  await run.paused(); // so that the newcomers find it in mid-run, however long they take to start
  const guests = Array.from({ length: 4 }, () => stage.start('worker', ['start'], env));
  await until('all have said hello', async () => (await greetings(redis.url, output)).length === 5);
  while (joined(run) < 5) await nextStep(played);
  await nextStep(played);
  for (const guest of guests.slice(0, 3)) guest.signal('SIGTERM');
  run.resume();
  for (const guest of guests.slice(0, 3)) t.is(await guest.ended, 0, guest.stderr);
  await assertSame(t, played);
  t.is(run.stdout.split(/ asks to leave: received SIGTERM/).length - 1, 3);
  t.is(run.stdout.split(/ drained\./).length - 1, 3);
  t.is(await guests[3]!.ended, 0);
});

thoroughSerial(
  'a worker that stands still is replaced, and when it wakes up it joins under a new id',
  async (t) => {
    const redis = await TestRedis.start(t);
    const played = play(t, 2, { env: { CORNET_REDIS_URL: redis.url, ...pausedAt('*') } });
    const { stage, output, run } = played;
    await run.paused();
    const sleeper = stage.processes('worker/main.js')[0]!;
    process.kill(sleeper, 'SIGSTOP');
    await nextStep(played); // which the other does alone: the sleeper is dropped
    t.regex(run.stdout, /was dropped: not heard for \d+\.\d s \(limit 5\.0 s\)/);
    await until('the workers know', () => dropIsTold(redis.url, output));
    process.kill(sleeper, 'SIGCONT');
    await until('it has said hello again', async () => (await greetings(redis.url, output)).length === 3);
    while (joined(run) < 3) await nextStep(played);
    run.resume();
    await assertSame(t, played);
    const all = [...run.stdout.matchAll(/Worker (\S+) \(\S+, process (\d+),(?:.*) joined\./g)];
    const ids = all.filter(([, , pid]) => Number(pid) === sleeper).map(([, id]) => id);
    t.is(new Set(ids).size, 2, run.stdout);
  },
);

thoroughSerial('all workers die in one step: the run goes on from its last checkpoint', async (t) => {
  const played = play(t, 2, { env: pausedAt(10) });
  const { stage, run } = played;
  await run.paused(); // it hears of both deaths at once
  stage.kill('worker/main.js');
  run.resume();
  await assertSame(t, played);
  t.regex(run.stdout, /No worker is left: the run goes back to its last checkpoint/);
});

test.serial('a private redis-server that dies is started again, and the run goes on', async (t) => {
  const played = play(t, 2, { env: pausedAt(3) });
  const { stage, run } = played;
  await run.paused();
  stage.kill('redis-server');
  run.resume();
  await assertSame(t, played);
  t.regex(run.stdout, /The private redis-server died: it was ended by SIGKILL\. It is restarted, empty\./);
  // Empty no more, if a worker's messages were missed first: the roll call for that has written the era anew.
  t.regex(
    run.stdout,
    /Redis (came back empty|was started again or has failed over): all workers report the step they hold\./,
  );
  t.notRegex(run.stdout, /was dropped/);
});

nightlySerial('a Redis that comes back with what it had saved a while ago stops nobody', async (t) => {
  const redis = await TestRedis.start(t, ['--save', '3600', '1', '--dir', temporaryFolder(t)]);
  const played = play(t, 2, { env: { CORNET_REDIS_URL: redis.url, ...pausedAt('*') } });
  const { run } = played;
  await run.paused();
  const client = new Redis(redis.socket);
  await client.save();
  client.disconnect();
  for (let step = 0; step < 3; step++) await nextStep(played);
  await redis.kill();
  run.resume();
  await run.until('it is away', () => /Redis at unix:\S+ is away/.test(run.stdout));
  await redis.start();
  await assertSame(t, played);
  t.regex(run.stdout, /Redis was started again or has failed over: all workers report the step they hold\./);
  t.notRegex(run.stdout, /was dropped/);
});

thoroughSerial(
  'a local worker that dies while Redis is away for long is replaced when it is back',
  async (t) => {
    const redis = await TestRedis.start(t);
    const played = play(t, 2, { env: { CORNET_REDIS_URL: redis.url, ...pausedAt(3) } });
    const { stage, run } = played;
    await run.paused();
    await redis.kill();
    run.resume();
    await run.until('it is away', () => /Redis at unix:\S+ is away/.test(run.stdout));
    process.kill(stage.processes('worker/main.js')[0]!, 'SIGKILL');
    // Its successors find no Redis, and end: more often than a worker may that cannot work at all.
    await sleep(fleet.backOff * 2 ** (fleet.failures + 1) + timeouts.member);
    await redis.start();
    await assertSame(t, played);
    t.regex(run.stdout, /was dropped: its process ended \(killed by SIGKILL\)/);
  },
);

test.serial(
  'Redis is killed and comes back empty, then stands still for longer than the member timeout',
  async (t) => {
    const redis = await TestRedis.start(t);
    const played = play(t, 2, { env: { CORNET_REDIS_URL: redis.url, ...pausedAt('*') } });
    const { run } = played;
    await run.paused();
    await redis.kill();
    const paused = nextStep(played);
    await run.until('it is away', () => /Redis at unix:\S+ is away/.test(run.stdout));
    await redis.start();
    await paused;
    redis.pause();
    run.resume();
    // The pause is what is tested: anybody who was judged by a clock that ran meanwhile would be dropped.
    await sleep(timeouts.member + 2 * timeouts.beat);
    redis.resume();
    await assertSame(t, played);
    t.regex(run.stdout, /all workers report the step they hold/);
    t.regex(run.stdout, /Redis at unix:\S+ does not answer; waiting for it\./);
    t.regex(run.stdout, /Redis at unix:\S+ answers again after \d\.\d s\./);
    t.notRegex(run.stdout, /was dropped/);
  },
);

thoroughSerial(
  'coordinator and Redis die together: a worker from elsewhere serves the resumed run',
  async (t) => {
    const redis = await TestRedis.start(t);
    const env = { CORNET_REDIS_URL: redis.url };
    const { stage, output, run } = play(t, 1, { env: { ...env, ...pausedAt(1) } });
    await run.paused(); // so that the newcomer finds it in mid-run, however long it takes to start
    const guest = stage.start('worker', ['start'], env);
    await until('it has said hello', async () => (await greetings(redis.url, output)).length === 2);
    run.signal('SIGKILL');
    await run.ended;
    await redis.kill();
    await redis.start();
    const resumed = stage.start(
      'coordinator',
      ['start', '--resume', '--cpu-workers', '1', '-o', output],
      env,
    );
    await assertSame(t, { stage, output, run: resumed });
    t.is(await guest.ended, 0, guest.stderr);
  },
);

thoroughSerial(
  'a shard at which three workers die ends the run, and is named with its samples',
  async (t) => {
    const { output, run } = play(t, 1, { env: { CORNET_FAULT: 'computing@2:0' } });
    const marker = join(output, 'fault');
    for (let death = 1; death < 3; death++) {
      await run.until(`worker ${death} has died`, () => existsSync(marker));
      rmSync(marker); // a fault happens once per marker
      await run.until('its successor is there', () => joined(run) === death + 1);
    }
    t.is(await run.ended, 1);
    t.regex(
      run.stderr,
      /^error: 3 workers died, or something failed on their hosts, one after the other, at step 2, lane 0 \(epoch 0: train\/\w+\/\w+\.JPEG, train\/\w+\/\w+\.JPEG\)\. The last one: its process ended \(killed by SIGKILL\)\. \[POISON_SHARD\]\n/,
    );
  },
);

nightlySerial('a worker from elsewhere whose process is killed says so, and the run goes on', async (t) => {
  const redis = await TestRedis.start(t);
  const env = { CORNET_REDIS_URL: redis.url };
  const played = play(t, 1, { env: { ...env, ...pausedAt(1) } });
  const { stage, output, run } = played;
  await run.paused(); // so that the newcomer finds it in mid-run
  const guest = stage.start('worker', ['start'], env);
  await until('it has said hello', async () => (await greetings(redis.url, output)).length === 2);
  const own = processes().find(({ parent }) => parent === guest.child.pid)!;
  process.kill(own.pid, 'SIGKILL');
  run.resume();
  t.is(await guest.ended, 1);
  t.regex(guest.stderr, /^error: The process of this worker was killed by SIGKILL\. \[WORKER_KILLED\]\n/m);
  await assertSame(t, played);
});
