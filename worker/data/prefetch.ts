/** Loads the images of coming shards ahead of their jobs: the schedule is known, so nobody has to say what is next. */
import assert from 'node:assert/strict';
import { stat } from 'node:fs/promises';
import type { DatasetIndex } from '../../shared/data/dataset-index.ts';
import type { FileList } from '../../shared/data/file-list.ts';
import type { ImageSource } from '../../shared/data/image-source.ts';
import { checkSize } from '../../shared/data/index-cache.ts';
import type { Schedule } from '../../shared/data/schedule.ts';
import { noLabel } from '../../shared/data/split.ts';
import { CornetError } from '../../shared/errors.ts';
import type { Unreadable } from '../../shared/wire/protocol.ts';
import type { ImageDecoder } from './decode.ts';
import { resizeAndCentreCrop, squash, type Transform, trainingTransform, within } from './transform.ts';

/** Images with their labels. Each array has a buffer of its own, so that both can be transferred to another thread. */
export interface Batch {
  /** uint8 RGB, [n, size, size, 3]. */
  readonly images: Uint8Array<ArrayBuffer>;
  /** [n]: outputs of the decoder. */
  readonly labels: Int32Array<ArrayBuffer>;
  /** Images that could not be decoded and were let pass, in order. In a batch they are black, and have no label. */
  readonly unreadable: Unreadable[];
}

/** How images are cut when nothing is drawn at random. */
export type BatchMode = 'validation' | 'features';

/** The shards of a training. */
export interface Shards {
  readonly files: FileList;
  readonly schedule: Schedule;
  /** Steps of the whole run: nothing is loaded ahead past the last one. */
  readonly steps: number;
  /** How many shards are loaded ahead. */
  readonly prefetchShards: number;
  /** Let images pass that cannot be decoded: another one of the shard takes the place. */
  readonly skipUnreadable: boolean;
}

export interface ShardLoaderOptions {
  /** Where the files are. */
  readonly index: Pick<DatasetIndex, 'root' | 'keptIn'>;
  readonly decoder: ImageDecoder;
  /** Side of the square input image in pixels. */
  readonly imageSize: number;
  /** Null: there is no training, and only `loadBatch` is asked for. */
  readonly shards: Shards | null;
}

/** A batch in the making. A load that is on no list any more is cancelled: no further image of it is started. */
interface Load {
  readonly files: FileList;
  readonly samples: ArrayLike<number>;
  readonly transform: (sample: number) => Transform;
  /** What becomes of an image that cannot be decoded. */
  readonly unreadable: 'refused' | 'black' | 'replaced';
  readonly batch: Batch;
  readonly done: Promise<Batch>;
  readonly resolve: (batch: Batch) => void;
  readonly reject: (error: unknown) => void;
  /** Images started and images finished so far. */
  started: number;
  finished: number;
}

/** Where a shard stands in the schedule. */
export interface Place {
  readonly step: number;
  readonly lane: number;
}

/** A load that is not asked for yet. */
interface LoadAhead extends Place {
  readonly load: Load;
}

/**
 * Bounded twice: at most `prefetchShards` shards are held ahead, at most `decoder.underWay` images are under way.
 * What is asked for goes before what is loaded ahead. Not to be used by two consumers.
 */
export class ShardLoader {
  readonly #options: ShardLoaderOptions;
  /** Images decoded so far, and the size of their files: what metrics count. */
  readonly decoded = { images: 0, bytes: 0 };
  #lanes: readonly number[] = [];
  /** The furthest shard handed out; what is loaded ahead comes after it. */
  #reached: Place = { step: 0, lane: -1 };
  #asked: Load[] = [];
  #ahead: LoadAhead[] = [];
  #decoding = 0;
  /** Memory of images that were handed out and came back. */
  #spare: Uint8Array<ArrayBuffer>[] = [];
  #closed = false;
  #idle: (() => void)[] = [];

  constructor(options: ShardLoaderOptions) {
    this.#options = options;
  }

  /** Shards held ahead that are loaded. */
  get ready(): number {
    return this.#ahead.filter(({ load }) => load.finished === load.samples.length).length;
  }

  /**
   * Announces the lanes served from now on, beginning with their shards of step `step`. Shards held ahead that are
   * not among the coming ones any more are dropped. No lanes: nothing is loaded ahead.
   * @param out a shard that was handed out before its job came
   * @returns whether it is the first of the coming ones: then it is not loaded again
   */
  announce(lanes: readonly number[], step: number, out: Place | null = null): boolean {
    this.#lanes = lanes.toSorted((a, b) => a - b);
    this.#reached = { step, lane: -1 };
    const { next } = this;
    const isNext = out !== null && out.step === next?.step && out.lane === next.lane;
    if (isNext) this.#reached = { step: out.step, lane: out.lane };
    this.#lookAhead();
    return isNext;
  }

  /** The shard that follows the furthest one handed out; null: there is none. */
  get next(): Place | null {
    return this.#comingShards()[0] ?? null;
  }

  /**
   * The images and labels of a shard, loaded now if they were not loaded ahead. They are handed out: asked a second
   * time, they are loaded a second time, to the same bytes.
   * @throws CornetError IMAGE_UNREADABLE, IMAGE_UNREACHABLE, DATA_DIFFERS
   */
  async get(step: number, lane: number): Promise<Batch> {
    const held = this.#ahead.find((ahead) => ahead.step === step && ahead.lane === lane);
    const load = held?.load ?? this.#newShard(step, lane);
    const { step: reachedStep, lane: reachedLane } = this.#reached;
    if (step > reachedStep || (step === reachedStep && lane > reachedLane)) this.#reached = { step, lane };
    this.#ahead = this.#ahead.filter((ahead) => ahead !== held);
    return this.#ask(load);
  }

  /**
   * Takes the memory of images back that were handed out, for those of a coming shard: a buffer of megabytes that is new
   * with every shard makes V8 collect its garbage every few steps.
   */
  reuse(images: Uint8Array<ArrayBuffer>): void {
    this.#spare.push(images);
    // The oldest goes: it may be of an epoch's short last shard, which nothing fits until the next epoch's end.
    if (this.#spare.length > Math.max(this.#shards.prefetchShards, this.#lanes.length)) this.#spare.shift();
  }

  /**
   * Images and labels of any samples, in the order given.
   * @param skipUnreadable let images pass that cannot be decoded
   * @throws CornetError IMAGE_UNREADABLE, IMAGE_UNREACHABLE, DATA_DIFFERS
   */
  async loadBatch(
    files: FileList,
    samples: ArrayLike<number>,
    { mode, skipUnreadable }: { mode: BatchMode; skipUnreadable: boolean },
  ): Promise<Batch> {
    const { imageSize } = this.#options;
    const transform = mode === 'validation' ? resizeAndCentreCrop(imageSize) : squash(imageSize);
    const unreadable = skipUnreadable ? 'black' : 'refused';
    return this.#ask(this.#newLoad({ files, samples, transform: () => transform, unreadable }));
  }

  /** Starts no further image; what is still asked for is rejected. Resolves when no image is being decoded any more. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#ahead = [];
    for (const load of this.#asked.splice(0)) load.reject(new Error('The loader is closed.'));
    if (this.#decoding > 0) await new Promise<void>((resolve) => this.#idle.push(resolve));
  }

  async #ask(load: Load): Promise<Batch> {
    assert(!this.#closed, 'the loader is closed');
    this.#asked.push(load);
    this.#lookAhead();
    try {
      return await load.done;
    } finally {
      this.#asked = this.#asked.filter((other) => other !== load);
    }
  }

  /** Puts the next shards of the lanes on the list, keeps those that were on it, and drops all others. */
  #lookAhead(): void {
    const held = this.#ahead;
    this.#ahead = this.#comingShards().map(
      ({ step, lane }) =>
        held.find((ahead) => ahead.step === step && ahead.lane === lane) ?? {
          step,
          lane,
          load: this.#newShard(step, lane),
        },
    );
    this.#startImages();
  }

  /** The shards that follow the furthest one handed out; those without images are left out. */
  #comingShards(): Place[] {
    const coming: Place[] = [];
    if (this.#closed || this.#lanes.length === 0) return coming;
    const { schedule, prefetchShards, steps } = this.#shards;
    const later = this.#lanes.findIndex((lane) => lane > this.#reached.lane);
    let position = later === -1 ? this.#lanes.length : later;
    for (let i = 0; i < prefetchShards; i++, position++) {
      const step = this.#reached.step + Math.floor(position / this.#lanes.length);
      const lane = this.#lanes[position % this.#lanes.length]!;
      if (step < steps && schedule.shard(step, lane).samples.length > 0) coming.push({ step, lane });
    }
    return coming;
  }

  #newShard(step: number, lane: number): Load {
    const { files, schedule, skipUnreadable } = this.#shards;
    const { epoch, samples } = schedule.shard(step, lane);
    const { seed } = schedule;
    const { imageSize } = this.#options;
    const transform = (sample: number) => trainingTransform({ imageSize, seed }, epoch, sample);
    const unreadable = skipUnreadable ? 'replaced' : 'refused';
    return this.#newLoad({ files, samples, transform, unreadable });
  }

  get #shards(): Shards {
    const { shards } = this.#options;
    assert(shards !== null, 'the loader was made for a training');
    return shards;
  }

  #newLoad(what: Pick<Load, 'files' | 'samples' | 'transform' | 'unreadable'>): Load {
    const { files, samples } = what;
    const images = this.#memoryFor(samples.length * this.#imageBytes());
    const labels = Int32Array.from(samples, (sample) => files.label(sample));
    const batch = { images, labels, unreadable: [] };
    const { promise, resolve, reject } = withResolvers<Batch>();
    promise.catch(() => {}); // an image that cannot be read matters when its shard is asked for, and is thrown then
    if (samples.length === 0) resolve(batch);
    return { ...what, batch, done: promise, resolve, reject, started: 0, finished: 0 };
  }

  #finish({ batch, unreadable, resolve, reject }: Load): void {
    batch.unreadable.sort((a, b) => a.position - b.position);
    const [first] = batch.unreadable;
    if (unreadable === 'replaced' && first !== undefined) {
      if (batch.unreadable.length === batch.labels.length) {
        return reject(
          new CornetError('IMAGE_UNREADABLE', `No image of a shard can be read. ${first.reason}`),
        );
      }
      for (const { position } of batch.unreadable) this.#replace(batch, position);
    }
    resolve(batch);
  }

  /** The nearest image before it that can be read takes its place, around the end if need be: a rule without chance. */
  #replace({ images, labels }: Batch, position: number): void {
    let source = position;
    while (labels[source] === noLabel) source = (source + labels.length - 1) % labels.length;
    const bytes = this.#imageBytes();
    images.copyWithin(position * bytes, source * bytes, (source + 1) * bytes);
    labels[position] = labels[source]!;
  }

  #memoryFor(bytes: number): Uint8Array<ArrayBuffer> {
    const fitting = this.#spare.findIndex(({ length }) => length === bytes);
    const [spare] = fitting === -1 ? [] : this.#spare.splice(fitting, 1);
    return spare ?? new Uint8Array(bytes);
  }

  #imageBytes(): number {
    return this.#options.imageSize ** 2 * 3;
  }

  #startImages(): void {
    const loads = [...this.#asked, ...this.#ahead.map(({ load }) => load)];
    for (const load of loads) {
      while (load.started < load.samples.length) {
        if (this.#decoding === this.#options.decoder.underWay) return;
        void this.#decodeImage(load, load.started++);
      }
    }
  }

  /** Decodes one image into its place; what goes wrong is the load's to report. */
  async #decodeImage(load: Load, position: number): Promise<void> {
    const { index, decoder, imageSize } = this.#options;
    this.#decoding++;
    try {
      const sample = load.samples[position]!;
      const source = load.files.source(index.root, sample);
      const offset = position * this.#imageBytes();
      const { images } = load.batch;
      try {
        const bytes = await decoder.decode(
          source,
          within(load.files.box(sample), source.name, load.transform(sample)),
          imageSize,
          images,
          offset,
        );
        this.decoded.images++;
        this.decoded.bytes += bytes;
        await checkSize(index, load.files, sample, bytes);
      } catch (error) {
        if (load.unreadable === 'refused' || !isUnreadable(error)) throw error;
        await checkSize(index, load.files, sample, await sizeOf(source)); // damaged since it was indexed: here alone?
        images.fill(0, offset, offset + this.#imageBytes()); // a part of it may have been decoded
        load.batch.labels[position] = noLabel;
        load.batch.unreadable.push({ position, reason: error.message });
      }
      load.finished++;
      if (load.finished === load.samples.length) this.#finish(load);
    } catch (error) {
      load.started = load.samples.length;
      load.reject(error);
    } finally {
      this.#decoding--;
      this.#startImages();
      if (this.#decoding === 0) for (const resolve of this.#idle.splice(0)) resolve();
    }
  }
}

/** Of the image, as it is now. */
async function sizeOf({ path, part }: ImageSource): Promise<number> {
  return part === null ? (await stat(path)).size : part.bytes;
}

function isUnreadable(error: unknown): error is CornetError {
  return error instanceof CornetError && error.code === 'IMAGE_UNREADABLE';
}

/** Promise.withResolvers, which Node 20 does not have. */
function withResolvers<T>(): {
  promise: Promise<T>;
  resolve: (value: T) => void;
  reject: (error: unknown) => void;
} {
  let resolve!: (value: T) => void;
  let reject!: (error: unknown) => void;
  const promise = new Promise<T>((yes, no) => {
    resolve = yes;
    reject = no;
  });
  return { promise, resolve, reject };
}
