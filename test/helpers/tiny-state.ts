import type { TensorEntry } from '../../shared/formats/safetensors.ts';

/** A snapshot of a counter and one vector of `elements` float32. */
export function tinyLayout(elements = 16): TensorEntry[] {
  return [
    { name: 'counter', dtype: 'I64', shape: [], offset: 0, bytes: 8 },
    { name: 'weight', dtype: 'F32', shape: [elements], offset: 8, bytes: 4 * elements },
  ];
}

/** Every element is the step: a mixture of two states shows. */
export function tinyState(elements: number, step: number): Uint8Array<ArrayBuffer> {
  const body = new Uint8Array(8 + 4 * elements);
  new BigInt64Array(body.buffer, 0, 1)[0] = BigInt(step);
  new Float32Array(body.buffer, 8).fill(step);
  return body;
}
