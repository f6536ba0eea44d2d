/** The live page of a run that is made up: its files as a coordinator serves them, and what its stream says. */
import type { ServerResponse } from 'node:http';
import type { ExecutionContext } from 'ava';
import type { CheckpointView, CurvePoint, PageUpdate, RunView } from '../../coordinator/view/run-view.ts';
import { LivePage, type LivePageOptions } from '../../coordinator/watch/live-page.ts';
import { HttpServer, type Route } from '../../shared/process/http-server.ts';
import { aView } from './a-view.ts';

export interface PageServer {
  url: string;
  send: (update: PageUpdate) => void;
  /** As a coordinator that is killed. */
  stop: () => Promise<void>;
}

/** @param whole what each page that comes is told first */
export async function servePage(t: ExecutionContext, whole: PageUpdate): Promise<PageServer> {
  const http = await HttpServer.listen('127.0.0.1', 0);
  const streams: ServerResponse[] = [];
  const message = (update: PageUpdate) => `data: ${JSON.stringify(update)}\n\n`;
  const events: Route = {
    method: 'GET',
    path: '/events',
    handler: (_, response) => {
      response.writeHead(200, { 'Content-Type': 'text/event-stream' });
      response.write(`retry: 600000\n${message(whole)}`);
      streams.push(response);
    },
  };
  // Its files ask nothing of a run.
  const { routes } = new LivePage({ token: null } as LivePageOptions);
  const others = routes.filter(({ path }) => path !== events.path);
  http.serve([...others, events], (path, error) => t.log(path, error));
  let running = true;
  const stop = async () => {
    if (running) await http.close();
    running = false;
  };
  t.teardown(stop);
  const send = (update: PageUpdate) => {
    for (const stream of streams) stream.write(message(update));
  };
  return { url: `http://${http.address}/`, send, stop };
}

const stepsPerEpoch = 20;
const epochs = 40;

/** A number from 0 to 1 that looks drawn at random, and is the same each time. */
function noise(i: number): number {
  const x = 1e4 * Math.sin(12.9898 * (i + 1));
  return x - Math.floor(x);
}

/** In the middle of a long run on two hosts, resumed at `resumedAt`. */
export function aLongRun({
  step = 330,
  resumedAt = 0,
} = {}): Required<Omit<PageUpdate, 'health' | 'ended' | 'failed'>> {
  const points = Array.from({ length: step }, (_, i): CurvePoint => {
    const loss = 0.6 + 1.7 * Math.exp(-i / 90) + 0.5 * noise(i);
    const top1 = 0.8 * (1 - Math.exp(-i / 120)) * (0.8 + 0.4 * noise(i + 7));
    const imagesPerSecond = i < resumedAt || i === 0 ? null : 34 + 8 * noise(i + 3);
    return { step: i + 1, loss, low: loss, high: loss, top1, imagesPerSecond };
  });
  const validations = Array.from({ length: Math.floor((2 * step) / stepsPerEpoch) }, (_, i) => ({
    step: (stepsPerEpoch / 2) * (i + 1),
    loss: 0.7 + 1.6 * Math.exp(-i / 9),
    top1: 0.75 * (1 - Math.exp(-(i + 1) / 12)),
    top5: 1 - 0.5 * Math.exp(-(i + 1) / 4),
  }));
  const checkpoints = Array.from({ length: Math.floor(step / 40) }, (_, i): CheckpointView => {
    const at = 40 * (i + 1);
    const file = `step-${String(at).padStart(8, '0')}.safetensors`;
    return { file, step: at, kept: i % 2 === 1, best: i === 2, top1: 0.3 + 0.05 * i };
  });
  const view: RunView = {
    ...aView,
    at: '2026-03-04T14:04:31.000Z',
    step,
    steps: epochs * stepsPerEpoch,
    epoch: step / stepsPerEpoch,
    epochs,
    workers: aView.workers.map((worker, lane) => ({
      ...worker,
      id: `worker${lane}`,
      lanes: [lane],
      host: `node${lane}`,
      processor: 'Some Processor With A Long Name, AVX512',
    })),
    loss: points.at(-1)?.loss ?? null,
    top1: points.at(-1)?.top1 ?? null,
    learningRate: 0.01,
    secondsLeft: 571,
    validation: validations.at(-1) ?? null,
    best: { step: 120, top1: 0.9 },
    shares: [
      { phase: 'computing', share: 0.6 },
      { phase: 'reducing', share: 0.2 },
      { phase: 'applying', share: 0.12 },
      { phase: 'validating', share: 0.08 },
    ],
  };
  const events = Array.from({ length: 30 }, (_, i) => ({
    at: new Date(Date.parse(view.at) - 1000 * (30 - i)).toISOString(),
    level: i % 7 === 3 ? ('warn' as const) : ('info' as const),
    message: `Worker worker${i % 2} (node${i % 2}, process 2, Some Processor With A Long Name, AVX512) is there.`,
  }));
  const facts = {
    join: null,
    resume: { how: 'Continue with:', command: 'coordinator start --resume --output-path /runs/long' },
    command: 'coordinator start --model Z --data-path /data/images --output-path runs/long',
    tunnel: 'ssh -L 9464:127.0.0.1:9464 node0',
    options: [['data', '/data/images: 640 training and 100 validation images, 10 classes']] as [
      string,
      string,
    ][],
    startedAt: '2026-03-04T13:50:00.000Z',
    resumed: resumedAt > 0,
    stepsPerEpoch,
    batchSize: 32,
    lanes: 2,
    schedule: { schedule: 'step' as const, warmupEpochs: 0, stepSize: 10, scheduleEpochs: null },
    checkpointsPath: '/runs/long/checkpoints',
    control: false,
  };
  return { facts, view, curve: { from: 0, points }, validations, events, checkpoints };
}

/** The same with four GPUs on each of its hosts; one of them tells little of itself. */
export function aRunOnGpus(): ReturnType<typeof aLongRun> {
  const run = aLongRun();
  const workers = Array.from({ length: 8 }, (_, i) => ({
    ...run.view.workers[0]!,
    id: `worker${i}`,
    lanes: [2 * i, 2 * i + 1],
    host: `gpu-node-${i % 2 === 0 ? 2 : 10}.cluster.example`,
    device: 'cuda',
    processor: 'NVIDIA H100 80GB HBM3',
    imagesPerSecond: i === 3 ? null : 300 + i,
    gpu: {
      utilization: i === 7 ? null : 0.8 + i / 100,
      memoryUsed: i === 7 ? null : (60 + i) * 1e9,
      memoryTotal: i === 7 ? null : 85.5e9,
      temperature: i === 7 ? null : 60 + i,
    },
  }));
  return { ...run, facts: { ...run.facts, lanes: 16 }, view: { ...run.view, workers } };
}

/** The same before its first step: it waits for a worker. */
export function aWaitingRun(): ReturnType<typeof aLongRun> {
  const run = aLongRun({ step: 0 });
  const command = `worker start --redis redis://head.cluster.example:6379 --run long --data-path /data/images`;
  run.facts.join = { how: 'To add a worker on this host or another one, run:', command };
  run.view = {
    ...run.view,
    phase: 'waiting',
    phaseSeconds: 8,
    sentence: 'Waiting at step 0 for a worker to join, 8.0 s so far.',
    workers: [],
    learningRate: null,
    imagesPerSecond: null,
    secondsLeft: null,
    usual: null,
    best: null,
    shares: [],
  };
  return { ...run, events: run.events.slice(0, 2), checkpoints: [] };
}
