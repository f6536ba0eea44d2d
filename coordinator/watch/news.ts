/** What happens to a run, in the order in which it happens. Every line of `coordinator start --json` is one of these. */
import type { RunConfig } from '../../shared/run-config.ts';
import type { JoinHint } from '../view/run-view.ts';

export interface StartInfo {
  run: string;
  /** What the user calls it, or null. */
  name: string | null;
  folder: string;
  /** The live page, or null. */
  page: string | null;
  redis: string;
  /** How a worker is added, or null. */
  join: JoinHint | null;
  /** One local worker each. */
  devices: string[];
  config: RunConfig;
}

/** What is measured of one step or validation: mean loss, fractions of right answers, images. */
export interface Scores {
  /** Updates done, and the same in epochs. */
  step: number;
  epoch: number;
  loss: number;
  top1: number;
  top5: number;
  images: number;
}

export interface Ending {
  outcome: 'complete' | 'interrupted';
  exitCode: number;
  /** Of the last checkpoint, or null. */
  step: number | null;
  checkpoint: string | null;
  /** For people: how it ended, and how to go on. */
  message: string;
  /** Commands that use a complete run. */
  next: string[];
}

export type NewsItem =
  | ({ type: 'start' } & StartInfo)
  | ({
      type: 'step';
      learningRate: number;
      members: number;
      imagesPerSecond: number | null;
      secondsLeft: number | null;
    } & Scores)
  | ({ type: 'validation' } & Scores)
  | { type: 'checkpoint'; step: number; file: string; sha256: string; kept: boolean }
  | { type: 'event'; level: 'info' | 'warn' | 'error'; message: string }
  | ({ type: 'end' } & Ending)
  /** The command fails; the last line there is. */
  | { type: 'error'; code: string; message: string; hint: string; exitCode: number };

/** @property at when it happened, ISO 8601 */
export type RunNews = { at: string } & NewsItem;
