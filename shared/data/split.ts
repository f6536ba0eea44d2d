import assert from 'node:assert/strict';

/**
 * One split of a data set: its files, sorted by class and then by path. It is kept as its manifest, the very bytes that
 * the data set's fingerprint is taken over: for each file `<class>/<path below the class>`, a zero byte, the size in
 * bytes, a line break. No name can hold a zero byte. ImageNet's training images take 60 MB.
 */
export class Split {
  /** The folder below the root: `train`, `val` or `val_in_folders`. */
  readonly folder: string;
  readonly manifest: Buffer;
  /** Names of the classes, sorted. */
  readonly classes: readonly string[];
  /** The class of each sample: a position in `classes`. */
  readonly labels: Uint16Array;
  /** Where each line of the manifest begins, and where its name ends. */
  readonly #begins: Uint32Array;
  readonly #nameEnds: Uint32Array;

  constructor(folder: string, manifest: Buffer) {
    const classes: string[] = [];
    const labels: number[] = [];
    const begins: number[] = [];
    const nameEnds: number[] = [];
    let prefix: Buffer | null = null; // the present class's name and a slash
    for (let begin = 0; begin < manifest.length; ) {
      const nameEnd = manifest.indexOf(0, begin);
      const end = manifest.indexOf('\n', nameEnd);
      assert(nameEnd > begin && end > nameEnd, 'a manifest consists of whole lines');
      if (prefix === null || !manifest.subarray(begin, begin + prefix.length).equals(prefix)) {
        prefix = manifest.subarray(begin, manifest.indexOf('/', begin) + 1);
        classes.push(prefix.toString('utf8', 0, prefix.length - 1));
      }
      labels.push(classes.length - 1);
      begins.push(begin);
      nameEnds.push(nameEnd);
      begin = end + 1;
    }
    this.folder = folder;
    this.manifest = manifest;
    this.classes = classes;
    this.labels = Uint16Array.from(labels);
    this.#begins = Uint32Array.from(begins);
    this.#nameEnds = Uint32Array.from(nameEnds);
  }

  /** The number of samples. */
  get size(): number {
    return this.labels.length;
  }

  /** The path of a sample, relative to the root of the data set, with forward slashes. */
  path(sample: number): string {
    this.#check(sample);
    return `${this.folder}/${this.manifest.toString('utf8', this.#begins[sample], this.#nameEnds[sample])}`;
  }

  /** The size of a sample's file when it was indexed, in bytes. */
  bytes(sample: number): number {
    this.#check(sample);
    const end = sample + 1 < this.size ? this.#begins[sample + 1]! : this.manifest.length;
    return Number(this.manifest.toString('latin1', this.#nameEnds[sample]! + 1, end - 1));
  }

  #check(sample: number): void {
    assert(
      Number.isInteger(sample) && sample >= 0 && sample < this.size,
      `no sample ${sample} in ${this.folder}`,
    );
  }
}
