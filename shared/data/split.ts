/** One split of a data set, with its labels. */
import { FileList } from './file-list.ts';

/** The label of an image that is not scored: it has no class that is known. */
export const noLabel = -1;

/** One split of a data set: its files, sorted by class and then by path. Its manifest names them `<class>/<path below the class>`. */
export class Split extends FileList {
  /** The folder below the root: `train`, `val` or `val_in_folders`. */
  readonly folder: string;
  /** Names of the classes, sorted. */
  readonly classes: readonly string[];
  /** Of each sample: the position of its class in `classes`, unless `relabel` says otherwise. */
  readonly labels: Uint16Array;

  constructor(folder: string, manifest: Buffer) {
    super(manifest);
    const classes: string[] = [];
    const labels = new Uint16Array(this.size);
    let prefix: Buffer | null = null; // the present class's name and a slash
    for (let sample = 0; sample < this.size; sample++) {
      const name = this.name(sample);
      if (prefix === null || !name.subarray(0, prefix.length).equals(prefix)) {
        prefix = name.subarray(0, name.indexOf('/') + 1);
        classes.push(prefix.toString('utf8', 0, prefix.length - 1));
      }
      labels[sample] = classes.length - 1;
    }
    this.folder = folder;
    this.classes = classes;
    this.labels = labels;
  }

  /** Changes the label of each class, which is its position at first. @param outputs by class */
  relabel(outputs: readonly number[]): void {
    for (let sample = 0; sample < this.size; sample++) this.labels[sample] = outputs[this.labels[sample]!]!;
  }

  override path(sample: number): string {
    return `${this.folder}/${super.path(sample)}`;
  }

  override label(sample: number): number {
    return this.labels[sample]!;
  }
}
