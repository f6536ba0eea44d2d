/** What happens to an inference run, in the order in which it happens. */
import type { InferenceConfig } from '../../shared/run-config.ts';
import type { Frontend } from '../conduct/frontend.ts';
import type { JoinHint } from '../view/run-view.ts';

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
  /** One local worker each. */
  devices: string[];
  redis: string;
  /** How a worker is added, or null. */
  join: JoinHint | null;
  config: InferenceConfig;
}

export interface InferenceProgress {
  /** Images or clips that are done, those of earlier tries among them, and how many there are. */
  done: number;
  total: number;
  /** Null: not known yet. */
  perSecond: number | null;
  secondsLeft: number | null;
}

type InferenceNewsItem =
  | ({ type: 'start' } & InferenceStart)
  | ({ type: 'progress' } & InferenceProgress)
  | { type: 'event'; level: 'info' | 'warn' | 'error'; message: string };

/** @property at when it happened, ISO 8601 */
export type InferenceNews = { at: string } & InferenceNewsItem;

/** A way to show an inference run. */
export interface InferenceViewer {
  news(news: InferenceNews): void;
  /** A second has passed; this is what the run waits for. */
  waiting(sentence: string): void;
  /** The run is over: what is said from now on are last words. */
  end(): void;
}

export type InferenceFrontend = Frontend<InferenceViewer>;
