/** What a user should know beside the results. */
import { type ProgressOutput, progressOnStderr } from './progress-line.ts';
import { say } from './say.ts';

export interface Notices {
  note(sentence: string): void;
  warn(sentence: string): void;
  /** How far long preparations are. */
  readonly progress: ProgressOutput;
}

export function noticesOnStderr(): Notices {
  return { note: say, warn: (sentence) => say(`warning: ${sentence}`), progress: progressOnStderr() };
}
