/** What a run's result depends on, as trackers compare it between runs. */
import type { ResultOptions } from '../../shared/run-config.ts';

export type Hyperparameter = number | string | boolean;

/** Characters of a value: MLflow's servers before 2.8 take no more than 500. */
const longest = 500;

/** The result options by their names in config.json (`startingWeights.from`), without those that a run does not have. */
export function hyperparametersOf({
  classNames: _, // as many as there are classes
  ...result
}: ResultOptions): ReadonlyMap<string, Hyperparameter> {
  return new Map(flattened('', result));
}

function flattened(prefix: string, options: object): [string, Hyperparameter][] {
  return Object.entries(options).flatMap(([key, value]): [string, Hyperparameter][] => {
    const name = `${prefix}${key}`;
    if (value === null || value === '') return [];
    if (Array.isArray(value)) return value.length === 0 ? [] : [[name, shortened(value.join(', '))]];
    if (typeof value === 'object') return flattened(`${name}.`, value);
    return [[name, typeof value === 'string' ? shortened(value) : value]];
  });
}

function shortened(text: string): string {
  return text.length > longest ? `${text.slice(0, longest - 1)}…` : text;
}
