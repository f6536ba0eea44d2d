import assert from 'node:assert/strict';
import type { ImageSource } from './image-source.ts';
import { Places } from './places.ts';

/** A part of an image, in its pixels. */
export interface Box {
  readonly left: number;
  readonly top: number;
  readonly width: number;
  readonly height: number;
}

/**
 * Files with their sizes, kept as their manifest, the very bytes that a fingerprint is taken over: for each file its
 * name, a zero byte, the size in bytes, a line break. No name can hold a zero byte. Where only a part of an image counts,
 * the size is followed by a blank and left, top, width and height of that, with commas. ImageNet's training images take
 * 60 MB. Where the files lie is none of the manifest's business.
 */
export class FileList {
  readonly manifest: Buffer;
  readonly places: Places;
  /** Where each line of the manifest begins. */
  readonly #begins: Uint32Array;

  constructor(manifest: Buffer, places = Places.ofFolder('')) {
    let files = 0;
    for (let zero = manifest.indexOf(0); zero !== -1; zero = manifest.indexOf(0, zero + 1)) files++;
    this.manifest = manifest;
    this.places = places;
    this.#begins = new Uint32Array(files);
    for (let file = 0, begin = 0; begin < manifest.length; file++) {
      const nameEnd = manifest.indexOf(0, begin);
      const end = manifest.indexOf('\n', nameEnd);
      assert(nameEnd > begin && end > nameEnd, 'a manifest consists of whole lines');
      this.#begins[file] = begin;
      begin = end + 1;
    }
  }

  /** The number of files. */
  get size(): number {
    return this.#begins.length;
  }

  /** The path of a file, relative to the root of the data set, with forward slashes; of one in an archive, as if that were a folder. */
  path(sample: number): string {
    return this.places.path(sample, this.#name(sample));
  }

  /** Where a file's bytes are. */
  source(root: string, sample: number): ImageSource {
    return this.places.source(root, sample, this.#name(sample), this.bytes(sample));
  }

  /** The class of a file: files of a mere list have none, and count as 0. */
  label(_sample: number): number {
    return 0;
  }

  /** The size of a file when it was indexed, in bytes. */
  bytes(sample: number): number {
    return Number(this.#figures(sample).split(' ', 1)[0]);
  }

  /** The part of the image that counts; null: all of it. */
  box(sample: number): Box | null {
    const numbers = this.#figures(sample).split(' ', 2)[1]?.split(',').map(Number);
    if (numbers === undefined) return null;
    const [left, top, width, height] = numbers as [number, number, number, number];
    return { left, top, width, height };
  }

  /** Where the line of a file begins in the manifest. */
  protected begin(sample: number): number {
    assert(Number.isInteger(sample) && sample >= 0 && sample < this.size, `no file ${sample}`);
    return this.#begins[sample]!;
  }

  #name(sample: number): string {
    const begin = this.begin(sample);
    return this.manifest.toString('utf8', begin, this.manifest.indexOf(0, begin));
  }

  /** What follows the name. */
  #figures(sample: number): string {
    const nameEnd = this.manifest.indexOf(0, this.begin(sample));
    const end = sample + 1 < this.size ? this.#begins[sample + 1]! : this.manifest.length;
    return this.manifest.toString('latin1', nameEnd + 1, end - 1);
  }
}
