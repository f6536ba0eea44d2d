/** The images in a tar archive: found without unpacking it, to be read later from where they lie. */
import { archives as limits } from '../../defaults.ts';
import { CornetError } from '../../errors.ts';
import { mapBounded } from '../../util/bounded.ts';
import { quoteName } from '../../util/printable.ts';
import { imageExtensions } from '../image-extensions.ts';
import type { ArchivedImage, ArchiveFacts } from './archived-image.ts';
import { ArchiveFile, type ByteSource } from './byte-source.ts';
import { LabelledOrNot, roleOf, Samples, sampleOf } from './samples.ts';
import { damaged, type TarEntry, type TarPart, walkTar } from './tar-walk.ts';

const innerArchive = /\.tar$/i;
const labelFile = /\.(?:cls|json)$/i;

/**
 * Tells `take` the images of a tar archive, and those of the tar archives in it (one level: ILSVRC2012_img_train.tar).
 * Folders and other files are left out, and so are macOS's companions of files (`._name`).
 * Only headers are read, and the classes of a WebDataset shard.
 * The images of one archive come in its order; those of several inner ones in any. Of two that have the same name the one
 * with the higher offset counts, as it would when unpacked: that is left to the caller, which sorts the names anyway.
 * @throws CornetError DATA_INVALID, DATA_MISSING, naming the archive and, where there is one, the entry
 */
export async function readTar(path: string, take: (image: ArchivedImage) => void): Promise<ArchiveFacts> {
  const file = await ArchiveFile.open(path);
  try {
    const title = quoteName(path);
    const inner: Inner[] = [];
    const labelled = new LabelledOrNot(title);
    const outer = { title, begin: 0, end: file.bytes };
    await new Walk(file.reader(), outer, '', inner, new Samples(title, labelled, take)).run();
    await mapBounded(inner, limits.innerAtOnce, ({ name, offset, bytes }) => {
      const part = { title: `${quoteName(name)} in ${title}`, begin: offset, end: offset + bytes };
      const samples = new Samples(part.title, labelled, take);
      const prefix = `${name.replace(innerArchive, '')}/`;
      return file.withReader((source) => new Walk(source, part, prefix, null, samples).run());
    });
  } finally {
    await file.close();
  }
  return { classNames: null };
}

interface Inner {
  readonly name: string;
  readonly offset: number;
  readonly bytes: number;
}

/** The walk through one archive. */
class Walk {
  readonly #source: ByteSource;
  readonly #part: TarPart;
  readonly #prefix: string;
  readonly #inner: Inner[] | null;
  readonly #samples: Samples;

  /**
   * @param prefix of all names
   * @param inner takes the archives within this one; null: there may be none
   */
  constructor(source: ByteSource, part: TarPart, prefix: string, inner: Inner[] | null, samples: Samples) {
    this.#source = source;
    this.#part = part;
    this.#prefix = prefix;
    this.#inner = inner;
    this.#samples = samples;
  }

  async run(): Promise<void> {
    await walkTar(this.#source, this.#part, (entry) => this.#visit(entry));
    this.#samples.end();
  }

  #visit(entry: TarEntry): void | Promise<void> {
    if (entry.kind === 'other') return;
    const base = entry.name.slice(entry.name.lastIndexOf('/') + 1);
    if (base.startsWith('._')) return;
    if (imageExtensions.test(base)) {
      const { offset, bytes } = entry;
      const name = this.#nameOf(entry);
      this.#samples.image(sampleOf(name), { name, bytes, offset, stored: bytes, skip: null });
      return;
    }
    if (innerArchive.test(base)) this.#noteInner(entry);
    else if (labelFile.test(base)) return this.#readLabel(entry);
  }

  #noteInner(entry: TarEntry): void {
    const name = this.#nameOf(entry);
    if (this.#inner === null) {
      const message = `The archive ${this.#part.title} holds another one, ${quoteName(name)}: images are not looked for that deep.`;
      throw new CornetError('DATA_INVALID', message, { hint: 'Unpack the outermost archive.' });
    }
    this.#inner.push({ name, offset: entry.offset, bytes: entry.bytes });
  }

  async #readLabel(entry: TarEntry): Promise<void> {
    const role = roleOf(entry.name);
    if (role !== 'cls' && (role !== 'json' || entry.kind !== 'file' || entry.bytes > limits.longestJson))
      return;
    const name = this.#nameOf(entry);
    const { offset, bytes } = entry;
    const most = role === 'cls' ? limits.longestClass : limits.longestJson;
    if (bytes > most) throw this.#noClass(name);
    const data = this.#source.at(offset, bytes) ?? (await this.#source.load(offset, bytes));
    const label = role === 'cls' ? classIn(data) : labelInJson(data);
    if (label !== null) this.#samples.label(sampleOf(name), label, role === 'json');
    else if (role === 'cls') throw this.#noClass(name);
  }

  #noClass(name: string): CornetError {
    return damaged(this.#part, `the entry ${quoteName(name)} is no line of text with a class`);
  }

  /**
   * The name of an entry that counts, as a path below the data set.
   * @throws CornetError DATA_INVALID
   */
  #nameOf({ name, foreign, kind }: TarEntry): string {
    const refused = (why: string, hint: string) => {
      const message = `In the archive ${this.#part.title} the entry ${foreign ?? quoteName(name)} ${why}.`;
      return new CornetError('DATA_INVALID', message, { hint });
    };
    if (kind !== 'file') {
      const hint =
        kind === 'part of a file'
          ? 'Join the volumes, or pack the images again.'
          : 'Pack the images again: tar --hard-dereference -hcf ARCHIVE FOLDER stores each as it is.';
      throw refused(`is a ${kind}: its bytes do not lie there`, hint);
    }
    if (foreign !== null) {
      const hint =
        'Unpack it, rename what is in it (convmv -f latin1 -t utf8 -r --notest FOLDER), and pack it again.';
      throw refused('has a name that is not UTF-8', hint);
    }
    // `./a`, `/a`, `a//b`: the folder that all names are below, as tar unpacks them
    const steps = /^[./]|\/[./]/.test(name)
      ? name.split('/').filter((step) => step !== '' && step !== '.')
      : null;
    if (steps?.includes('..')) {
      throw refused('leads out of the archive', 'Pack the images again, from the folder that they are in.');
    }
    return this.#prefix + (steps?.join('/') ?? name);
  }
}

/** What a `.cls` file says, or null. */
function classIn(data: Buffer): string | null {
  const text = data.toString('utf8').trim();
  return text === '' || /[\n\ufffd]/.test(text) ? null : text;
}

/** The `label` of a sample's `.json` file, if it is plain. */
function labelInJson(data: Buffer): string | null {
  let value: unknown;
  try {
    value = (JSON.parse(data.toString('utf8')) as { label?: unknown } | null)?.label;
  } catch {
    return null; // about something else
  }
  if (Number.isSafeInteger(value) && (value as number) >= 0) return String(value);
  return typeof value === 'string' && value.trim() !== '' ? value.trim() : null;
}
