/** A split in archives: tar files of class folders or of classes, WebDataset shards, Parquet files. Nothing is unpacked. */
import { stat } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { indexing } from '../../defaults.ts';
import { CornetError } from '../../errors.ts';
import { mapBounded } from '../../util/bounded.ts';
import { quoteName } from '../../util/printable.ts';
import type { ArchivedImage } from '../archives/archived-image.ts';
import { readParquet } from '../archives/parquet.ts';
import { readTar } from '../archives/tar.ts';
import type { Container } from '../file-list.ts';
import type { GroundTruth } from '../ground-truth.ts';
import type { ArchiveStamp } from '../image-source.ts';
import { folderError } from '../listing.ts';
import type { SplitKind } from '../split.ts';
import { FilesByFolder } from './files-by-folder.ts';
import { classIn } from './flat-folder.ts';
import { areNumbers, classOf, FilesByClass, type IndexWatch, type Source } from './source.ts';

const parquet = /\.parquet$/i;
const tar = /\.tar$/i;

export interface ArchivesOptions {
  /** Relative to the root, in order. */
  readonly files: readonly string[];
  /** The classes of images that lie in no folder; null: nobody tells them. */
  readonly truth: GroundTruth | null;
  /** Folders of the split in an archive that holds other splits, too; null: it is all of the split. */
  readonly below: readonly string[] | null;
  /** Whether an archive is a class, whose name it has, where its images lie in no folder. */
  readonly namesClasses: boolean;
}

/** @throws CornetError DATA_MISSING, DATA_INVALID, naming the archive and the entry */
export async function openArchives(
  root: string,
  { files, truth, below, namesClasses }: ArchivesOptions,
  watch: IndexWatch,
): Promise<Source> {
  const isParquet = files.some((file) => parquet.test(file));
  const other = files.find((file) => !parquet.test(file));
  if (isParquet && other !== undefined) {
    const first = files.find((file) => parquet.test(file))!;
    throw new CornetError(
      'DATA_INVALID',
      `${quoteName(join(root, first))} and ${quoteName(join(root, other))} are archives of two kinds.`,
      { hint: 'Move those of one kind into another folder.' },
    );
  }
  const contents = new Contents(root, files, below);
  const stamps: ArchiveStamp[] = [];
  let classNames: readonly string[] | null = null; // those of the first archive count for all
  await mapBounded(files, indexing.classesAtOnce, async (file, position) => {
    stamps[position] = await stampOf(join(root, file));
    await watch.looked(file);
    const facts = await (isParquet ? readParquet : readTar)(join(root, file), (image) => {
      contents.add(image, position);
      watch.file();
    });
    if (position === 0) ({ classNames } = facts);
  });
  if (contents.labelled) refuseGaps(root, files);
  return contents.source(classNames, stamps, { truth, namesClasses, isParquet });
}

/** The images as the archives have them: by label, or by the first folder of their paths. */
class Contents {
  readonly #root: string;
  readonly #files: readonly string[];
  readonly #below: readonly string[] | null;
  readonly #byLabel = new FilesByClass();
  readonly #byFolder = new FilesByFolder();
  /** The first image without a label. */
  #unlabelled: { readonly name: string; readonly container: number } | null = null;
  /** Where `below` was found: `ILSVRC/Data/CLS-LOC/train/`. */
  #splitFolder = '';

  constructor(root: string, files: readonly string[], below: readonly string[] | null) {
    this.#root = root;
    this.#files = files;
    this.#below = below;
  }

  /** Whether the archives say more of classes than paths do. */
  get labelled(): boolean {
    return this.#byLabel.labels.length > 0;
  }

  add(image: ArchivedImage, container: number): void {
    const { label, bytes, offset, stored, skip } = image;
    const name = this.#below === null ? image.name : this.#nameBelow(image.name, this.#below);
    if (name === null) return;
    if (label !== null) {
      const where = () => this.#quote(name, container);
      const files = this.#byLabel.of(classOf(label, where));
      files.add({ name, bytes, container, offset, stored, skip });
    } else {
      this.#unlabelled ??= { name, container };
      this.#byFolder.add({ name, bytes, container, offset, stored, skip });
    }
  }

  /** What follows the split's folder; null: it does not lie there. */
  #nameBelow(name: string, folders: readonly string[]): string | null {
    for (const folder of folders) {
      const at = `/${name}`.indexOf(`/${folder}/`);
      if (at === -1) continue;
      const end = at + folder.length + 1;
      this.#splitFolder = name.slice(0, end);
      return name.slice(end);
    }
    return null;
  }

  source(
    classNames: readonly string[] | null,
    stamps: readonly ArchiveStamp[],
    {
      truth,
      namesClasses,
      isParquet,
    }: { truth: GroundTruth | null; namesClasses: boolean; isParquet: boolean },
  ): Source {
    const [first] = this.#files;
    const where = this.#files.length === 1 ? first! : `${first} and ${this.#files.length - 1} more`;
    const kind: SplitKind = isParquet ? 'Parquet' : this.labelled ? 'WebDataset' : 'tar';
    const byFolder = this.#byFolder;
    if (this.labelled && this.#unlabelled !== null) throw this.#oneWithoutLabel(this.#unlabelled);
    const areLoose = byFolder.loose.size > 0;
    if (areLoose) this.#sortLoose(byFolder, truth, namesClasses);
    const byClass = this.labelled ? this.#byLabel : byFolder.byClass;
    const labels = byClass.labels;
    if (labels.length === 0) {
      const what = this.#below === null ? 'no images' : `no images in a folder ${this.#below.join(' or ')}`;
      throw new CornetError(
        'DATA_MISSING',
        `The archive ${quoteName(join(this.#root, where))} holds ${what}.`,
      );
    }
    const containers = this.#files.map((file, position): Container => {
      const path = `${file}/${this.#splitFolder}${byFolder.above}`.replace(/\/$/, '');
      return {
        path,
        withoutClass: this.labelled || areLoose,
        archive: { path: file, stamp: stamps[position]! },
      };
    });
    return {
      origin: { kind, where },
      classes: labels,
      numbered: this.labelled && areNumbers(labels),
      classNames,
      containers,
      lastCounts: kind === 'tar',
      files: async (label) => byClass.take(label),
    };
  }

  #path(name: string, container: number): string {
    return `${join(this.#root, this.#files[container]!)}/${name}`;
  }

  #quote(name: string, container: number): string {
    return quoteName(this.#path(name, container));
  }

  #oneWithoutLabel({ name, container }: { name: string; container: number }): CornetError {
    return new CornetError(
      'DATA_INVALID',
      `The image ${this.#quote(name, container)} has no class beside it, unlike those of other archives.`,
      { hint: 'Archives of a split are all WebDataset shards, or none is: move the others away.' },
    );
  }

  #inNoFolder(name: string, container: number, isMixed: boolean): CornetError {
    const message = `${this.#quote(name, container)} lies in no class folder${isMixed ? ', unlike others' : ''}.`;
    return new CornetError('DATA_INVALID', message, {
      hint: "An archive has a folder for each class, or is a class itself (train/n01440764.tar), or consists of WebDataset samples. For ImageNet's validation images put LOC_val_solution.csv or ILSVRC2012_devkit_t12.tar.gz beside it.",
    });
  }

  /** Images that lie in no folder: each archive is a class, or another file tells them. */
  #sortLoose({ byClass, loose }: FilesByFolder, truth: GroundTruth | null, namesClasses: boolean): void {
    const isMixed = byClass.labels.length > 0;
    const isUnclear = isMixed || (truth === null && !namesClasses);
    for (const [container, files] of loose) {
      if (isUnclear) throw this.#inNoFolder(files.name(0), container, isMixed);
      if (truth === null) byClass.put(basename(this.#files[container]!).replace(tar, ''), files);
      else {
        files.each((file) => {
          byClass.of(classIn(truth, file.name, this.#path(file.name, container))).add(file);
        });
      }
    }
  }
}

async function stampOf(path: string): Promise<ArchiveStamp> {
  const { size, mtimeNs } = await stat(path, { bigint: true }).catch((cause: unknown) => {
    throw folderError('The archive', path, cause);
  });
  return { bytes: Number(size), modified: mtimeNs };
}

/** Shards are numbered: one that is not there would go unnoticed. */
function refuseGaps(root: string, files: readonly string[]): void {
  const missing = missingShard(files.map((file) => basename(file)));
  if (missing === null) return;
  throw new CornetError('DATA_MISSING', `The shard ${missing} is missing in ${quoteName(root)}.`, {
    hint: 'Download it as well: shards are numbered without gaps.',
  });
}

/** `train-00007-of-00294.parquet`; null: all are there. */
export function missingShard(names: readonly string[]): string | null {
  const of = names.map((name) => /^(.*?)(\d+)-of-(\d+)(\.\w+)$/.exec(name));
  const plain = names.map((name) => /^(.*?)(\d+)(\.\w+)$/.exec(name));
  const [first] = of;
  const numbered = first ? of : plain;
  const [sample] = numbered;
  if (!sample || numbered.some((match) => match?.[1] !== sample[1])) return null;
  const numbers = numbered.map((match) => Number(match![2]));
  const present = new Set(numbers);
  const end = first ? Number(first[3]) : Math.max(...numbers) + 1;
  const begin = first ? 0 : Math.min(...numbers);
  for (let shard = begin; shard < end; shard++) {
    if (!present.has(shard))
      return sample[0].replace(sample[2]!, String(shard).padStart(sample[2]!.length, '0'));
  }
  return null;
}
