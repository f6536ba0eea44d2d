/** What every way in which a split may lie about comes to. */
import { CornetError } from '../../errors.ts';
import { quoteName } from '../../util/printable.ts';
import type { Container } from '../file-list.ts';
import { FileTable } from '../file-table.ts';
import type { SplitOrigin } from '../split.ts';

export interface Source {
  readonly origin: SplitOrigin;
  /** Names of the classes, or numbers in decimal digits; in no order. */
  readonly classes: readonly string[];
  /** Whether all classes are numbers that something else may name: folders are names, whatever they are called. */
  readonly numbered: boolean;
  /** What the numbers stand for, where the data say so. */
  readonly classNames: readonly string[] | null;
  readonly containers: readonly Container[];
  /** Whether of two files of one name in one container the last counts, as if they had been unpacked. */
  readonly lastCounts: boolean;
  /** The images of one class. To be asked once for each. */
  files(label: string): Promise<FileTable>;
}

/** Is told what is looked into while a data set is indexed. */
export interface IndexWatch {
  /** A folder or file on which the index depends: relative to the root, or absolute. */
  looked(path: string): Promise<void>;
  /** One more image is known, with its size. */
  file(): void;
}

/** Files by class, of a source that is read as a whole. */
export class FilesByClass {
  readonly #files = new Map<string, FileTable>();

  of(label: string): FileTable {
    const known = this.#files.get(label);
    if (known !== undefined) return known;
    const files = new FileTable();
    this.#files.set(label, files);
    return files;
  }

  /** Adds a class's files, which are given away. */
  put(label: string, files: FileTable): void {
    const known = this.#files.get(label);
    if (known === undefined) this.#files.set(label, files);
    else files.each((file) => known.add(file));
  }

  get labels(): string[] {
    return [...this.#files.keys()];
  }

  /** Gives the files of a class away. */
  take(label: string): FileTable {
    const files = this.#files.get(label) ?? new FileTable();
    this.#files.delete(label);
    return files;
  }
}

const digits = /^\d+$/;

export function areNumbers(labels: readonly string[]): boolean {
  return labels.length > 0 && labels.every((label) => digits.test(label));
}

/**
 * A label as a class is called: numbers in one way.
 * @param where begins the sentence about one that is none
 * @throws CornetError DATA_INVALID
 */
export function classOf(label: string, where: () => string, hint?: string): string {
  if (digits.test(label)) return label.replace(/^0+(?=\d)/, '');
  if (label !== '' && !/[/\0\n]/.test(label)) return label;
  const what = label === '' ? 'an empty label' : `the label ${quoteName(label)}`;
  throw new CornetError(
    'DATA_INVALID',
    `${where()} has ${what}: a class has a name without slashes, or a number.`,
    hint === undefined ? {} : { hint },
  );
}
