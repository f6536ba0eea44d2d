/** The weights that an inference run looks at. */
import { CornetError } from '../../shared/errors.ts';
import type { Model } from '../../shared/models/model.ts';
import type { Notices } from '../../shared/process/notices.ts';
import { quoteName } from '../../shared/util/printable.ts';
import type { InferenceOptions } from '../options/table.ts';
import { initialSnapshot } from '../weights/initial-weights.ts';
import { findWeights, readWeights } from '../weights/read-weights.ts';

export interface InferenceWeights {
  /** The SHA-256 of their file, with the key in it if one was given; or `seed <n>` of those that are drawn. */
  readonly identity: string;
  /** A snapshot body for inference (`stateLayout`). */
  readonly read: () => Promise<Uint8Array>;
}

/**
 * `untrained`: those that a training with this seed begins with. Everything else is a source of `findWeights`.
 * @throws CornetError as `findWeights`
 */
export async function findInferenceWeights(
  { weights, weightsKey, seed }: Pick<InferenceOptions, 'weights' | 'weightsKey' | 'seed'>,
  model: Model,
  { note }: Pick<Notices, 'note'>,
): Promise<InferenceWeights> {
  const key = weightsKey ?? null;
  if (weights === 'untrained') {
    if (key !== null) {
      throw new CornetError('OPTION_INVALID', 'Untrained weights are in no file: leave --weights-key out.');
    }
    return { identity: `seed ${seed}`, read: async () => initialSnapshot(model, seed, 'inference') };
  }
  const found = await findWeights(weights, model, { environment: process.env, say: note }, key);
  const { path, sha256 } = found;
  let once: Uint8Array | null = found.body; // they are seldom asked for a second time
  const read = async () => {
    const body = once ?? (await readWeights(path, model, key, 'inference'));
    once = null;
    return body;
  };
  return { identity: key === null ? sha256 : `${sha256} key ${key}`, read };
}

/**
 * `runs/z (SHA-256 5c427c9c…)`, or `untrained (seed 3)`.
 * @param source as the user named them
 */
export function describeWeights(source: string, identity: InferenceWeights['identity']): string {
  const which = identity.startsWith('seed ') ? identity : `SHA-256 ${identity.slice(0, 8)}…`;
  return `${quoteName(source)} (${which})`;
}
