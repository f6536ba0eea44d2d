/** What goes into the coordinator's state machine, and what comes out of it. */
import type { ErrorCode } from '../../shared/errors.ts';
import type {
  BatchResult,
  BlobRef,
  DownBody,
  Era,
  Job,
  TcpServer,
  UpMessage,
} from '../../shared/wire/protocol.ts';
import type { Limits } from './membership.ts';
import type { LaneShare, StepMetrics } from './step.ts';
import type { ValidationSummary } from './validation-summary.ts';

/** What a run is to do: pure functions of its configuration. */
export interface Plan {
  /** Null: an inference run, which consists of its round and changes no state. */
  steps: StepPlan | null;
  round: RoundPlan;
}

/** The steps of a training. */
export interface StepPlan {
  lanes: number;
  /** Steps of the whole run. */
  totalSteps: number;
  /** Whether a shard that is computed twice must have the same bytes. */
  deterministic: boolean;
  shares(step: number): LaneShare[];
  learningRate(step: number): number;
  /** Is there a round of jobs before step `step`? */
  roundDue(step: number): boolean;
  /** Is the state of step `step` kept forever? */
  checkpointDue(step: number): boolean;
  /** Lanes whose shard two members compute, to compare them. */
  audited(step: number): readonly number[];
}

/** A pass over images in batches, each a job that any member takes: a validation, or the extraction of features. */
export interface RoundPlan {
  job: 'validate' | 'features';
  batches: number;
  /** What was stored by an earlier term. */
  finished: ReadonlyMap<number, BatchResult>;
}

export interface RunLimits extends Limits {
  /** Milliseconds of heard time that a run that fails waits for a last checkpoint. */
  lastCheckpoint: number;
  /** Milliseconds that a step boundary waits for newcomers. */
  join: number;
  /** Milliseconds of heard time that a run waits without any worker. */
  worker: number;
}

export interface Failure {
  code: ErrorCode;
  message: string;
  hint?: string | undefined;
}

export type RunEvent =
  | { type: 'message'; message: UpMessage }
  /** A local worker's process ended. */
  | { type: 'exited'; worker: string; reason: string }
  /** No local worker is started on this device any more; `left`: so many others are, or will be. */
  | { type: 'device-given-up'; device: string; lastWords: string; left: number }
  | { type: 'tick'; heard: number }
  /** The last checkpoint (or the initial state) has been published; `toSave`: no checkpoint has it, and one is due. */
  | { type: 'restored'; step: number; ref: BlobRef; validated: boolean; toSave?: boolean }
  /** The state of `step` is in the coordinator's memory, and `saved` will follow. */
  | { type: 'held'; step: number }
  /** `lost`: the blob had vanished; `failed`: the disk would not take it (the run goes on). */
  | { type: 'saved'; step: number; outcome: 'written' | 'lost' | 'failed' }
  /** A batch's result is stored; `lost`: its blob had vanished. */
  | { type: 'stored'; step: number; batch: number; result: BatchResult; outcome: 'stored' | 'lost' }
  /** `--save-model-secs` have passed. */
  | { type: 'save-due' }
  | { type: 'stop'; reason: string }
  /** Something failed outside: the run ends, after a last checkpoint if one can be had. */
  | { type: 'abort'; failure: Failure }
  /** Whether the coordinator itself can fetch blobs of these workers over TCP; `why` not, as part of a sentence. */
  | { type: 'reached'; peers: { worker: string; why: string | null }[] }
  /** A worker is to leave when the state lies still next. */
  | { type: 'drain'; worker: string }
  /** Redis is not the one it was: it holds nothing, or what it had saved a while ago. */
  | { type: 'redis-replaced'; empty: boolean };

export type RunAction =
  | { type: 'send'; body: DownBody }
  /** `audit`: somebody has done it already, and the results are compared. */
  | { type: 'job'; worker: string; job: Job; audit: boolean }
  | { type: 'forget-worker'; worker: string }
  /** The same, and it shall not come back: it leaves because it was asked to. */
  | { type: 'dismiss'; worker: string }
  /** Try to reach what this worker serves over TCP, answer with `reached`, and again whenever the outcome changes. */
  | { type: 'try-peer'; worker: string; server: TcpServer }
  /** Publish the last checkpoint, answer with `restored`. */
  | { type: 'restore' }
  /** Write the snapshot of `step` to disk, answer with `held`, then `saved`; `last`: no other opportunity will come. */
  | { type: 'save'; step: number; ref: BlobRef; last: boolean }
  | { type: 'delete'; refs: BlobRef[] }
  /** Announce a new era (set the key), before anything else is sent. */
  | { type: 'new-era'; era: Era }
  | { type: 'step-done'; metrics: StepMetrics; learningRate: number; members: number }
  /** Keep what a member made of a batch, answer with `stored`. */
  | { type: 'store'; step: number; batch: number; result: BatchResult }
  | { type: 'validated'; step: number; summary: ValidationSummary }
  | { type: 'log'; level: 'info' | 'warn'; message: string }
  | { type: 'finish'; outcome: 'complete' | 'interrupted' }
  | { type: 'finish'; outcome: 'failed'; failure: Failure };

/** What a part of the run leaves to be done when it has done its own. */
export type Next =
  /** The state lies still: `Run` decides what follows. */
  | 'rest'
  /** The last checkpoint, or the state to begin with, is to be published. */
  | 'restore'
  /** Members have room for jobs of the round. */
  | 'continue-round'
  /** The update is decided, and its members know. */
  | 'go-ahead'
  /** All members are at the next step. */
  | { commit: StepMetrics }
  /** A worker is to be dropped. */
  | { drop: string; reason: string }
  | null;
