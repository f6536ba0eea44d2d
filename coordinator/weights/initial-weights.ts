/**
 * The weights that training starts from, drawn as each model's own recipe says (`Init`) from the run's seed. Every entry
 * has draws of its own, so no entry's values depend on another's size or order of evaluation.
 */

import { type Purpose, stateLayout } from '../../shared/formats/state-layout.ts';
import type { Init } from '../../shared/models/layers.ts';
import { elementCount, type Model } from '../../shared/models/model.ts';
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
    const values = new Float32Array(body.buffer, offset, elementCount(entry.shape));
    initialize(values, entry.init, new Draws(seed, streams.initialization, entry.index));
  }
  return body;
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
