/** What a phase is called, and the colour it has: orange is training, blue is validation, as in the curves. */
export const phases: Record<string, [name: string, color: string]> = {
  computing: ['computing gradients', 'train'],
  reducing: ['summing gradients', 'exchange'],
  applying: ['updating weights', 'update'],
  validating: ['validating', 'val'],
  publishing: ['taking a snapshot', 'rest'],
  loading: ['newcomers load the state', 'rest'],
  restoring: ['publishing the state', 'rest'],
  waiting: ['waiting for a worker', 'wait'],
  rollcall: ['roll call', 'wait'],
  saving: ['reading the state for a checkpoint', 'rest'],
  finishing: ['writing the last checkpoint', 'rest'],
  finished: ['finished', 'rest'],
  redis_away: ['Redis away', 'wait'],
};

/** What every step consists of, and what is not worth a word while it is short. */
export const inStep = ['computing', 'reducing', 'applying'];
export const quick = [...inStep, 'publishing', 'loading', 'validating', 'saving'];
