/** The one state dict in a file that is a model's, whatever is around it and whatever stands before its names. */
import { CornetError } from '../../shared/errors.ts';
import { buildModel } from '../../shared/models/family.ts';
import {
  isOfHead,
  type Model,
  type ModelName,
  modelNames,
  outputsOfHead,
} from '../../shared/models/model.ts';
import { Opaque } from './pickle.ts';
import {
  difference,
  foreignNames,
  keyText,
  type Part,
  partsOf,
  samePlaces,
  segmentsOf,
  type TensorDict,
  tensorDicts,
} from './state-dicts.ts';
import type { StoredTensor } from './stored-tensor.ts';
import { forbidden } from './torch-file.ts';

export interface StateDict {
  /** By the model's name, all of the right shape and type. Counters of batches may be missing. */
  readonly entries: ReadonlyMap<string, StoredTensor>;
  /** The dict and those around it, from the inside out. */
  readonly around: readonly ReadonlyMap<unknown, unknown>[];
}

const headHint =
  'Only its head does not fit: it has another number of outputs, or none. `coordinator start --new-head` draws one; `coordinator test` needs none, except for decoder.output.';

/** Keys or names that an error lists. */
const longestList = 20;

interface Wanted {
  readonly model: Model;
  /**
   * Of the dict, and the prefix in it, that is to be taken: `state_dict_ema`, `checkpoint.model.student`; `.` is the
   * outermost dict itself; null: the only one that fits.
   */
  readonly key: string | null;
  /** The file that it comes from. */
  readonly path: string;
  /** Of which model the file says to be, if it does: R and RT have the same parameters. */
  readonly said: string | undefined;
}

/**
 * Finds the weights of a model in what was saved: in the one dict, however deep, whose names are those of the model when
 * the wrappers' parts and one common prefix are taken away.
 * @param saved dicts and lists, with tensors in them
 * @throws CornetError WEIGHTS_INVALID (no dict of tensors), WEIGHTS_FORBIDDEN (an object where weights should be),
 *   WEIGHTS_MISMATCH (every entry in the way is named), WEIGHTS_AMBIGUOUS (several fit)
 */
export function findStateDict(saved: unknown, wanted: Wanted): StateDict {
  const { model, key, path } = wanted;
  const dicts = tensorDicts(saved, model);
  if (dicts.length === 0) throw noStateDict(saved, path);
  const all = dicts.flatMap((dict) => partsOf(dict, model));
  const parts = key === null ? all : all.filter((part) => isUnder(placeOf(part), segmentsOf(key), key));
  const fitting = distinct(parts.filter(({ problems }) => problems.length === 0));
  const [part, ...others] = fitting;
  if (part === undefined) {
    if (key !== null && parts.length === 0) throw wrongKey(key, all, dicts, path);
    throw mismatch(saved, best(parts), dicts, wanted);
  }
  if (others.length > 0) throw ambiguous(fitting, model, path);
  const exact = key !== null && sameSegments(placeOf(part), segmentsOf(key));
  checkCompany(part, exact, all, model, path);
  return { entries: usable(part, model), around: part.within.around };
}

/** Without optional entries that do not fit: the head of another number of classes. */
function usable({ values }: Part, { entries }: Model): ReadonlyMap<string, StoredTensor> {
  const fitting = entries.filter((entry) => values.has(entry.name) && difference(entry, values) === null);
  return new Map(fitting.map(({ name }) => [name, values.get(name) as StoredTensor]));
}

/** Without those that are the same places in the file under another key. */
function distinct(parts: readonly Part[]): Part[] {
  const kept: Part[] = [];
  for (const part of parts) if (!kept.some((earlier) => samePlaces(earlier, part))) kept.push(part);
  return kept;
}

/** The part with the fewest problems; of equal ones the outermost. */
function best(parts: readonly Part[]): Part | null {
  return parts.reduce<Part | null>(
    (so, part) => (so === null || part.problems.length < so.problems.length ? part : so),
    null,
  );
}

function placeOf({ within, prefix }: Part): string[] {
  return [...within.path.flatMap(segmentsOf), ...prefix];
}

function isUnder(place: readonly string[], of: readonly string[], key: string): boolean {
  return key === '.' ? place.length === 0 : of.every((segment, i) => place[i] === segment);
}

function sameSegments(a: readonly string[], b: readonly string[]): boolean {
  return a.length === b.length && a.every((segment, i) => segment === b[i]);
}

/**
 * Refuses names beside those of the model, which would say that it is another one.
 * @param exact whether just this part was asked for: then other names may stand beside its prefix
 */
function checkCompany(part: Part, exact: boolean, all: readonly Part[], model: Model, path: string): void {
  const { within, prefix } = part;
  const start = prefix.join('.');
  const others = all.filter((one) => one !== part && one.within === within && one.problems.length === 0);
  const rest = foreignNames(part).filter((name) => !others.some(({ names }) => names.has(name)));
  const inside = rest.filter((name) => start === '' || segmentsOf(name).join('.').startsWith(`${start}.`));
  if (inside.length > 0) {
    const problems = inside.map((name) => `${keyText(name)} is not of the model`);
    throw new CornetError('WEIGHTS_MISMATCH', `${heading(part, model, path)}\n${indented(problems)}`);
  }
  const beside = rest.filter((name) => !inside.includes(name));
  if (exact || beside.length === 0) return;
  throw new CornetError(
    'WEIGHTS_MISMATCH',
    `${path} holds the weights of CORnet-${model.name} in its names that begin with ${start}., and beside them ${list(beside.map(keyText))}.`,
    { hint: `If the model is meant without these, say so: --weights-key ${quoted(placeOf(part))}` },
  );
}

function mismatch(
  saved: unknown,
  part: Part | null,
  dicts: readonly TensorDict[],
  { model, path, said }: Wanted,
): CornetError {
  const head = outputsOfHead(model);
  const fitting = modelNames.filter((name) => name !== model.name && fits(saved, buildModel(name, 1, head)));
  const others = fitting.filter((name) => name === said);
  if (fitting.length > 0) return ofOthers(others.length > 0 ? others : fitting, model, path);
  if (part === null) {
    const [{ dict, path: place }] = dicts as [TensorDict, ...TensorDict[]];
    const where = place.length === 0 ? 'it' : place.map(keyText).join('.');
    return new CornetError(
      'WEIGHTS_MISMATCH',
      `${path} does not hold the weights of CORnet-${model.name}: ${where} has none of its names, but ${list([...dict.keys()].map(keyText))}.`,
    );
  }
  const opaque = [...part.values].filter(([, value]) => value instanceof Opaque) as [string, Opaque][];
  if (opaque.length > 0 && opaque.length === part.problems.length) {
    return forbidden(path, `its ${opaque[0]![0]}`, opaque[0]![1]);
  }
  const foreign = foreignNames(part).map((name) => `${keyText(name)} is not of the model`);
  const problems = [...part.problems, ...foreign];
  const onlyHead = problems.every(isOfHead) ? { hint: headHint } : {};
  return new CornetError(
    'WEIGHTS_MISMATCH',
    `${heading(part, model, path)}\n${indented(problems)}`,
    onlyHead,
  );
}

/** @param others one, or several that have the same parameters */
function ofOthers(others: readonly ModelName[], model: Model, path: string): CornetError {
  const names = others.map((name) => `CORnet-${name}`).join(' or ');
  const which = others.length > 1 ? `${names}, which have the same parameters` : names;
  return new CornetError(
    'WEIGHTS_MISMATCH',
    `${path} holds the weights of ${which}, not of CORnet-${model.name}.`,
    {
      hint: `Use ${others.map((name) => `--model ${name}`).join(' or ')}.`,
    },
  );
}

function fits(saved: unknown, model: Model): boolean {
  return tensorDicts(saved, model).some((dict) =>
    partsOf(dict, model).some(({ problems }) => problems.length === 0),
  );
}

function heading({ within, prefix }: Part, model: Model, path: string): string {
  const key = within.path.length === 0 ? '' : ` in ${within.path.map(keyText).join('.')}`;
  const start = prefix.length === 0 ? '' : `, where names begin with ${prefix.join('.')}.`;
  return `${path} does not hold the weights of CORnet-${model.name}${key}${start}:`;
}

function ambiguous(parts: readonly Part[], model: Model, path: string): CornetError {
  const keys = parts.map((part) => quoted(placeOf(part)));
  return new CornetError(
    'WEIGHTS_AMBIGUOUS',
    `${path} holds weights of CORnet-${model.name} ${parts.length} times: at ${list(keys)}.`,
    { hint: `Choose: --weights-key ${keys.join(', or --weights-key ')}` },
  );
}

function wrongKey(
  key: string,
  parts: readonly Part[],
  dicts: readonly TensorDict[],
  path: string,
): CornetError {
  const fitting = distinct(parts.filter(({ problems }) => problems.length === 0)).map(placeOf);
  const places = fitting.length > 0 ? fitting : dicts.map(({ path: place }) => place);
  const what = fitting.length > 0 ? 'weights that fit are' : 'tensors are';
  return new CornetError(
    'WEIGHTS_MISMATCH',
    `${path} has no weights of the model at the key ${keyText(key)}: ${what} at ${list(places.map(quoted))}.`,
    { hint: 'Give one of these as --weights-key, or leave it out.' },
  );
}

/** As a shell takes it; the outermost dict is a dot. */
function quoted(place: readonly string[]): string {
  const key = place.map(keyText).join('.') || '.';
  return /^[\w./-]+$/.test(key) ? key : `'${key.replaceAll("'", `'\\''`)}'`;
}

function noStateDict(saved: unknown, path: string): CornetError {
  if (!(saved instanceof Map)) {
    return new CornetError(
      'WEIGHTS_INVALID',
      `${path} cannot be used: it holds no state dict but no dict at all.`,
    );
  }
  const opaque = [...saved].filter(([, value]) => value instanceof Opaque) as [unknown, Opaque][];
  const likely = /model|net|module|state|weight/i;
  const [key, object] = opaque.find(([name]) => likely.test(keyText(name))) ?? opaque[0] ?? [];
  if (object !== undefined) return forbidden(path, `it holds no state dict, and its ${keyText(key)}`, object);
  return new CornetError(
    'WEIGHTS_INVALID',
    `${path} cannot be used: it holds no state dict but a dict of ${list([...saved.keys()].map(keyText))}.`,
  );
}

function list(names: readonly string[]): string {
  const more = names.length - longestList;
  const shown = names.slice(0, longestList).join(', ') || 'nothing';
  return more > 0 ? `${shown} and ${more} more` : shown;
}

function indented(lines: readonly string[]): string {
  return lines.map((line) => `  ${line}`).join('\n');
}
