/** The weights that a run begins with: a pure function of the model and the seed, the same on every machine. */
import { philox, streams } from '../random.ts';
import { stateLayout } from '../state-layout.ts';
import type { Init } from './layers.ts';
import type { Model } from './model.ts';

/** Uniforms are 24-bit, as float32 holds; the half keeps them off zero, whose logarithm is not finite. */
const unit = 2 ** -24;

/**
 * The snapshot of step 0: weights drawn as the model says, momentum and counters zero.
 * @param seed an unsigned 32-bit integer; every entry draws from a stream of its own
 * @returns a snapshot body (`stateLayout`)
 */
export function initialBody(model: Model, seed: number): Uint8Array {
  const { slots, bytes } = stateLayout(model);
  const body = new Uint8Array(bytes);
  const offsets = new Map(slots.map((slot) => [slot.name, slot.offset]));
  for (const [index, { name, shape, kind, init }] of model.entries.entries()) {
    if (kind === 'numBatchesTracked') continue;
    const length = shape.reduce((product, size) => product * size, 1);
    draw(new Float32Array(body.buffer, offsets.get(name), length), init, seed, index);
  }
  return body;
}

function draw(values: Float32Array, init: Init, seed: number, entry: number): void {
  if (init.kind === 'constant') {
    values.fill(init.value);
    return;
  }
  const key = [seed >>> 0, streams.initialization] as const;
  for (let i = 0; i < values.length; i += 4) {
    const words = philox([i / 4, entry, 0, 0], key);
    const [a, b, c, d] = words.map((word) => ((word >>> 8) + 0.5) * unit) as [number, number, number, number];
    const four =
      init.kind === 'uniform'
        ? [a, b, c, d].map((u) => (2 * u - 1) * init.bound)
        : [...normals(a, b), ...normals(c, d)].map((z) => z * init.deviation);
    for (let j = 0; j < 4 && i + j < values.length; j++) values[i + j] = four[j]!;
  }
}

/** Two standard normal deviates from two uniforms in (0, 1) (Box & Muller 1958). */
function normals(a: number, b: number): [number, number] {
  const radius = Math.sqrt(-2 * Math.log(a));
  return [radius * Math.cos(2 * Math.PI * b), radius * Math.sin(2 * Math.PI * b)];
}
