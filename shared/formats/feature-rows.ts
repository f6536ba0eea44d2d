/** How the features of a batch lie in a blob: the rows of each tap, one tap after the other, little endian. */
import { CornetError } from '../errors.ts';
import { elementCount, type Model } from '../models/model.ts';
import { type Tap, tapName, traceModel } from '../models/trace.ts';
import { toHalf } from './half.ts';

export type FeatureType = 'float32' | 'float16';

export const bytesPerValue: Record<FeatureType, number> = { float32: 4, float16: 2 };

/** Batch of the traced pass: the smallest that every batch normalisation accepts. */
const tracedBatch = 2;

/** All taps of a model in the order in which they fire, with their shapes for one image. */
export function tapsOf(model: Model, imageSize: number): Tap[] {
  const { taps } = traceModel(model, tracedBatch, imageSize);
  return taps.map((tap) => ({ ...tap, shape: tap.shape.slice(1) }));
}

export interface TapRows {
  readonly name: string;
  /** Values of one row. */
  readonly width: number;
}

/**
 * The rows of the named taps, in the order of the names.
 * @throws CornetError OPTION_INVALID for a tap that the model does not have
 */
export function rowsOfTaps(model: Model, imageSize: number, names: readonly string[]): TapRows[] {
  const known = new Map(tapsOf(model, imageSize).map((tap) => [tapName(tap), tap]));
  return names.map((name) => {
    const tap = known.get(name);
    if (tap !== undefined) return { name, width: elementCount(tap.shape) };
    throw new CornetError('OPTION_INVALID', `CORnet-${model.name} has no tap ${name}.`, {
      hint: `It has ${[...known.keys()].join(', ')}.`,
    });
  });
}

/**
 * Writes values from byte `offset` on.
 * @param empty rows to fill with NaN instead: there was no image
 */
export function writeRows(
  target: DataView,
  offset: number,
  values: Float32Array,
  { type, width, empty }: { type: FeatureType; width: number; empty: readonly number[] },
): void {
  for (const row of empty) values.fill(Number.NaN, row * width, (row + 1) * width);
  if (type === 'float32') {
    for (const [i, value] of values.entries()) target.setFloat32(offset + 4 * i, value, true);
  } else {
    for (const [i, value] of values.entries()) target.setUint16(offset + 2 * i, toHalf(value), true);
  }
}
