import { hostname } from 'node:os';
import { type AnyConfig, labelsOf } from '../../shared/run-config.ts';
import type { CheckpointRecord, CheckpointRecords } from '../checkpoints/checkpoint-records.ts';
import type { Run } from '../protocol/run.ts';
import type { CheckpointView, KeptView, RunView } from './run-view.ts';

/** How a run stands. What is not `measured` is null. */
export function viewOf(
  run: Pick<
    Run,
    | 'phase'
    | 'sentence'
    | 'step'
    | 'totalSteps'
    | 'generation'
    | 'exchange'
    | 'workers'
    | 'departed'
    | 'stopping'
  >,
  config: AnyConfig,
  measured: Partial<RunView>,
  at: Date,
): RunView {
  return {
    run: config.run,
    name: labelsOf(config).name,
    model: `CORnet-${config.result.model}`,
    coordinator: { host: hostname(), pid: process.pid },
    page: null,
    at: at.toISOString(),
    phase: run.phase,
    phaseSeconds: null,
    sentence: run.sentence,
    stopping: run.stopping,
    step: run.step,
    steps: run.totalSteps,
    epoch: null,
    epochs: null,
    images: null,
    generation: run.generation,
    exchange: run.exchange,
    workers: run.workers.map(({ id, status, lanes, owes, draining, hello, figures }) => ({
      id,
      status,
      lanes,
      host: hello.host,
      pid: hello.pid,
      device: hello.numerics.device,
      processor: hello.numerics.processor,
      owes,
      draining,
      imagesPerSecond: figures?.imagesPerSecond ?? null,
      gpu: figures?.gpu ?? null,
    })),
    departed: [...run.departed],
    loss: null,
    top1: null,
    learningRate: null,
    imagesPerSecond: null,
    secondsLeft: null,
    usual: null,
    idleSeconds: null,
    redis: null,
    disk: null,
    checkpoint: null,
    best: null,
    kept: [],
    validation: null,
    shares: [],
    sparkline: [],
    ...measured,
  };
}

/** Those of some checkpoints that stay for good. */
export function keptViews(records: readonly CheckpointRecord[], stepsPerEpoch: number): KeptView[] {
  return records.filter(({ kept }) => kept).map(({ step }) => ({ step, epoch: step / stepsPerEpoch }));
}

/** The checkpoints of a run, oldest first. */
export function checkpointViews({ records, best }: CheckpointRecords): CheckpointView[] {
  return records.map(({ file, step, kept, validation }) => ({
    file,
    step,
    kept,
    best: best?.file === file,
    top1: validation?.top1 ?? null,
  }));
}
