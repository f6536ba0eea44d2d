/**
 * The engine: a model, its optimizer and a tensor library, one per process. Synchronous and single-threaded; the
 * caller decides in which thread it lives.
 *
 * Its state is what a snapshot holds: parameters, momentum, running statistics, step. Computing a shard leaves the
 * state alone and keeps the shard's vector; `reduce` sums slices of vectors in lane order; `apply` is the only step
 * from one state to the next.
 */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import type { Normalization } from '../../shared/defaults.ts';
import { bytesPerValue, type FeatureType, rowsOfTaps, writeRows } from '../../shared/formats/feature-rows.ts';
import { type Purpose, type StateLayout, stateLayout } from '../../shared/formats/state-layout.ts';
import { type VectorLayout, vectorLayout } from '../../shared/formats/vector-layout.ts';
import { formulaEntry, formulaImages, formulaLabels } from '../../shared/models/closed-formula.ts';
import { modelOf, type NetworkOptions } from '../../shared/models/family.ts';
import { normMomentum } from '../../shared/models/layers.ts';
import type { Model } from '../../shared/models/model.ts';
import type { Tensor } from '../../shared/models/ops.ts';
import type { TapListener } from '../../shared/models/pass.ts';
import { tapName } from '../../shared/models/trace.ts';
import type { BackendName, Precision } from '../../shared/run-config.ts';
import type { Numerics } from '../../shared/wire/protocol.ts';
import type { Backend, MemoryFormat, StagedImages } from '../backend/backend.ts';
import { fusesNorms, memoryFormatOf } from '../backend/memory-format.ts';
import { openBackend } from '../backend/open-backend.ts';
import { type MemoryRange, openMappings } from '../memory/mappings.ts';
import { inferencePass } from './inference-pass.ts';
import { withMemoryHint } from './memory-hint.ts';
import { ModelState } from './model-state.ts';
import { type LanePart, type Reduced, type ReducedSlice, Reduction } from './reduction.ts';
import { assertLabels, type BatchScores, type ShardScores, scoreLogits } from './scores.ts';
import { type Images, Staging } from './staging.ts';
import { type ShardSeconds, trainingPass } from './training-pass.ts';

export interface EngineOptions extends NetworkOptions {
  readonly backend: BackendName;
  /** `cpu` or `cuda:<index>`. */
  readonly device: string;
  /** Threads that one operator may use. */
  readonly threads: number;
  /** What `stateLayout` the snapshots have. For inference nothing can be computed but features and scores. */
  readonly purpose: Purpose;
  /** Pixels, square. */
  readonly imageSize: number;
  readonly normalize: Normalization;
  readonly precision: Precision;
  /** Only kernels that give the same bits every time. */
  readonly deterministic: boolean;
  /** Default: what is the fastest for the model, the device and the precision. It changes the bits: for benchmarks. */
  readonly memoryFormat?: MemoryFormat;
  /** Group norms by kernels of our own (`Arithmetic`). Default: where that is the fastest. It changes the bits, too. */
  readonly fused?: boolean;
  /** The rest is of training alone, as in `ResultOptions`. */
  readonly momentum: number;
  readonly nesterov: boolean;
  readonly weightDecay: number;
  readonly labelSmoothing: number;
  readonly betas: readonly [number, number];
  readonly clipNorm: number;
  readonly lrScale: string;
}

/** Tensors alive and their bytes; memory of the GPU, null on the CPU. */
export interface Vitals {
  readonly tensors: number;
  readonly tensorBytes: number;
  readonly deviceUsed: number | null;
  readonly deviceTotal: number | null;
}

export interface FeaturesWanted {
  /** Full names. */
  readonly taps: readonly string[];
  readonly type: FeatureType;
  /** Positions of rows without an image: they are NaN. */
  readonly empty: readonly number[];
  /** The rows are clips: the network sees another image at each time step. */
  readonly frames: boolean;
}

export interface TapValue {
  readonly shape: readonly number[];
  /** Row-major. */
  readonly data: Float32Array;
}

/** Images of the probe: the least that every norm accepts. */
const probeImages: Readonly<Record<Purpose, number>> = { training: 2, inference: 1 };

/** Weights of the probe, after which they repeat: a prime, so that no two filters are alike. */
const probePeriod = 65_537;

export class Engine {
  readonly options: EngineOptions;
  readonly #backend: Backend<Tensor>;
  readonly #model: Model;
  readonly #stateLayout: StateLayout;
  readonly #vectorLayout: VectorLayout;
  readonly #state: ModelState<Tensor>;
  readonly #reduction: Reduction<Tensor>;
  readonly #staging: Staging<Tensor>;
  #step: number | null = null;
  readonly #now: () => number;

  /**
   * @param now milliseconds, monotonic
   * @throws CornetError BACKEND_UNAVAILABLE when the tensor library cannot be loaded, DEVICE_UNAVAILABLE when it does
   * not know the device
   */
  constructor(options: EngineOptions, now = () => performance.now()) {
    this.options = options;
    this.#now = now;
    this.#model = modelOf(options);
    this.#stateLayout = stateLayout(this.#model, options.purpose);
    this.#vectorLayout = vectorLayout(this.#model, options.imageSize);
    this.#backend = openBackend(options.backend, options.device, {
      ...options,
      memoryFormat: options.memoryFormat ?? memoryFormatOf(options),
      fused: options.fused ?? (options.memoryFormat === undefined && fusesNorms(options)),
    });
    const { purpose, lrScale } = options;
    this.#state = new ModelState(this.#backend, this.#model, this.#vectorLayout, purpose, lrScale);
    this.#reduction = new Reduction(this.#backend, this.#vectorLayout, openMappings());
    this.#staging = new Staging(this.#backend, options.imageSize, options.normalize);
  }

  get numerics(): Numerics {
    return this.#backend.numerics;
  }

  /** Sentences for the log. */
  get notes(): readonly string[] {
    return this.#backend.notes;
  }

  vitals(): Vitals {
    const { tensors: tensorBytes, deviceUsed, deviceTotal } = this.#backend.memory();
    return { tensors: this.#backend.tensorCount, tensorBytes, deviceUsed, deviceTotal };
  }

  /** Float32 elements of a vector. */
  get vectorLength(): number {
    return this.#vectorLayout.length;
  }

  /** The step that the state is at: as many updates lie behind it. */
  get step(): number {
    assert(this.#step !== null, 'no snapshot has been loaded');
    return this.#step;
  }

  /**
   * SHA-256 (hex) of what weights and images from a closed formula come to: the vector of a shard, or the logits of a
   * batch where nothing is trained. Two engines that agree on it can be trusted to compute the same run. Forgets the
   * state: a second one would take its memory once more.
   */
  probe(): string {
    const { imageSize, purpose } = this.options;
    const count = probeImages[purpose];
    const images = formulaImages(count, imageSize);
    this.forgetVectors();
    this.#step = null;
    for (const entry of this.#model.entries) {
      if (entry.kind !== 'numBatchesTracked')
        this.#state.write(entry.name, formulaEntry(entry, 0, probePeriod));
    }
    const bytes = this.#backend.deterministically(() =>
      this.#backend.scope(() =>
        purpose === 'training'
          ? this.#backend.downloadFlat(this.#shard(images, formulaLabels(count, 0, this.options.head)).vector)
          : new Uint8Array(this.#backend.download(this.#infer(images, count, null)).buffer),
      ),
    );
    return sha256(bytes);
  }

  /**
   * Computes one shard of full size and forgets it, before anybody counts on this worker: a GPU whose memory is too
   * small is found out, and its workspaces are had. Where cuDNN cannot have one, it takes another way to other bits.
   * @throws CornetError DEVICE_MEMORY
   */
  warmUp(images: number): void {
    const pixels = new Uint8Array(images * 3 * this.options.imageSize ** 2);
    const labels = new Int32Array(images);
    this.#withMemoryHint('shard', images, () =>
      this.#backend.scope(() => {
        this.#shard(pixels, labels);
      }),
    );
  }

  /**
   * Takes over the state of a snapshot; forgets all vectors.
   * @param body as `stateLayout` says, at a multiple of 8 in its buffer
   */
  load(body: Uint8Array, step: number): void {
    const { slots, bytes } = this.#stateLayout;
    assert.equal(body.byteLength, bytes, 'a snapshot body has the length of its layout');
    const { buffer, byteOffset } = body;
    for (const { name, dtype, offset, bytes } of slots) {
      const begin = byteOffset + offset;
      if (dtype === 'I64') this.#state.counters.set(name, new BigInt64Array(buffer, begin, 1)[0]!);
      else this.#state.write(name, new Float32Array(buffer, begin, bytes / Float32Array.BYTES_PER_ELEMENT));
    }
    this.forgetVectors();
    this.#step = step;
  }

  /** The state as a snapshot body. */
  snapshot(): Uint8Array {
    assert(this.#step !== null, 'no snapshot has been loaded');
    const { slots, bytes } = this.#stateLayout;
    const body = new Uint8Array(bytes);
    for (const slot of slots) {
      const values =
        slot.dtype === 'I64'
          ? BigInt64Array.of(this.#state.counters.get(slot.name)!)
          : this.#state.read(slot.name);
      body.set(new Uint8Array(values.buffer), slot.offset);
    }
    return body;
  }

  /**
   * Sends the images of a coming shard to the device, which may still compute another.
   * @param shard any name, by which `computeShard` will know them, or `unstage`
   * @throws CornetError DEVICE_MEMORY
   */
  stage(shard: string, images: Uint8Array): void {
    this.#withMemoryHint('shard', this.#staging.countOf(images), () => this.#staging.stage(shard, images));
  }

  /** Gives up what was staged, if it was not computed. */
  unstage(shard: string): void {
    this.#staging.unstage(shard);
  }

  /**
   * Computes the vector of one lane's shard at the present state and keeps it. A pure function of the state and its
   * arguments: the same bytes whenever it is repeated.
   * @param images a string: those that were staged by that name
   * @param labels one class index per image
   * @param target this process's own shared memory, where the vector is to be; it is kept there while the engine has it
   * @returns the mean loss over the shard (float32; of smoothed labels if they are) and the counts of right answers; how long it took; and the
   * digest of what is in the target
   */
  computeShard(
    lane: number,
    images: Images | string,
    labels: Int32Array,
    target: MemoryRange | null = null,
  ): { scores: ShardScores; seconds: ShardSeconds; digest: string | null } {
    assert(this.#step !== null, 'no snapshot has been loaded');
    assertLabels(labels, this.options.head, false);
    const input = typeof images === 'string' ? this.#staging.take(images) : images;
    const { vector, ...report } = this.#withMemoryHint('shard', labels.length, () =>
      this.#shard(input, labels, target),
    );
    this.#reduction.keep(lane, vector);
    return { ...report, digest: target === null ? null : this.#reduction.offerVector(lane, target, true) };
  }

  /** A copy of the lane's vector: float32, little endian. The order inside an entry is the backend's own. */
  vectorBytes(lane: number): Uint8Array {
    return this.#backend.downloadFlat(this.#reduction.vector(lane));
  }

  /** Writes the lane's vector into this process's own shared memory. @returns its digest */
  offerVector(lane: number, target: MemoryRange): string {
    return this.#reduction.offerVector(lane, target, false);
  }

  /**
   * Sums a slice of the vectors over the lanes: `Reduction.reduce`. The result is kept for `gather` and `sliceBytes`.
   * @param target this process's own shared memory, where others read the slice
   */
  reduce(begin: number, end: number, lanes: readonly LanePart[], target: MemoryRange | null = null): Reduced {
    return this.#reduction.reduce(begin, end, lanes, target);
  }

  /** A copy of a slice that was reduced here: float32, little endian. */
  sliceBytes(begin: number, end: number): Uint8Array {
    return this.#reduction.sliceBytes(begin, end);
  }

  /**
   * Completes the reduced vector, for `apply`, where `reduce` has not made all of it.
   * @param slices cover it, in order
   * @returns false: one of them is not there any more
   */
  gather(slices: readonly ReducedSlice[]): boolean {
    return this.#reduction.gather(slices);
  }

  /**
   * One step of the optimizer as PyTorch's (parameters without a gradient are left alone), and of the running statistics,
   * with what was gathered. Forgets all vectors.
   */
  apply(learningRate: number): void {
    const { step } = this;
    const { momentum, nesterov, weightDecay, betas, clipNorm } = this.options;
    const recipe = { learningRate, momentum, nesterov, weightDecay, betas, clipNorm, step: step + 1 };
    this.#state.update(this.#reduction.whole, recipe, normMomentum);
    this.forgetVectors();
    this.#step = step + 1;
  }

  /** Drops all vectors and reduced slices. */
  forgetVectors(): void {
    this.#reduction.forget();
  }

  /** Scores a batch with the running statistics. */
  evaluate(images: Images, labels: Int32Array): BatchScores {
    assert(this.#step !== null, 'no snapshot has been loaded');
    assertLabels(labels, this.options.head, true);
    return this.#backend.scope(() => {
      const logits = this.#infer(images, labels.length, null);
      return scoreLogits(this.#backend.download(logits), labels);
    });
  }

  /**
   * Reads the outputs of named places, with the running statistics.
   * @param names full tap names: `V4.output-t3`, `decoder.avgpool`
   * @throws CornetError OPTION_INVALID for a tap that the model does not have
   */
  taps(images: Images, names: readonly string[]): Map<string, TapValue> {
    rowsOfTaps(this.#model, this.options.imageSize, names);
    const values = new Map<string, TapValue>();
    const wanted = new Set(names);
    this.#read(images, false, (name, shape, data) => {
      if (wanted.has(name)) values.set(name, { shape, data: data() });
    });
    return values;
  }

  /**
   * The features of a batch, as `feature-rows.ts` lays them out.
   * @param images of clips the first frame of each, then the second of each, and so on
   */
  features(images: Images, { taps, type, empty, frames }: FeaturesWanted): Uint8Array<ArrayBuffer> {
    const count = this.#rowsOf(images, frames);
    const offsets = new Map<string, { offset: number; width: number }>();
    let bytes = 0;
    for (const { name, width } of rowsOfTaps(this.#model, this.options.imageSize, taps)) {
      offsets.set(name, { offset: bytes, width });
      bytes += count * width * bytesPerValue[type];
    }
    const rows = new Uint8Array(bytes);
    const view = new DataView(rows.buffer);
    this.#read(images, frames, (name, _, data) => {
      const place = offsets.get(name);
      if (place !== undefined) writeRows(view, place.offset, data(), { type, width: place.width, empty });
    });
    return rows;
  }

  /** Shows every tap of a forward pass; its values are fetched from the device when `data` is called. */
  #read(
    images: Images,
    frames: boolean,
    show: (name: string, shape: readonly number[], data: () => Float32Array) => void,
  ): void {
    assert(this.#step !== null, 'no snapshot has been loaded');
    const listener: TapListener<Tensor> = (name, timeStep, value) => {
      show(tapName({ name, timeStep }), value.shape, () => this.#backend.download(value));
    };
    this.#backend.scope(() => {
      this.#infer(images, this.#rowsOf(images, frames), listener, frames);
    });
  }

  /** Images, or clips of one frame for each time step. */
  #rowsOf(images: Images, frames: boolean): number {
    return this.#staging.countOf(images) / (frames ? this.options.times : 1);
  }

  #shard(
    images: Images | StagedImages<Tensor>,
    labels: Int32Array,
    target: MemoryRange | null = null,
  ): ReturnType<typeof trainingPass> {
    return trainingPass(
      {
        backend: this.#backend,
        model: this.#model,
        state: this.#state,
        layout: this.#vectorLayout,
        newVector: () => this.#reduction.newVector(target),
        precision: this.options.precision,
        labelSmoothing: this.options.labelSmoothing,
        upload: (count) => this.#staging.input(images, count),
        now: this.#now,
      },
      labels,
    );
  }

  #withMemoryHint<R>(kind: 'shard' | 'batch', images: number, body: () => R): R {
    const memory = () => this.#backend.memory();
    return withMemoryHint({ kind, images }, { options: this.options, memory }, body);
  }

  /** The logits of a batch, with the running statistics; they pass to the caller's scope. */
  #infer(images: Images, count: number, listener: TapListener<Tensor> | null, frames = false): Tensor {
    const [backend, model, state, staging] = [this.#backend, this.#model, this.#state, this.#staging];
    const { times, precision } = this.options;
    const batch = { images, count, times: frames ? times : null };
    return this.#withMemoryHint('batch', count, () =>
      inferencePass({ backend, model, state, staging, precision }, batch, listener),
    );
  }
}

function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}
