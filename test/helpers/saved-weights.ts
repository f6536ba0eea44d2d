/** Files of weights of CORnet-Z as other programs save them, made by hand. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { ExecutionContext } from 'ava';
import {
  OrderedDict,
  type PythonValue,
  pickle,
  TensorReference,
} from '../../coordinator/weights/pickle-writer.ts';
import { momentumName, stateLayout } from '../../shared/formats/state-layout.ts';
import { buildModel } from '../../shared/models/family.ts';
import { patternedState } from './state.ts';
import { temporaryFolder } from './temporary.ts';

export const model = buildModel('Z', 1);
const layout = stateLayout(model);
const slots = new Map(layout.slots.map((slot) => [slot.name, slot]));
/** A snapshot body, momentum and all. */
export const state = patternedState(model);
export const parameters = model.entries.filter(({ kind }) => kind === 'parameter');

/** The state without its momentum. */
export const weightsOnly = state.slice();
for (const { name, offset, bytes } of layout.slots) {
  if (name.startsWith('optimizer.')) weightsOnly.fill(0, offset, offset + bytes);
}

export function bytesOf(name: string): Uint8Array {
  const { offset, bytes } = slots.get(name)!;
  return state.subarray(offset, offset + bytes);
}

/** Storages of every entry and its momentum, keyed by name; those of an average by `ema NAME`. */
export const storages: Record<string, Uint8Array> = {};
for (const { name } of model.entries) {
  storages[name] = bytesOf(name);
  storages[momentumName(name)] = bytesOf(momentumName(name));
}

/** @param key of an entry's storage */
export function stateDict(
  rename: (name: string) => string = (name) => name,
  key: (name: string) => string = (name) => name,
): OrderedDict<PythonValue> {
  return new OrderedDict(
    model.entries.map(({ name, shape }) => [
      rename(name),
      new TensorReference(key(name), 'FloatStorage', shape),
    ]),
  );
}

/** Another set of weights under the storages `ema NAME`: zeros. */
export const average = stateDict(undefined, (name) => `ema ${name}`);
export const averageStorages = Object.fromEntries(
  model.entries.map(({ name }) => [`ema ${name}`, new Uint8Array(bytesOf(name).length)]),
);

/** What torch.optim.SGD saves, its parameters in these groups. */
export function optimizer(...groups: number[][]): Map<string, PythonValue> {
  const buffers = parameters.map(({ name, shape }, i) => {
    const buffer = new TensorReference(momentumName(name), 'FloatStorage', shape);
    return [i, new Map([['momentum_buffer', buffer]])] as const;
  });
  return new Map<string, PythonValue>([
    ['state', new Map<string | number, PythonValue>(buffers)],
    [
      'param_groups',
      groups.map(
        (params, i) =>
          new Map<string, PythonValue>([
            ['params', params],
            ['weight_decay', i],
          ]),
      ),
    ],
  ]);
}

export const oneGroup = parameters.map((_, i) => i);

export const dict = (items: Record<string, PythonValue>) =>
  new Map<string, PythonValue>(Object.entries(items));

/** A pickled dict; a value may be opcodes, Latin-1, that push one. */
export function dictPickle(items: Record<string, PythonValue | Opcodes>): Buffer {
  const parts = Object.entries(items).flatMap(([key, value]) => [
    inner(key),
    value instanceof Opcodes ? Buffer.from(value.text, 'latin1') : inner(value),
  ]);
  return Buffer.concat([Buffer.from('\x80\x02}(', 'latin1'), ...parts, Buffer.from('u.')]);
}

/** A pickle without its first opcode and its last. */
const inner = (value: PythonValue) => pickle(value).subarray(2, -1);

export class Opcodes {
  readonly text: string;

  constructor(text: string) {
    this.text = text;
  }
}

export async function file(t: ExecutionContext, bytes: Uint8Array, name = 'w.pth'): Promise<string> {
  const path = join(temporaryFolder(t), name);
  await writeFile(path, bytes);
  return path;
}
