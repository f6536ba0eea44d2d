import { cpSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import ava from 'ava';
import { HttpServer } from '../../shared/process/http-server.ts';
import { Metrics } from '../../shared/process/metrics.ts';
import { WorkerMetrics } from '../../worker/perform/metrics.ts';
import { expressions } from '../helpers/dashboards.ts';
import { possible } from '../helpers/possible.ts';
import { Prometheus, prometheus } from '../helpers/prometheus.ts';
import { TestRedis } from '../helpers/redis.ts';
import { type Command, Stage, tinyImages, tinyRun, trainedSteps, until } from '../helpers/run.ts';
import { canMount, fillDisk, smallDisk } from '../helpers/temporary.ts';
import { testsAll } from '../helpers/thorough.ts';

const test = possible(prometheus !== null, 'Prometheus is missing') ? ava.serial : ava.serial.skip;

/** Where a coordinator says that its metrics are, and the id of its run. */
async function announced(command: Command): Promise<{ address: string; run: string }> {
  const words = /run (\S+) in [\s\S]*?http:\/\/(127\.0\.0\.1:\d+)/;
  await command.until('it says where its metrics are', () => words.test(command.stdout));
  const [, run, address] = words.exec(command.stdout)!;
  return { address: address!, run: run! };
}

/** Metrics of a worker on a GPU, which this machine may not have. Returns their address. */
async function workerOnGpu(t: { teardown: (fn: () => Promise<void>) => void }, run: string): Promise<string> {
  const now = () => performance.now();
  const metrics = new Metrics(now);
  const numerics = {
    backend: 'torch',
    version: '0',
    device: 'cuda',
    processor: 'A GPU',
    threads: 1,
  } as const;
  const worker = new WorkerMetrics({
    metrics,
    run,
    host: 'elsewhere',
    device: 'cuda:0',
    numerics,
    trains: true,
    now,
  });
  worker.named('on-a-GPU');
  const gigabyte = 2 ** 30;
  worker.readFrom({
    step: () => 1,
    blobs: {
      published: { memory: 0, local: 0, tcp: 0, redis: 0 },
      read: { memory: 0, local: 0, tcp: 0, redis: 0 },
    },
    loader: { decoded: { images: 0, bytes: 0 }, ready: 0 },
    vitals: async () => ({
      tensors: 35,
      tensorBytes: gigabyte,
      deviceUsed: 2 * gigabyte,
      deviceTotal: 80 * gigabyte,
    }),
    utilization: () => 0.9,
  });
  const http = await HttpServer.listen('127.0.0.1', 0);
  t.teardown(() => http.close());
  http.serve([metrics.route], (_, error) => {
    throw error;
  });
  return http.address;
}

test('every panel shows data of a run of two workers, and alerts fire where they should', async (t) => {
  const stage = new Stage(t);
  const images = await tinyImages(stage.folder);
  const copy = join(stage.folder, 'copy');
  cpSync(images, copy, { recursive: true });
  const shape = (data: string) => [...tinyRun(data), '--epochs', '1000', '--metrics-port', '0'];
  const often = ['--save-model-secs', '1'];
  const disk = canMount ? smallDisk(t, 256 * 1024 ** 2) : null;
  const local = stage.start('coordinator', [
    ...[...shape(images), ...often, '--cpu-workers', '2'],
    ...['-o', join(disk ?? stage.folder, 'local')],
  ]);
  // Another run, with a learning rate that nothing survives, waits for its worker until Prometheus knows it.
  const redis = await TestRedis.start(t);
  const env = { CORNET_REDIS_URL: redis.url };
  const blowsUp = stage.start(
    'coordinator',
    [...shape(copy), '--lr', '1e30', '--cpu-workers', '0', '-o', join(stage.folder, 'blows-up')],
    env,
  );
  const [first, second] = [await announced(local), await announced(blowsUp)];
  const server = await Prometheus.start(t, {
    coordinators: [first.address, second.address],
    others: [await workerOnGpu(t, first.run)],
  });
  const value = async (expression: string) => (await server.query(expression))[0]?.value ?? 0;

  await local.until(
    'Prometheus has found both workers by itself',
    async () => (await value(`count(cornet_worker_step{run="${first.run}", role="worker"})`)) === 2,
  );
  await local.until('some steps were seen', async () => (await value('max(cornet_steps_total)')) > 5);
  stage.kill(`--run ${first.run}`); // both; others take their places
  await local.until(
    'the run has recovered',
    async () => (await value('max(cornet_recovery_seconds_count)')) > 0,
  );

  const missing = new Set(expressions);
  await local
    .until(`every panel has data, besides ${[...missing].length}`, async () => {
      for (const expression of missing) {
        const { expr } = expression;
        const concrete = expr
          .replaceAll('$__rate_interval', '20s')
          .replaceAll('$run', first.run)
          .replaceAll('$worker', '.+');
        t.notRegex(concrete, /\$/);
        const samples = await server.query(concrete);
        if (samples.some((sample) => Number.isFinite(sample.value))) missing.delete(expression);
      }
      return missing.size === 0;
    })
    .catch((error) =>
      t.fail(`${error.message} Without data: ${[...missing].map(({ where }) => where).join('; ')}`),
    );

  const fires = (alert: string, run: string) => async () =>
    (await server.firing()).some((firing) => firing.alert === alert && firing.run === run);
  if (disk !== null) {
    const makeRoom = fillDisk(disk);
    await until('a checkpoint that fails is an alert', fires('CornetCheckpointFails', first.run));
    makeRoom();
  }
  // Its workers stand still: no update, no checkpoint, and after a while both are dropped.
  const workers = stage.processes(`--run ${first.run}`);
  for (const pid of workers) process.kill(pid, 'SIGSTOP');
  await until('no update is an alert', fires('CornetStandsStill', first.run));
  await until('an old checkpoint is an alert', fires('CornetCheckpointTooOld', first.run));
  await until('members that flap are an alert', fires('CornetMembersFlap', first.run));
  // They go on, and find that a disk has lost the images.
  for (const name of readdirSync(images, { recursive: true, encoding: 'utf8' })) {
    const path = join(images, name);
    if (statSync(path).isFile()) writeFileSync(path, Buffer.alloc(statSync(path).size));
  }
  for (const pid of workers) process.kill(pid, 'SIGCONT');
  const worker = stage.start('worker', ['start'], env);
  await until('a run that failed is an alert', fires('CornetRunFailed', first.run));
  await until('a loss that is not finite is an alert', fires('CornetLossNotFinite', second.run));
  t.false(await fires('CornetRunFailed', second.run)());
  t.is(await local.ended, 1);
  t.regex(local.stderr, /\[IMAGE_UNREADABLE\]/);
  t.is(await blowsUp.ended, 1);
  t.regex(
    blowsUp.stderr,
    /not finite at step \d+, lane \d+ \(epoch 0: (train\/\w+\/\w+\.JPEG(, )?){4}\)\. \[NOT_FINITE\]\nStart a new run with a lower --lr /,
  );
  t.is(await worker.ended, 0, worker.stderr);
});

(testsAll ? test : ava.serial.skip)(
  'a coordinator that is killed is an alert, one that ends or is stopped is none, and Redis away is one',
  async (t) => {
    const stage = new Stage(t);
    const redis = await TestRedis.start(t);
    const env = { CORNET_REDIS_URL: redis.url };
    const output = join(stage.folder, 'run');
    const images = await tinyImages(stage.folder);
    const often = ['--epochs', '1000', '--save-model-secs', '1', '--cpu-workers', '1', '-o', output];
    const first = stage.start('coordinator', [...tinyRun(images), ...often, '--metrics-port', '0'], env);
    const { address, run } = await announced(first);
    // Somebody else's run on the same machine, which Prometheus is not to read.
    const other = stage.start(
      'coordinator',
      [...tinyRun(images), '--metrics-port', '0', '--cpu-workers', '0', '-o', join(stage.folder, 'other')],
      env,
    );
    const { address: elsewhere, run: stranger } = await announced(other);
    const server = await Prometheus.start(t, { coordinators: [address, elsewhere], runs: run });
    const seen = async (term: number) =>
      (await server.query(`count_over_time(cornet_term{run="${run}"}[10s]) > 2 and cornet_term == ${term}`))
        .length === 1;
    const fires = async (alert: string) => (await server.firing()).some((firing) => firing.alert === alert);
    const quietly = async () => {
      for (let i = 0; i < 8; i++) {
        t.false(await fires('CornetCoordinatorGone'));
        await sleep(1_000);
      }
    };
    await first.until('it is scraped', () => seen(1));
    await redis.kill();
    await first.until('Redis away is an alert', () => fires('CornetRedisAway'));
    await redis.start();
    await first.until('and is over', async () => !(await fires('CornetRedisAway')));

    first.signal('SIGINT');
    t.is(await first.ended, 75, first.stderr);
    t.regex(first.stderr, /Waiting at most \d+ s for Prometheus to read the last metrics\./);
    t.is((await server.query(`last_over_time(cornet_ended_term{run="${run}"}[1m])`))[0]?.value, 1);
    await quietly();

    const port = new URL(`http://${address}`).port;
    const resume = ['start', '--resume', '-o', output, '--metrics-port', port];
    const second = stage.start('coordinator', resume, env);
    await second.until('it is scraped again', () => seen(2));
    second.signal('SIGKILL');
    await second.ended;
    await until('a coordinator that was killed is an alert', () => fires('CornetCoordinatorGone'));
    const { length } = await server.query(`{run="${stranger}"}`);
    t.is(length, 0, 'the run of somebody else is not read');
    other.signal('SIGINT');
    t.is(await other.ended, 75, other.stderr);

    const third = stage.start('coordinator', resume, env);
    await third.until('it is back', () => seen(3));
    await third.until('the alert is over', async () => !(await fires('CornetCoordinatorGone')));
    third.signal('SIGTERM');
    t.is(await third.ended, 75, third.stderr);
    const last = [...resume, '--max-steps', String(trainedSteps(output).at(-1)! + 400)];
    const fourth = stage.start('coordinator', last, env);
    await fourth.until('it is scraped to its end', () => seen(4));
    t.is(await fourth.ended, 0, fourth.stderr);
    await quietly();
  },
);
