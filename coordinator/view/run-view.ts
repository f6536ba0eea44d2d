/**
 * What can be seen of a run: one plain object for the terminal, `coordinator status`, `--json` and the live page. This
 * file is compiled for the browser as well and imports only types.
 */
import type { Outage } from '../../shared/redis/outage.ts';
import type { ResultOptions } from '../../shared/run-config.ts';
import type { GpuFigures } from '../../shared/wire/protocol.ts';
import type { CarrierInUse } from '../protocol/carrier-in-use.ts';
import type { Owed } from '../protocol/debts.ts';
import type { Health } from './health.ts';

/** How a run stands at one moment. */
export interface RunView {
  run: string;
  /** What the user calls it, or null. */
  name: string | null;
  /** `CORnet-Z`, … */
  model: string;
  /** Null: what is known was read from the run's files. */
  coordinator: { host: string; pid: number } | null;
  /** Address of its live page, or null. */
  page: string | null;
  /** When this was true: ISO 8601. */
  at: string;
  /** `redis_away` while there is no Redis, whatever the run was doing. */
  phase: string;
  /** Seconds for which it has been in this phase of this step. */
  phaseSeconds: number | null;
  /** One sentence: what the run is doing, what it waits for, since when. */
  sentence: string;
  /** Updates done, and those of the whole run. */
  step: number;
  steps: number;
  /** `step` in epochs, and those of the whole run; null in a run without steps. */
  epoch: number | null;
  epochs: number | null;
  /** Images that are done, of an inference run. */
  images: number | null;
  generation: number;
  /** How vectors travel between the members. */
  exchange: CarrierInUse;
  workers: WorkerView[];
  /** Workers that have left lately and why, the last one last. */
  departed: { id: string; reason: string }[];
  /** Of the last step; top-1 is a fraction. */
  loss: number | null;
  top1: number | null;
  learningRate: number | null;
  /** Over the last minute or so, checkpoints and recoveries included. */
  imagesPerSecond: number | null;
  /** From `at` on, with the validations to come; null: not known yet, or Redis is away. */
  secondsLeft: number | null;
  /** What is usual for this run, over the last half hour or so; null before that is known. */
  usual: { imagesPerSecond: number; stepSeconds: number } | null;
  /** Seconds since the last update or validation, or since the run began or went back. */
  idleSeconds: number | null;
  /** As the coordinator sees it. `answersIn`: seconds that it took to answer a small question, last time. */
  redis: { away: Outage | null; answersIn: number | null } | null;
  disk: DiskView | null;
  /** The latest checkpoint, its age in seconds, and seconds between two checkpoints. */
  checkpoint: { step: number; age: number | null; interval: number } | null;
  /** The checkpoint with the best validation. */
  best: BestView | null;
  /** Checkpoints that stay for good, oldest first. */
  kept: KeptView[];
  validation: { step: number; loss: number; top1: number; top5: number } | null;
  /** Where the time went lately: fractions by phase, largest first. */
  shares: { phase: string; share: number }[];
  /** Loss over the whole run so far, in a few means. */
  sparkline: number[];
  /** Why the run is about to stop, or null. */
  stopping: string | null;
}

interface DiskView {
  /** Why the disk did not take something that is still to be written, or null. */
  trouble: string | null;
  free: number | null;
  /** Bytes of a checkpoint. */
  checkpoint: number;
}

/** A checkpoint by its step, and the same in epochs. */
export interface KeptView {
  step: number;
  epoch: number;
}

export interface BestView {
  step: number;
  top1: number;
}

export interface WorkerView {
  id: string;
  status: 'newcomer' | 'loading' | 'member';
  lanes: number[];
  host: string;
  pid: number;
  device: string;
  processor: string;
  /** What the run waits for it to deliver, or null. */
  owes: Owed | null;
  /** It is to leave after this step. */
  draining: boolean;
  /** Over the last seconds, or its last shards; null: not known yet. */
  imagesPerSecond: number | null;
  /** Null: it computes on a CPU, or nothing is known of its GPU. */
  gpu: GpuFigures | null;
}

/** Some steps in a row, in one point. */
export interface CurvePoint {
  /** Updates done at its end. */
  step: number;
  loss: number;
  /** Lowest and highest loss among the steps. */
  low: number;
  high: number;
  top1: number;
  /** Null: before this coordinator began. */
  imagesPerSecond: number | null;
}

export interface ValidationPoint {
  step: number;
  loss: number;
  top1: number;
  top5: number;
}

export interface CheckpointView {
  file: string;
  step: number;
  /** It stays forever. */
  kept: boolean;
  best: boolean;
  top1: number | null;
}

export interface EventView {
  at: string;
  level: 'info' | 'warn' | 'error';
  message: string;
}

/** A command for the user to paste. */
export interface CommandHint {
  /** A sentence that ends with a colon; the command follows. */
  how: string;
  command: string;
}

/** How a worker is added to the run. */
export type JoinHint = CommandHint;

/** What never changes while a coordinator is at work. */
export interface RunFacts {
  /** Null: nobody else reaches its Redis. */
  join: JoinHint | null;
  /** How the run is continued once it has stopped; null: not from here. */
  resume: CommandHint | null;
  /** What started this coordinator, without passwords; null: not known. */
  command: string | null;
  /** Brings this page to another machine, to be run there; null: not known. */
  tunnel: string | null;
  /** Name and value, to be shown as they are. */
  options: [string, string][];
  /** When this coordinator began, ISO 8601; null: not known. */
  startedAt: string | null;
  /** Another one had begun the run. */
  resumed: boolean;
  stepsPerEpoch: number;
  /** Images per step. */
  batchSize: number;
  lanes: number;
  /** Of the learning rate: its kind; epochs of its warm-up, between two divisions by ten, and of its length. */
  schedule: Pick<ResultOptions, 'schedule' | 'warmupEpochs' | 'stepSize' | 'scheduleEpochs'>;
  /** The folder of the checkpoints, absolute. */
  checkpointsPath: string;
  /** Whether this coordinator takes orders from whoever has its control token. */
  control: boolean;
}

/** One message of the event stream; each replaces what its keys name. */
export interface PageUpdate {
  facts?: RunFacts;
  view?: RunView;
  /** How the run is, where that is not to be told from the view. */
  health?: Health;
  /** The training curve from the point `from` on. */
  curve?: { from: number; points: CurvePoint[] };
  validations?: ValidationPoint[];
  events?: EventView[];
  checkpoints?: CheckpointView[];
  /** The coordinator's last words. */
  ended?: string;
  /** They are about an error. */
  failed?: boolean;
}

/** As a coordinator says it. */
export type SpokenView = RunView & { coordinator: NonNullable<RunView['coordinator']> };

/** Whether what was found as a status in Redis is one: anyone who can write there can write anything. */
export function isView(found: unknown): found is SpokenView {
  const view = found as Partial<RunView> | null;
  const { host, pid } = view?.coordinator ?? {};
  const known = typeof host === 'string' && typeof pid === 'number' && typeof view?.step === 'number';
  return known && typeof view.sentence === 'string' && Array.isArray(view.workers);
}
