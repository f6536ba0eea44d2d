import test from 'ava';
import { RunMetrics } from '../../coordinator/metrics/run-metrics.ts';
import type { PhaseName } from '../../coordinator/protocol/phase.ts';
import type { Run } from '../../coordinator/protocol/run.ts';
import type { RunAction } from '../../coordinator/protocol/run-events.ts';
import { Metrics } from '../../shared/process/metrics.ts';
import type { Outage } from '../../shared/redis/outage.ts';
import type { RunConfig } from '../../shared/run-config.ts';

const config = {
  run: 'r',
  term: 1,
  version: '0',
  backend: 'torch',
  result: { model: 'Z', precision: 'fp32', trainImages: 80, batchSize: 8 },
  options: { epochs: 2, maxSteps: null, saveModelSeconds: 600 },
} as RunConfig;

/** Metrics of a run whose phase and clock the test sets. */
function watched() {
  const run = { phase: 'restoring' as PhaseName, step: 0, generation: 1, workers: [] };
  let now = 0;
  const redis: { outage: Outage | null } = { outage: null };
  const metrics = new Metrics(() => now);
  const watch = new RunMetrics({
    metrics,
    config,
    run: run as unknown as Run,
    outages: redis,
    now: () => now,
    clock: () => 1_000_000 + now,
  });
  const after = (milliseconds: number, phase: PhaseName, ...actions: RunAction[]) => {
    now += milliseconds;
    run.phase = phase;
    watch.saw(null, actions);
  };
  const value = async (name: string, labels: Record<string, string> = {}) => {
    const { values } = await metrics.registry
      .getSingleMetric(`cornet_${name.replace(/_(sum|count)$/, '')}`)!
      .get();
    const named = values as { metricName?: string; value: number; labels: Record<string, string> }[];
    return named.find(
      (entry) =>
        (entry.metricName ?? `cornet_${name}`) === `cornet_${name}` &&
        Object.entries(labels).every(([label, wanted]) => entry.labels[label] === wanted),
    )?.value;
  };
  return { watch, after, value, redis, metrics };
}

const stepDone = (step: number): RunAction => ({
  type: 'step-done',
  metrics: { step, loss: 2, top1: 0.25, top5: 0.5, count: 8 },
  learningRate: 0.1,
  members: 2,
});
const lost: RunAction = { type: 'forget-worker', worker: 'w' };

test('a step lasts from update to update, or from its beginning where something lay in between', async (t) => {
  const { after, value } = watched();
  after(1_000, 'computing');
  after(300, 'reducing');
  after(200, 'computing', stepDone(0));
  after(400, 'validating', stepDone(1));
  after(5_000, 'computing');
  after(100, 'computing', stepDone(2));
  t.is(await value('step_seconds_count'), 3);
  t.is(await value('step_seconds_sum'), 0.5 + 0.4 + 0.1);
  t.is(await value('phase_seconds_total', { phase: 'validating' }), 5);
  t.is(await value('phase_seconds_total', { phase: 'computing' }), 0.3 + 0.4 + 0.1);
  t.is(await value('images_total'), 24);
  t.is(await value('last_apply_timestamp_seconds'), 1_007);
});

test('a recovery lasts from the first loss to the next update', async (t) => {
  const { after, value } = watched();
  after(0, 'restoring', { type: 'restore' });
  after(1_000, 'computing');
  after(500, 'computing', stepDone(0));
  t.is(await value('recovery_seconds_count'), 0); // a run that starts has lost nothing
  after(100, 'computing', lost);
  after(700, 'computing', lost);
  after(300, 'computing', stepDone(1));
  t.deepEqual([await value('recovery_seconds_count'), await value('recovery_seconds_sum')], [1, 1]);
  after(0, 'restoring', { type: 'restore' });
  after(2_000, 'computing', stepDone(1));
  t.deepEqual([await value('recovery_seconds_count'), await value('recovery_seconds_sum')], [2, 3]);
  t.is(await value('departures_total'), 2);
});

test('workers that are let go at the end of the run are no departures', async (t) => {
  const { after, value } = watched();
  after(0, 'finished', lost, { type: 'finish', outcome: 'complete' });
  t.is(await value('departures_total'), 0);
});

test('a checkpoint counts when it is on disk', async (t) => {
  const { watch, after, value } = watched();
  const ref = { name: 's', bytes: 5_000, digest: '', at: 'redis' };
  after(1_000, 'computing', { type: 'save', step: 0, ref, last: false });
  after(2_000, 'computing');
  watch.saw({ type: 'saved', step: 0, outcome: 'failed' }, []);
  t.is(await value('checkpoint_timestamp_seconds'), 1_000);
  t.is(await value('checkpoint_failures_total'), 1);
  after(0, 'computing', { type: 'save', step: 1, ref, last: false });
  after(4_000, 'computing');
  watch.saw({ type: 'saved', step: 1, outcome: 'written' }, []);
  t.is(await value('checkpoint_timestamp_seconds'), 1_007);
  t.is(await value('checkpoint_write_seconds_sum'), 4);
  t.is(await value('checkpoint_size_bytes'), 5_000);
});

test('a device whose worker cannot start is counted', async (t) => {
  const { watch, value } = watched();
  watch.saw({ type: 'device-given-up', device: 'cuda:1', lastWords: 'no such GPU', left: 1 }, []);
  t.is(await value('given_up_workers', { device: 'cuda:1' }), 1);
});

test('while Redis is away that is the phase, and a step that lasts through it is one step', async (t) => {
  const { watch, after, value, redis, metrics } = watched();
  after(1_000, 'computing');
  redis.outage = { how: 'lost', seconds: 0 };
  watch.beat();
  after(10_000, 'computing');
  await metrics.text();
  t.is(await value('phase', { phase: 'redis_away' }), 1);
  t.is(await value('phase', { phase: 'computing' }), 0);
  redis.outage = null;
  watch.beat();
  await metrics.text();
  t.is(await value('phase', { phase: 'redis_away' }), 0);
  after(2_000, 'computing', stepDone(0));
  t.is(await value('phase_seconds_total', { phase: 'redis_away' }), 10);
  t.is(await value('phase_seconds_total', { phase: 'computing' }), 2);
  t.is(await value('step_seconds_sum'), 12);
});

test('a term that has ended says so, whether it ended well or not', async (t) => {
  const { watch, value } = watched();
  t.deepEqual([await value('term'), await value('ended_term')], [1, 0]);
  await watch.ended();
  t.is(await value('ended_term'), 1);
  const failing = watched();
  await failing.watch.failed('DISK_FULL');
  t.deepEqual([await failing.value('failed'), await failing.value('ended_term')], [1, 1]);
});

test('of the words for how the run is, one is 1', async (t) => {
  const { watch, value } = watched();
  watch.isHow('SLOW');
  watch.isHow('OK');
  t.deepEqual([await value('health', { word: 'OK' }), await value('health', { word: 'SLOW' })], [1, 0]);
});
