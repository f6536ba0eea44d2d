/**
 * A model's state on the device. Parameters, momentum and running statistics each live in one flat tensor, so that an
 * update is a few operators over long ranges; entries are windows of it. The flat order is the vector's: the trained
 * parameters first, so that gradients and parameters lie side by side, the frozen ones last.
 */
import assert from 'node:assert/strict';
import { bufferName, optimizerBuffers, type Purpose } from '../../shared/formats/state-layout.ts';
import type { VectorLayout } from '../../shared/formats/vector-layout.ts';
import { elementCount, type Model } from '../../shared/models/model.ts';
import type { Tensor } from '../../shared/models/ops.ts';
import { readScales, scaleOf } from '../../shared/util/scales.ts';
import { type AdamwOptions, adamw } from '../backend/adamw.ts';
import type { Backend, SgdOptions } from '../backend/backend.ts';

export interface UpdateOptions extends SgdOptions, AdamwOptions {
  /** The largest norm that gradients may have; 0: any. */
  readonly clipNorm: number;
}

/** Neighbours in the flat order whose learning rate has one factor: elements [begin, end). */
interface ScaledRange {
  readonly begin: number;
  end: number;
  readonly scale: number;
}

export class ModelState<T extends Tensor> {
  /** By state dict name; they share the memory of the flat tensor. Those that are trained are leaves of autograd. */
  readonly parameters: ReadonlyMap<string, T>;
  /** Running means and variances, by state dict name. */
  readonly statistics: ReadonlyMap<string, T>;
  /** `num_batches_tracked` of each norm, by state dict name. */
  readonly counters = new Map<string, bigint>();
  readonly #backend: Backend<T>;
  readonly #layout: VectorLayout;
  readonly #flatParameters: T;
  /** What the optimizer keeps, in its order; none: nothing is trained. */
  readonly #flatBuffers: readonly T[];
  readonly #flatStatistics: T;
  readonly #countersAtRest: ReadonlySet<string>;
  /** They cover the trained parameters: one operator each, and one for all where no factor is another. */
  readonly #scaledRanges: readonly ScaledRange[];
  /** Every float entry of a snapshot, by name, as a plain window. */
  readonly #windows = new Map<string, T>();

  /** @param lrScale factors of the learning rate, as `ResultOptions` has them */
  constructor(backend: Backend<T>, model: Model, layout: VectorLayout, purpose: Purpose, lrScale: string) {
    this.#backend = backend;
    this.#layout = layout;
    const trained = layout.entries.filter(({ end }) => end <= layout.gradients);
    this.#scaledRanges = scaledRanges(trained, lrScale);
    const trainedNames = new Set(trained.map(({ name }) => name));
    const untrained = model.entries
      .filter(({ name, kind }) => kind === 'parameter' && !trainedNames.has(name))
      .sort(({ frozen: a = false }, { frozen: b = false }) => Number(a) - Number(b));
    const withBuffers = [...trained, ...untrained.filter(({ frozen = false }) => !frozen)];
    const flatOrder = [...trained, ...untrained];
    this.#flatParameters = backend.flat(lengthOf(flatOrder));
    const buffers = purpose === 'training' ? optimizerBuffers[model.optimizer ?? 'sgd'] : [];
    this.#flatBuffers = buffers.map(() => backend.flat(lengthOf(withBuffers)));
    this.#flatStatistics = backend.flat(layout.length - layout.gradients);

    const parameters = new Map<string, T>();
    let begin = 0;
    for (const [index, { name, shape }] of flatOrder.entries()) {
      const window = backend.window(this.#flatParameters, begin, shape);
      this.#windows.set(name, window);
      for (const [i, flat] of index < withBuffers.length ? this.#flatBuffers.entries() : [])
        this.#windows.set(bufferName(buffers[i]!, name), backend.window(flat, begin, shape));
      // Without a leaf of autograd in it, no backward pass reaches a part of the network.
      parameters.set(name, trainedNames.has(name) ? backend.parameter(window) : window);
      begin += elementCount(shape);
    }
    const statistics = new Map<string, T>();
    for (const { name, shape, begin } of layout.entries.slice(trained.length)) {
      const window = backend.window(this.#flatStatistics, begin - layout.gradients, shape);
      this.#windows.set(name, window);
      statistics.set(name, window);
    }
    const frozen = model.entries.filter(({ kind, frozen = false }) => frozen && kind !== 'parameter');
    const atRest = frozen.filter(({ kind }) => kind !== 'numBatchesTracked');
    const flatAtRest = backend.flat(lengthOf(atRest));
    let place = 0;
    for (const { name, shape } of atRest) {
      const window = backend.window(flatAtRest, place, shape);
      this.#windows.set(name, window);
      statistics.set(name, window);
      place += elementCount(shape);
    }
    for (const { name, kind } of model.entries) if (kind === 'numBatchesTracked') this.counters.set(name, 0n);
    this.#countersAtRest = new Set(frozen.map(({ name }) => name));
    this.parameters = parameters;
    this.statistics = statistics;
  }

  /** Sets an entry of the state dict or a buffer of the optimizer from row-major values. */
  write(name: string, values: Float32Array): void {
    this.#backend.assign(this.#window(name), values);
  }

  /** An entry of the state dict or a buffer of the optimizer, row-major. */
  read(name: string): Float32Array {
    return this.#backend.download(this.#window(name));
  }

  /**
   * One step of the optimizer as PyTorch's (`sgdByParts`, `adamw`; parameters with factors of the learning rate are
   * groups of their own), after torch.nn.utils.clip_grad_norm_, and the running statistics of nn.BatchNorm2d, from a
   * reduced vector, whose gradients may be overwritten.
   */
  update(reduced: T, options: UpdateOptions, normMomentum: number): void {
    const backend = this.#backend;
    const { gradients: trained, length } = this.#layout;
    assert(this.#flatBuffers.length > 0, 'a state for inference is not trained');
    backend.scope(() => {
      clip(backend, backend.slice(reduced, 0, trained), options.clipNorm);
      for (const { begin, end, scale } of this.#scaledRanges) {
        const gradient = backend.slice(reduced, begin, end);
        const parameters = backend.slice(this.#flatParameters, begin, end);
        const buffers = this.#flatBuffers.map((flat) => backend.slice(flat, begin, end));
        const scaled = { ...options, learningRate: options.learningRate * scale };
        if (buffers.length === 1) backend.sgd(parameters, gradient, buffers[0]!, scaled);
        else adamw(backend, { parameters, gradient, mean: buffers[0]!, square: buffers[1]! }, scaled);
      }
      if (length > trained) {
        backend.scale(this.#flatStatistics, 1 - normMomentum);
        backend.accumulate(this.#flatStatistics, backend.slice(reduced, trained, length), normMomentum);
      }
    });
    for (const [name, count] of this.counters) {
      if (!this.#countersAtRest.has(name)) this.counters.set(name, count + 1n);
    }
  }

  #window(name: string): T {
    const window = this.#windows.get(name);
    assert(window, `no entry ${name}`);
    return window;
  }
}

/** PyTorch's term against a division by zero. */
const clipEpsilon = 1e-6;

/** The norm is that of the whole reduced gradient, which every member has: one number for all of them. */
function clip<T extends Tensor>(backend: Backend<T>, gradient: T, most: number): void {
  if (most === 0) return;
  const coefficient = most / (backend.norm(gradient) + clipEpsilon);
  if (coefficient < 1) backend.scale(gradient, coefficient);
}

function scaledRanges(entries: VectorLayout['entries'], lrScale: string): ScaledRange[] {
  const scales = readScales(lrScale);
  assert(scales !== null, `factors of the learning rate: ${lrScale}`);
  const ranges: ScaledRange[] = [];
  for (const { name, begin, end } of entries) {
    const scale = scaleOf(name, scales);
    const last = ranges.at(-1);
    if (last?.scale === scale) last.end = end;
    else ranges.push({ begin, end, scale });
  }
  return ranges;
}

function lengthOf(entries: readonly { readonly shape: readonly number[] }[]): number {
  return entries.reduce((sum, { shape }) => sum + elementCount(shape), 0);
}
