/** One split of a data set, with its labels. */
import { type Container, type FileGroup, FileList, sizeOf } from './file-list.ts';

/** The label of an image that is not scored: it has no class that is known. */
export const noLabel = -1;

/** What a split is made of, as it is told. */
export const splitKinds = [
  'class folders',
  'a flat folder',
  'a list',
  'tar',
  'WebDataset',
  'Parquet',
  'part of train',
] as const;
export type SplitKind = (typeof splitKinds)[number];

/** How a split was found. */
export interface SplitOrigin {
  readonly kind: SplitKind;
  /** The folder, list or archives, relative to the root: `train`, `ILSVRC2012_img_val.tar`, `data/train-*.parquet`. */
  readonly where: string;
}

/** One split of a data set: its files, sorted by class and then by path. Its manifest names them `<class>/<path below the class>`. */
export class Split extends FileList {
  readonly origin: SplitOrigin;
  /** Names of the classes of the data set, in the order of their labels: some may have no file here. */
  readonly classes: readonly string[];
  /** Of each sample: the position of its class in `classes`, unless `relabel` says otherwise. */
  readonly labels: Uint16Array;

  /** @param groups the files of each class */
  constructor(
    origin: SplitOrigin,
    classes: readonly string[],
    groups: readonly FileGroup[],
    containers: readonly Container[],
  ) {
    super(groups, containers);
    this.origin = origin;
    this.classes = classes;
    this.labels = new Uint16Array(this.size);
    let end = 0;
    for (const [label, group] of groups.entries()) {
      const begin = end;
      end += sizeOf(group);
      this.labels.fill(label, begin, end);
    }
  }

  /** Changes the label of each class, which is its position at first. @param outputs by class */
  relabel(outputs: readonly number[]): void {
    for (let sample = 0; sample < this.size; sample++) this.labels[sample] = outputs[this.labels[sample]!]!;
  }

  override label(sample: number): number {
    return this.labels[sample]!;
  }
}
