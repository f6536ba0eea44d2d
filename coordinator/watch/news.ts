/** What happens to a run, in the order in which it happens. Every line of `coordinator start --json` is one of these. */
import type { RunConfig } from '../../shared/run-config.ts';
import type { CommandHint } from '../view/run-view.ts';

/** What every event has. */
export interface Happened {
  /** When it happened, ISO 8601. */
  at: string;
}

export interface StartInfo {
  /** The run's id. */
  run: string;
  /** What the user calls it, or null. */
  name: string | null;
  /** The run folder, an absolute path. */
  folder: string;
  /** The live page, or null. */
  page: string | null;
  /** Where Redis is, for people, without passwords. */
  redis: string;
  /** How a worker is added, or null. */
  join: CommandHint | null;
  /** One local worker each: `cpu`, `cuda:0`, … */
  devices: string[];
  config: RunConfig;
}

/** What is measured of one step or validation. */
export interface Scores {
  /** Updates done. */
  step: number;
  /** The same in epochs. */
  epoch: number;
  /** The mean over the images. */
  loss: number;
  /** Fractions of right answers. */
  top1: number;
  top5: number;
  images: number;
}

export interface Ending {
  outcome: 'complete' | 'interrupted';
  /** Of the command: 0, or 75 where the run can be resumed. */
  exitCode: number;
  /** Of the last checkpoint, or null. */
  step: number | null;
  /** Its path, or null. */
  checkpoint: string | null;
  /** For people: how it ended, and how to go on. */
  message: string;
  /** Commands that use a complete run. */
  next: string[];
}

/** The run begins, or goes on. */
export interface StartEvent extends Happened, StartInfo {
  type: 'start';
}

/** An update was made. */
export interface StepEvent extends Happened, Scores {
  type: 'step';
  learningRate: number;
  /** Workers that had a part in it. */
  members: number;
  /** Null: not known yet. */
  imagesPerSecond: number | null;
  /** To the end of the run; null: not known yet. */
  secondsLeft: number | null;
}

/** The state was validated. */
export interface ValidationEvent extends Happened, Scores {
  type: 'validation';
}

/** A checkpoint is on disk. */
export interface CheckpointEvent extends Happened {
  type: 'checkpoint';
  /** Updates done. */
  step: number;
  /** Its name in `checkpoints/` of the run folder. */
  file: string;
  sha256: string;
  /** It is kept forever. */
  kept: boolean;
}

/** A sentence for people. */
export interface Notice extends Happened {
  type: 'event';
  level: 'info' | 'warn' | 'error';
  message: string;
}

/** The run is over. */
export interface EndEvent extends Happened, Ending {
  type: 'end';
}

/** What happens to a training; `type` tells which. */
export type TrainingEvent = StartEvent | StepEvent | ValidationEvent | CheckpointEvent | Notice | EndEvent;

/** The command fails; the last line there is. */
interface ErrorEvent extends Happened {
  type: 'error';
  code: string;
  message: string;
  hint: string;
  exitCode: number;
}

export type RunNews = TrainingEvent | ErrorEvent;

type Undated<E> = E extends Happened ? Omit<E, 'at'> : never;
export type NewsItem = Undated<RunNews>;
