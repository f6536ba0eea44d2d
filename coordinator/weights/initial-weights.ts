/**
 * The weights that training starts from, drawn as each model's own recipe says (`Init`) from the run's seed. Every entry
 * has draws of its own, so no entry's values depend on another's size or order of evaluation.
 */
import assert from 'node:assert/strict';
import { type Purpose, stateLayout } from '../../shared/formats/state-layout.ts';
import type { Init } from '../../shared/models/layers.ts';
import { elementCount, type Model, type StateEntry } from '../../shared/models/model.ts';
import { Draws, streams } from '../../shared/random.ts';

/**
 * A snapshot body (`stateLayout`) at step 0: fresh weights, running statistics at rest, no momentum.
 * @param seed unsigned 32-bit integer
 */
export function initialSnapshot(model: Model, seed: number, purpose: Purpose = 'training'): Uint8Array {
  const { slots, bytes } = stateLayout(model, purpose);
  const body = new Uint8Array(bytes); // counters and momentum stay zero
  const entries = new Map(model.entries.map((entry, index) => [entry.name, { ...entry, index }]));
  for (const { name, dtype, offset } of slots) {
    const entry = entries.get(name);
    if (!entry || dtype === 'I64') continue;
    draw(entry, seed, new Float32Array(body.buffer, offset, elementCount(entry.shape)));
  }
  return body;
}

/** The values of one entry as `initialSnapshot` has them, row-major. */
export function drawEntry(model: Model, name: string, seed: number): Float32Array {
  const index = model.entries.findIndex((entry) => entry.name === name);
  const entry = model.entries[index];
  assert(entry !== undefined, `${name} is of the model`);
  const values = new Float32Array(elementCount(entry.shape));
  draw({ ...entry, index }, seed, values);
  return values;
}

/** @param entry with its place in the state dict */
function draw({ init, index }: StateEntry & { index: number }, seed: number, into: Float32Array): void {
  initialize(into, init, new Draws(seed, streams.initialization, index));
}

function initialize(values: Float32Array, init: Init, draws: Draws): void {
  switch (init.kind) {
    case 'constant':
      values.fill(init.value);
      return;
    case 'uniform':
      for (let i = 0; i < values.length; i++) values[i] = draws.between(-init.bound, init.bound);
      return;
    case 'normal':
      for (let i = 0; i < values.length; i++) values[i] = draws.normal() * init.deviation;
  }
}
