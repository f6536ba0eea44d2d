/** What the conductor is connected to: the disk, whoever counts, whoever shows. */
import type { BatchResult } from '../../shared/wire/protocol.ts';
import type { RunAction, RunEvent } from '../protocol/run-events.ts';
import type { StepMetrics } from '../protocol/step.ts';
import type { ValidationSummary } from '../protocol/validation-summary.ts';
import type { RunView } from '../view/run-view.ts';

/** The state that a run begins with, or goes back to. */
export interface Restored {
  readonly step: number;
  readonly body: Uint8Array;
  /** This very state was validated. */
  readonly validated: boolean;
  /** No checkpoint has it yet, and one of it is due. */
  readonly toSave?: boolean;
}

/** What a run begins with, and what it leaves on disk. */
export interface RunOutput {
  /** The state to begin with, and to go back to when no worker is left. */
  restore(): Promise<Restored>;
  /** Null: an inference run, which changes no state. */
  readonly steps: StepOutput | null;
  validated(step: number, summary: ValidationSummary): Promise<void>;
  /**
   * Keeps what a member made of a batch: from now on it need not be computed again.
   * @param bytes of `features`: the rows of each tap, one tap after the other
   */
  store(batch: number, result: BatchResult, bytes: Uint8Array | null): Promise<void>;
  close(): Promise<void>;
}

/** What the steps of a training leave on disk. */
export interface StepOutput {
  stepDone(metrics: StepMetrics, learningRate: number, members: number): Promise<void>;
  /** Is it time for a checkpoint? Asked at every heartbeat. */
  saveDue(): boolean;
  /**
   * Writes the state of a step.
   * @param last no other opportunity will come: it is worth waiting for a disk that would not take it
   * @returns false: the disk would not take it, and the run goes on
   */
  save(step: number, body: Uint8Array, last: boolean): Promise<boolean>;
  /** A worker warns of something; the log has it already. */
  workerWarned(message: string): void;
}

/** Is told what happens, so that it can be counted. */
export interface RunObserver {
  /** The run was told of an event (null: of its start), and decided this. */
  saw(event: RunEvent | null, actions: readonly RunAction[]): void;
  /** A shard was given out again in the same step. */
  recomputed(): void;
  redisAnswered(seconds: number): void;
  /** A second has passed. */
  beat(): void;
  /** The run ended with an error. The command ends when this returns, after bounded time. */
  failed(error: { code: string; message: string }): Promise<void>;
  /** The run ended in order. The command ends when this returns, after bounded time. */
  ended(): Promise<void>;
}

/** What the conductor shows of the run while it works. */
export interface RunReporter {
  say(sentence: string, level?: 'info' | 'warn' | 'error'): void;
  /** A second has passed; this is what the run waits for. */
  waiting(sentence: string): void;
  /** What it measures, for `coordinator status`. */
  readonly latest: Partial<RunView>;
  /** Nothing more will be shown. */
  end(): void;
}
