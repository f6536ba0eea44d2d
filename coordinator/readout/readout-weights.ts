/** The weights that a read-out looks at. */
import { initialSnapshot } from '../../shared/models/initial-weights.ts';
import type { Model } from '../../shared/models/model.ts';
import { findWeights, readWeights } from '../weights/read-weights.ts';
import type { ReadoutOptions } from './options.ts';

export interface ReadoutWeights {
  /** The SHA-256 of their file, or `seed <n>` of those that are drawn. */
  readonly identity: string;
  /** A snapshot body (`stateLayout`). */
  readonly read: () => Promise<Uint8Array>;
}

/**
 * `untrained`: those that a training with this seed begins with. Everything else is a source of `findWeights`.
 * @throws CornetError as `findWeights`
 */
export async function findReadoutWeights(
  { weights, seed }: Pick<ReadoutOptions, 'weights' | 'seed'>,
  model: Model,
): Promise<ReadoutWeights> {
  if (weights === 'untrained') {
    return { identity: `seed ${seed}`, read: async () => initialSnapshot(model, seed) };
  }
  const say = (sentence: string) => void process.stderr.write(`${sentence}\n`);
  const { path, sha256 } = await findWeights(weights, model, { environment: process.env, say });
  return { identity: sha256, read: () => readWeights(path, model) };
}
