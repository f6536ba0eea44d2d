/** Which folders of archives are classes: those below the folder that all images have in common. */
import { FileTable, type FoundFile } from '../file-table.ts';
import { FilesByClass } from './source.ts';

export class FilesByFolder {
  byClass = new FilesByClass();
  /** Files that lie in no folder, by their container. */
  readonly loose = new Map<number, FileTable>();
  /** What is above the class folders, with a slash behind it; null: there is no file yet. */
  #above: string | null = null;

  /** What is above the class folders: nothing, or folders with a slash behind them. */
  get above(): string {
    return this.#above ?? '';
  }

  /** @param file named by its path */
  add(file: FoundFile): void {
    const { name, container = 0 } = file;
    this.#above ??= parentOf(folderOf(name));
    let end = name.indexOf('/', this.#above.length);
    if (end === -1 || !name.startsWith(this.#above)) {
      this.#rise(this.#above, folderOf(name));
      end = name.indexOf('/', this.#above.length);
    }
    if (end === -1) looseIn(this.loose, container).add(file);
    else this.byClass.of(name.slice(this.#above.length, end)).add(file, name.slice(end + 1));
  }

  /** Takes class folders for folders in classes, as a file in `folder` shows that they are. */
  #rise(above: string, folder: string): void {
    const common = commonFolder(above, folder);
    this.#above = common === folder ? parentOf(common) : common;
    const between = above.slice(this.#above.length);
    if (between === '') return;
    const slash = between.indexOf('/');
    const deeper = this.byClass;
    this.byClass = new FilesByClass();
    const target = this.byClass.of(between.slice(0, slash));
    for (const label of deeper.labels) {
      const files = deeper.take(label);
      files.each((file) => target.add(file, `${between.slice(slash + 1)}${label}/${file.name}`));
    }
  }
}

function looseIn(loose: Map<number, FileTable>, container: number): FileTable {
  const known = loose.get(container);
  if (known !== undefined) return known;
  const files = new FileTable();
  loose.set(container, files);
  return files;
}

/** Folders have a slash behind them; the outermost is ''. */
function folderOf(name: string): string {
  return name.slice(0, name.lastIndexOf('/') + 1);
}

function parentOf(folder: string): string {
  return folderOf(folder.slice(0, -1));
}

function commonFolder(a: string, b: string): string {
  let length = 0;
  while (length < a.length && a[length] === b[length]) length++;
  return folderOf(a.slice(0, length));
}
