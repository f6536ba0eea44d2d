/** What metrics cost: what a step spends on counting, and what a reading takes. */
import { RunMetrics } from '../../coordinator/metrics/run-metrics.ts';
import type { Run } from '../../coordinator/protocol/run.ts';
import type { RunAction, RunEvent } from '../../coordinator/protocol/run-events.ts';
import { Metrics } from '../../shared/process/metrics.ts';
import type { RunConfig } from '../../shared/run-config.ts';
import { type StepPhase, WorkerMetrics } from '../../worker/perform/metrics.ts';
import { median, type Row } from './measure.ts';

const rounds = 7;
const steps = 2_000;
const now = () => performance.now();
const numerics = { backend: 'torch', version: '0', device: 'cpu', processor: 'a CPU', threads: 1 } as const;
const report = {
  loss: 1,
  top1: 0,
  top5: 0,
  count: 8,
  classes: [],
  seconds: { upload: 0.001, forward: 0.1, backward: 0.2, queued: 0.3 },
};
const phases: readonly StepPhase[] = [
  'data',
  'publish',
  'fetch_vectors',
  'reduce',
  'publish',
  'fetch_slices',
  'apply',
];

export async function benchMetrics(): Promise<Row[]> {
  const rows: Row[] = [];
  for (const workers of [2, 32]) {
    const { metrics, watch, run } = runMetrics(workers);
    rows.push(
      row(
        `metrics of a step in the coordinator, ${workers} workers`,
        await perStep(() => oneStep(watch, run, workers)),
      ),
    );
    rows.push(await reading(`a scrape of the coordinator's metrics, ${workers} workers`, metrics));
  }
  const metrics = new Metrics(now);
  const worker = new WorkerMetrics({
    metrics,
    run: 'r',
    host: 'here',
    device: 'cpu',
    numerics,
    trains: true,
    now,
  });
  worker.named('w');
  const workerStep = async () => {
    for (const phase of phases) await worker.timing(phase, Promise.resolve());
    worker.computed(0, report);
  };
  rows.push(row('metrics of a step in a worker', await perStep(workerStep)));
  rows.push(await reading("a scrape of a worker's metrics", metrics));
  return rows;
}

function runMetrics(count: number) {
  const metrics = new Metrics(now);
  const workers = Array.from({ length: count }, (_, i) => {
    return { id: `worker-${i}`, status: 'member', lanes: [i], hello: { host: 'here' } };
  });
  const run = { phase: 'computing', step: 0, generation: 1, workers };
  const config = {
    run: 'r',
    term: 1,
    version: '0',
    backend: 'torch',
    result: { model: 'Z', precision: 'fp32', trainImages: 80, batchSize: 8 },
    options: { epochs: 2, maxSteps: null, saveModelSeconds: 600 },
  } as RunConfig;
  const watch = new RunMetrics({
    metrics,
    config,
    run: run as unknown as Run,
    outages: { outage: null },
    now,
    clock: () => Date.now(),
  });
  return { metrics, watch, run };
}

/** What the coordinator is told in a step: every worker's vector, slice and update, and beats in between. */
function oneStep(watch: RunMetrics, run: { phase: string }, workers: number): void {
  const message = { type: 'message', message: { type: 'vector' } } as RunEvent;
  const job = { type: 'job' } as RunAction;
  const done: RunAction = {
    type: 'step-done',
    learningRate: 0.1,
    members: workers,
    metrics: { step: 0, loss: 1, top1: 0, top5: 0, count: 8 },
  };
  for (const phase of ['computing', 'reducing', 'applying']) {
    run.phase = phase;
    for (let i = 0; i < workers; i++) watch.saw(message, []);
  }
  run.phase = 'computing';
  watch.saw(message, [done, ...Array.from({ length: workers }, () => job)]);
}

/** Microseconds. */
async function perStep(step: () => void | Promise<void>): Promise<number> {
  const times: number[] = [];
  for (let round = 0; round < rounds; round++) {
    const since = now();
    for (let i = 0; i < steps; i++) await step();
    times.push(((now() - since) / steps) * 1000);
  }
  return median(times);
}

async function reading(what: string, metrics: Metrics): Promise<Row> {
  const times: number[] = [];
  let text = '';
  for (let round = 0; round < 10 * rounds; round++) {
    const since = now();
    text = await metrics.text();
    times.push(now() - since);
  }
  const kilobytes = (Buffer.byteLength(text) / 1000).toFixed(0);
  return {
    what: `${what}: time, size`,
    ours: `${median(times).toFixed(1)} ms, ${kilobytes} kB`,
    peer: '-',
    ratio: null,
  };
}

function row(what: string, microseconds: number): Row {
  return { what, ours: `${microseconds.toFixed(1)} µs`, peer: '-', ratio: null };
}
