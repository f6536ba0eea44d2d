/** Whether a checkpoint was written by the run that is to go on from it, or by another one. */

import { CornetError } from '../../shared/errors.ts';
import { earlierResult, identityOf, type RunConfig } from '../../shared/run-config.ts';
import { canonicalJson } from '../../shared/util/canonical-json.ts';
import { quoteName, shortened } from '../../shared/util/printable.ts';
import { parseJson } from '../../shared/wire/protocol.ts';

/** Characters: the names of a thousand classes would flood a terminal. */
const longestValue = 120;

/**
 * @param identity the checkpoint's, as canonical JSON
 * @throws CornetError CHECKPOINT_DIFFERS with each value that differs
 */
export function checkIdentity(config: RunConfig, identity: string, path: string): void {
  const [theirs, ours] = [parseJson(identity), identityOf(config)].map((one) => flat(withDefaults(one))) as [
    Map<string, string>,
    Map<string, string>,
  ];
  // The numerics of a run are not known before its first worker has come.
  const names = [...new Set([...theirs.keys(), ...ours.keys()])].filter(
    (name) => config.numerics !== null || !name.startsWith('numerics'),
  );
  const others = names.filter((name) => theirs.get(name) !== ours.get(name));
  if (others.length === 0) return;
  const told = (value: string | undefined) => shortened(value ?? 'none', longestValue);
  const list = others.map(
    (name) =>
      `${name.replace(/^result\./, '')} ${told(theirs.get(name))} (this run: ${told(ours.get(name))})`,
  );
  throw new CornetError(
    'CHECKPOINT_DIFFERS',
    `The checkpoint ${quoteName(path)} was written by another run, with ${list.join(', ')}.`,
  );
}

/** A checkpoint of an earlier version says nothing of options that came later. */
function withDefaults(identity: unknown): unknown {
  const { result, ...rest } = identity as { result?: object };
  return { ...rest, result: { ...earlierResult, ...result } };
}

/** Each value by its path: `result.seed`. */
function flat(value: unknown, path: string[] = []): Map<string, string> {
  if (value === null || typeof value !== 'object' || Array.isArray(value)) {
    return new Map([[path.join('.'), typeof value === 'string' ? value : canonicalJson(value)]]);
  }
  return new Map(Object.entries(value).flatMap(([key, inner]) => [...flat(inner, [...path, key])]));
}
