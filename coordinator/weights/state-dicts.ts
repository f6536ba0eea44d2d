/** Dicts of tensors in what a file holds, however deep, and the parts of them whose names end as a model's do. */
import type { Model, StateEntry } from '../../shared/models/model.ts';
import { elementCount } from '../../shared/models/model.ts';
import { shortened } from '../../shared/util/printable.ts';
import { Opaque } from './pickle.ts';
import { isFloat, isInteger, isTensor, type StoredTensor } from './stored-tensor.ts';

export type Dict = ReadonlyMap<unknown, unknown>;

export function asDict(value: unknown): Dict | null {
  return value instanceof Map ? value : null;
}

/** A dict with tensors in it. */
export interface TensorDict {
  readonly dict: Dict;
  /** Keys that lead to it. */
  readonly path: readonly string[];
  /** Itself and the dicts around it, from the inside out. */
  readonly around: readonly Dict[];
}

/** The names of a dict that begin with one prefix and go on as names of the model do. */
export interface Part {
  readonly within: TensorDict;
  /** Parts of the name before the model's, without those of wrappers: `['net', 'backbone']`. */
  readonly prefix: readonly string[];
  /** By the model's name. */
  readonly values: ReadonlyMap<string, unknown>;
  /** Names in the dict that are in `values`, as they stand there. */
  readonly names: ReadonlySet<string>;
  /** What is missing or of a wrong shape or type; names that are there twice. */
  readonly problems: readonly string[];
}

/** What PyTorch's own wrappers put into names, in front or in the middle: data parallel, torch.compile, FSDP, … */
const wrappers: ReadonlySet<string> = new Set([
  'module',
  '_orig_mod',
  '_fsdp_wrapped_module',
  '_checkpoint_wrapped_module',
  '_forward_module',
]);
/** Characters and parts; a longer one is of no model, and would take long to look at. */
const longestName = 500;
const mostSegments = 40;

/** Every dict with a tensor in it, or with a name that ends as one of the model's, outer ones first. */
export function tensorDicts(saved: unknown, model: Model): TensorDict[] {
  const wanted = new Set(model.entries.map(({ name }) => name));
  const seen = new Set<unknown>();
  const found: TensorDict[] = [];
  let level: { value: unknown; path: readonly string[]; around: readonly Dict[] }[] = [
    { value: saved, path: [], around: [] },
  ];
  for (let depth = 0; depth < deepest && level.length > 0; depth++) {
    const next: typeof level = [];
    for (const { value, path, around } of level) {
      if (!isContainer(value) || seen.has(value)) continue;
      seen.add(value);
      const inside = value instanceof Map ? [value, ...around] : around;
      if (value instanceof Map && holdsTensors(value, wanted))
        found.push({ dict: value, path, around: inside });
      for (const [key, item] of value.entries()) {
        if (isContainer(item)) next.push({ value: item, path: [...path, keyText(key)], around: inside });
      }
    }
    level = next;
  }
  return found;
}

/** Of dicts in dicts; nobody's checkpoint has so many. */
const deepest = 12;

function isContainer(value: unknown): value is Dict | readonly unknown[] {
  return value instanceof Map || Array.isArray(value);
}

function holdsTensors(dict: Dict, wanted: ReadonlySet<string>): boolean {
  for (const [name, value] of dict) {
    if (isTensor(value)) return true;
    if (typeof name === 'string' && splits(name, wanted).length > 0) return true;
  }
  return false;
}

interface PartInMaking {
  readonly prefix: string[];
  readonly values: Map<string, unknown>;
  readonly names: Set<string>;
  readonly twice: string[];
}

/** The parts of a dict, those with most of the model's names first. */
export function partsOf(within: TensorDict, model: Model): Part[] {
  const wanted = new Map(model.entries.map((entry) => [entry.name, entry]));
  const required = model.entries.filter(({ optional }) => optional !== true);
  const parts = new Map<string, PartInMaking>();
  for (const [name, value] of within.dict) {
    if (typeof name !== 'string') continue;
    for (const { prefix, rest } of splits(name, wanted)) {
      const key = prefix.join('.');
      const part: PartInMaking = parts.get(key) ?? { prefix, values: new Map(), names: new Set(), twice: [] };
      parts.set(key, part);
      if (part.values.has(rest))
        part.twice.push(`${rest} is there twice, with and without ${wrapperIn(name, part.names)}`);
      part.values.set(rest, value);
      part.names.add(name);
    }
  }
  return [...parts.values()]
    .map(({ prefix, values, names, twice }) => ({
      within,
      prefix,
      values,
      names,
      problems: [...required.flatMap((entry) => difference(entry, values) ?? []), ...twice],
    }))
    .sort((a, b) => b.values.size - a.values.size);
}

/** Ways to see a name as a prefix and one of the model's names, without what wrappers put into it. */
function splits(name: string, wanted: { has(name: string): boolean }): { prefix: string[]; rest: string }[] {
  if (name.length > longestName) return [];
  const segments = segmentsOf(name);
  if (segments.length > mostSegments) return [];
  return segments.flatMap((_, i) => {
    const rest = segments.slice(i).join('.');
    return wanted.has(rest) ? [{ prefix: segments.slice(0, i), rest }] : [];
  });
}

/** The parts of a dotted name or key, without those of wrappers. */
export function segmentsOf(name: string): string[] {
  return name.split('.').filter((segment) => segment !== '' && !wrappers.has(segment));
}

function wrapperIn(name: string, others: ReadonlySet<string>): string {
  const all = [name, ...others].flatMap((one) => one.split('.'));
  return `${all.find((segment) => wrappers.has(segment)) ?? 'a wrapper'}.`;
}

/** What is wrong with a value in the place of an entry, or with its absence; null: nothing. */
export function difference(wanted: StateEntry, values: ReadonlyMap<string, unknown>): string | null {
  const { name, shape, kind } = wanted;
  const found = values.get(name);
  const counter = kind === 'numBatchesTracked';
  if (found === undefined) return counter ? null : `${name} [${shape}] is missing`;
  if (found instanceof Opaque) return `${name} is not a tensor but an object of ${keyText(found.name)}`;
  if (!isTensor(found)) return `${name} is not a tensor`;
  if (!sameShape(found.shape, shape)) return `${name} is [${found.shape}] instead of [${shape}]`;
  if (counter ? !isInteger(found) : !isFloat(found)) return `${name} is of the type ${found.dtype}`;
  return null;
}

/** Names beside those of a part that the model would have to have. */
export function foreignNames({ within, names }: Part): string[] {
  return [...within.dict]
    .map(([key, value]) => [typeof key === 'string' ? key : keyText(key), value] as const)
    .filter(([name, value]) => !names.has(name) && !isCompany(name, value))
    .map(([name]) => name);
}

/**
 * Whether a value beside the model's names says nothing about the model: no tensor, or a counter or flag of one element
 * (`n_averaged` of averaged weights). Counters of batches belong to a layer.
 */
function isCompany(name: string, value: unknown): boolean {
  if (!isTensor(value)) return true;
  const single = (isInteger(value) || value.dtype === 'BOOL') && elementCount(value.shape) === 1;
  return single && !name.endsWith('num_batches_tracked');
}

/** Whether two parts are the same places of the file. */
export function samePlaces(a: Part, b: Part): boolean {
  if (a.values.size !== b.values.size) return false;
  return [...a.values].every(([name, value]) => {
    const other = b.values.get(name);
    return isTensor(value) && isTensor(other) && samePlace(value, other);
  });
}

function samePlace(a: StoredTensor, b: StoredTensor): boolean {
  return a.position === b.position && a.dtype === b.dtype && sameShape(a.strides, b.strides);
}

export function sameShape(a: readonly number[], b: readonly number[]): boolean {
  return a.length === b.length && a.every((size, i) => size === b[i]);
}

const longestKey = 200;

/** A key of a dict in words; what is neither text nor a number could have text that no memory holds. */
export function keyText(key: unknown): string {
  if (typeof key === 'number' || typeof key === 'boolean') return String(key);
  if (typeof key === 'bigint') return key === BigInt.asIntN(128, key) ? String(key) : '(a large number)';
  if (typeof key !== 'string') return '(no text)';
  return shortened(key, longestKey);
}
