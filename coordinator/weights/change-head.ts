/** The weights of a file under a head of another size: rows that it has go on, the others are drawn. */
import assert from 'node:assert/strict';
import { type Purpose, stateLayout } from '../../shared/formats/state-layout.ts';
import { elementCount, isOfHead, type Model } from '../../shared/models/model.ts';
import { drawEntry } from './initial-weights.ts';

export interface HeadChange {
  /** The model as the file has it. */
  readonly from: Model;
  /** For each output the row of the file's head that it goes on with; null: it is drawn. */
  readonly rows: readonly (number | null)[];
  /** Of the drawn rows: the same as those of a run that draws all weights with this seed. */
  readonly seed: number;
}

/**
 * @param body a snapshot of `change.from`
 * @param model with the head that is wanted, and otherwise the same
 * @returns a snapshot of `model`
 */
export function withChangedHead(
  body: Uint8Array<ArrayBuffer>,
  model: Model,
  { from, rows, seed }: HeadChange,
  purpose: Purpose,
): Uint8Array<ArrayBuffer> {
  const { slots, bytes } = stateLayout(model, purpose);
  const old = new Map(stateLayout(from, purpose).slots.map((slot) => [slot.name, slot]));
  const ofModel = new Set(model.entries.map(({ name }) => name));
  const changed = new Uint8Array(bytes);
  for (const slot of slots) {
    const { name, shape, offset } = slot;
    if (!ofModel.has(name)) continue; // what an optimizer keeps begins with zeros
    const source = old.get(name);
    assert(source !== undefined, `${name} is in both`);
    const values = body.subarray(source.offset, source.offset + source.bytes);
    if (!isOfHead(name)) {
      changed.set(values, offset);
      continue;
    }
    const drawn = drawEntry(model, name, seed);
    new Float32Array(changed.buffer, offset, elementCount(shape)).set(drawn);
    const row = slot.bytes / rows.length;
    for (const [output, kept] of rows.entries()) {
      if (kept !== null) changed.set(values.subarray(kept * row, (kept + 1) * row), offset + output * row);
    }
  }
  return changed;
}
