import assert from 'node:assert/strict';

/**
 * Files with their sizes, kept as their manifest, the very bytes that a fingerprint is taken over: for each file its
 * name, a zero byte, the size in bytes, a line break. No name can hold a zero byte. ImageNet's training images take 60 MB.
 */
export class FileList {
  readonly manifest: Buffer;
  /** Where each line of the manifest begins, and where its name ends. */
  readonly #begins: Uint32Array;
  readonly #nameEnds: Uint32Array;

  constructor(manifest: Buffer) {
    const begins: number[] = [];
    const nameEnds: number[] = [];
    for (let begin = 0; begin < manifest.length; ) {
      const nameEnd = manifest.indexOf(0, begin);
      const end = manifest.indexOf('\n', nameEnd);
      assert(nameEnd > begin && end > nameEnd, 'a manifest consists of whole lines');
      begins.push(begin);
      nameEnds.push(nameEnd);
      begin = end + 1;
    }
    this.manifest = manifest;
    this.#begins = Uint32Array.from(begins);
    this.#nameEnds = Uint32Array.from(nameEnds);
  }

  /** The number of files. */
  get size(): number {
    return this.#begins.length;
  }

  /** The path of a file, relative to the root of the data set, with forward slashes. */
  path(sample: number): string {
    return this.name(sample).toString('utf8');
  }

  /** The class of a file: files of a mere list have none, and count as 0. */
  label(_sample: number): number {
    return 0;
  }

  /** The size of a file when it was indexed, in bytes. */
  bytes(sample: number): number {
    this.#check(sample);
    const end = sample + 1 < this.size ? this.#begins[sample + 1]! : this.manifest.length;
    return Number(this.manifest.toString('latin1', this.#nameEnds[sample]! + 1, end - 1));
  }

  /** What the manifest calls a file: a view. */
  protected name(sample: number): Buffer {
    this.#check(sample);
    return this.manifest.subarray(this.#begins[sample], this.#nameEnds[sample]);
  }

  #check(sample: number): void {
    assert(Number.isInteger(sample) && sample >= 0 && sample < this.size, `no file ${sample}`);
  }
}
