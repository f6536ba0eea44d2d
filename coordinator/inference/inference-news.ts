/** What happens to an inference run, in the order in which it happens. */
import type { InferenceConfig } from '../../shared/run-config.ts';
import type { Frontend } from '../conduct/frontend.ts';
import type { CommandHint } from '../view/run-view.ts';
import type { Happened, Notice } from '../watch/news.ts';

export interface InferenceStart {
  /** The run's id. */
  run: string;
  /** Where what is stored lies until the run is complete. */
  folder: string;
  /** What is done: `validation, 10 classes`. */
  title: string;
  /** Which network computes: `CORnet-RT, 3 time steps, 64 px, as runs/rt says`. */
  network: string;
  /** Which weights: `runs/z (SHA-256 5c427c9c…)`. */
  weights: string;
  /** What there is a row, or a score, for. */
  unit: 'images' | 'clips';
  /** How many of them. */
  total: number;
  /** One local worker each: `cpu`, `cuda:0`, … */
  devices: string[];
  /** Where Redis is, for people, without passwords. */
  redis: string;
  /** How a worker is added, or null. */
  join: CommandHint | null;
  config: InferenceConfig;
}

export interface InferenceProgress {
  /** Images or clips that are done, those of earlier tries among them. */
  done: number;
  /** How many there are. */
  total: number;
  /** Null: not known yet. */
  perSecond: number | null;
  secondsLeft: number | null;
}

/** Work begins, or goes on. */
export interface InferenceStartEvent extends Happened, InferenceStart {
  type: 'start';
}

/** A job is done. */
export interface InferenceProgressEvent extends Happened, InferenceProgress {
  type: 'progress';
}

/** What happens to an inference run; `type` tells which. */
export type InferenceEvent = InferenceStartEvent | InferenceProgressEvent | Notice;

/** A way to show an inference run. */
export interface InferenceViewer {
  news(news: InferenceEvent): void;
  /** A second has passed; this is what the run waits for. */
  waiting(sentence: string): void;
  /** The run is over: what is said from now on are last words. */
  end(): void;
}

export type InferenceFrontend = Frontend<InferenceViewer>;
