import { phaseWords } from '../../protocol/phase.ts';

/** The colour of each phase: orange is training, blue is validation, as in the curves. */
const colors: Record<keyof typeof phaseWords, string> = {
  computing: 'train',
  reducing: 'exchange',
  applying: 'update',
  validating: 'val',
  extracting: 'rest',
  publishing: 'rest',
  loading: 'rest',
  restoring: 'rest',
  waiting: 'wait',
  rollcall: 'wait',
  saving: 'rest',
  finishing: 'rest',
  finished: 'rest',
  redis_away: 'wait',
};

/** What a phase is called, and its colour. */
export const phases: Record<string, [name: string, color: string]> = Object.fromEntries(
  Object.entries(phaseWords).map(([phase, words]) => [phase, [words, colors[phase as keyof typeof colors]]]),
);

/** What every step consists of, and what is not worth a word while it is short. */
export const inStep = ['computing', 'reducing', 'applying'];
export const quick = [...inStep, 'publishing', 'loading', 'validating', 'saving'];
