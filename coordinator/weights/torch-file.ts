/**
 * Files of torch.save: the ZIP form (PyTorch 1.6 and later) and the one before it, in which the published CORnet
 * weights are kept. Their pickle is only read as data (`unpickle`); tensors stay in the file until they are asked for.
 */
import { type FileHandle, open } from 'node:fs/promises';
import { torchMetadataLimit } from '../../shared/defaults.ts';
import { CornetError } from '../../shared/errors.ts';
import { readExactly } from '../../shared/formats/positioned-read.ts';
import { shortened } from '../../shared/util/printable.ts';
import { otherArchive, WrongKind } from './file-kinds.ts';
import { Opaque, PickleError, type PickleVocabulary, unpickle } from './pickle.ts';
import { keyText } from './state-dicts.ts';
import { type Storage, type TorchTensor, torchVocabulary } from './torch-vocabulary.ts';
import { locateEntry, readZipDirectory, verifyEntry, type ZipEntry, ZipError } from './zip-file.ts';

/**
 * A pickle, of protocol 2 or later, of the number 0x1950a86a20f9469cfc6c: LONG1 of ten bytes, in a frame from protocol 4 on.
 * torch.save began its files with it before it used ZIP.
 */
const legacyMagic = /^80(?:0[23]|0[45]95.{16})8a0a6cfc9c46f9206aa850192e/;
const zipMagic = Buffer.from('PK\x03\x04', 'latin1');
const legacyProtocol = 1001;
/** In the old form, a storage's number of elements precedes it. */
const countBytes = 8;
/** Characters of a name that an error quotes. */
const longestName = 200;
/** Characters of a reason, which may quote more of a file than a name. */
const longestReason = 500;

/** Whether the first bytes of a file are those of torch.save. */
export function looksLikeTorch(head: Uint8Array): boolean {
  return startsAsZip(head) || legacyHead(head) !== null;
}

function startsAsZip(head: Uint8Array): boolean {
  return zipMagic.equals(head.subarray(0, zipMagic.length));
}

/** The length of the magic number's pickle that a file of the old form begins with, in bytes; null: it does not. */
function legacyHead(head: Uint8Array): number | null {
  const digits = Buffer.from(head.subarray(0, magicBytes)).toString('hex');
  const found = legacyMagic.exec(digits);
  return found === null ? null : found[0].length / 2;
}

/** How many of a file's first bytes tell what it is. */
export const magicBytes = 24;

export class TorchFile {
  readonly path: string;
  readonly file: FileHandle;
  /** What was saved: as `unpickle` gives it, with a TorchTensor for each tensor of a type that weights can have. */
  readonly value: unknown;

  private constructor(path: string, file: FileHandle, value: unknown) {
    this.path = path;
    this.file = file;
    this.value = value;
  }

  /**
   * Reads what was saved, except for the tensors' values.
   * @throws CornetError WEIGHTS_INVALID when the file is cut off, damaged or of another kind, WEIGHTS_FORBIDDEN when the
   *   whole of it is an object that only Python could make; system errors (ENOENT …) as they are
   */
  static async open(path: string): Promise<TorchFile> {
    const file = await open(path, 'r');
    try {
      const magic = Buffer.alloc(zipMagic.length);
      await file.read(magic, 0, magic.length, 0);
      const value = await (startsAsZip(magic) ? readZipForm(file, path) : readLegacyForm(file));
      if (value instanceof Opaque) throw forbidden(path, 'what it holds', value);
      return new TorchFile(path, file, value);
    } catch (error) {
      await file.close();
      throw userError(error, path);
    }
  }

  /**
   * Compares what a tensor is a view of with its checksum, once; files of the old form have none.
   * @throws CornetError WEIGHTS_INVALID
   */
  async verify({ storage }: TorchTensor): Promise<void> {
    if (storage.unverified === null) return;
    try {
      await verifyEntry(this.file, storage.unverified, storage.position);
    } catch (error) {
      throw userError(error, this.path);
    }
    storage.unverified = null;
  }

  async close(): Promise<void> {
    await this.file.close();
  }
}

/** `NAME/data.pkl` and one entry `NAME/data/KEY` per storage. */
async function readZipForm(file: FileHandle, path: string): Promise<unknown> {
  const entries = await readZipDirectory(file);
  const other = otherArchive([...entries.keys()], path);
  if (other !== null) throw other;
  const pickles = [...entries.keys()].filter((name) => /^[^/]+\/data\.pkl$/.test(name));
  const [pickleName] = pickles;
  if (pickleName === undefined || pickles.length > 1)
    throw new ZipError('it is a ZIP archive, but not one of torch.save');
  const folder = pickleName.slice(0, -'data.pkl'.length);
  const order = entries.get(`${folder}byteorder`);
  if (order !== undefined && (await readEntry(file, order)).toString('latin1') !== 'little') {
    throw new ZipError('it was written on a big-endian machine');
  }

  const storages = new Map<string, Storage>();
  const bytes = await readEntry(file, entries.get(pickleName)!);
  const { value } = unpickle(bytes, 0, torchVocabulary(storages));
  for (const storage of storages.values()) {
    const entry = entries.get(`${folder}data/${storage.key}`);
    if (entry === undefined) throw new ZipError(`storage ${storage.key} is missing`);
    checkSize(storage, entry.bytes);
    storage.position = await locateEntry(file, entry);
    storage.unverified = entry;
  }
  return value;
}

async function readEntry(file: FileHandle, entry: ZipEntry): Promise<Buffer> {
  if (entry.bytes > torchMetadataLimit)
    throw new ZipError(`its entry ${entry.name} claims ${entry.bytes} bytes`);
  const start = await locateEntry(file, entry);
  await verifyEntry(file, entry, start);
  const bytes = Buffer.alloc(entry.bytes);
  if (!(await readExactly(file, bytes, start))) throw new ZipError('it became shorter while it was read');
  return bytes;
}

/** Five pickles (magic, protocol, machine, what was saved, keys of storages), then the storages in the keys' order. */
async function readLegacyForm(file: FileHandle): Promise<unknown> {
  const { size } = await file.stat();
  const head = Buffer.alloc(Math.min(size, torchMetadataLimit));
  if (!(await readExactly(file, head, 0))) throw new PickleError('it became shorter while it was read');
  const magic = legacyHead(head);
  if (magic === null) throw new PickleError('it is not a file of torch.save');

  const storages = new Map<string, Storage>();
  let at = magic;
  const next = (words: PickleVocabulary) => {
    const { value, end } = unpickle(head, at, words);
    at = end;
    return value;
  };
  const protocol = next(noWords);
  if (protocol !== legacyProtocol)
    throw new PickleError(`its protocol is ${keyText(protocol)}, not ${legacyProtocol}`);
  const machine = next(noWords);
  if (machine instanceof Map && machine.get('little_endian') === false) {
    throw new PickleError('it was written on a big-endian machine');
  }
  const value = next(torchVocabulary(storages));
  const keys = next(noWords);
  if (!Array.isArray(keys) || new Set(keys).size !== keys.length || keys.length !== storages.size) {
    throw new PickleError('its list of storages is damaged');
  }

  const count = Buffer.alloc(countBytes);
  for (const key of keys) {
    const storage = storages.get(key);
    if (storage === undefined) throw new PickleError('its list of storages is damaged');
    if (!(await readExactly(file, count, at))) throw new PickleError('it is cut off');
    // The storages follow one another: without one's size the next one's place is not known.
    const { bytes, elementBytes } = storage;
    if (bytes === null || elementBytes === null) {
      throw new PickleError(`nothing tells how large its storage ${key} of the type ${storage.type} is`);
    }
    checkSize(storage, Number(count.readBigInt64LE()) * elementBytes);
    storage.position = at + countBytes;
    at = storage.position + bytes;
    if (at > size) throw new PickleError(`it is cut off: ${at - size} bytes or more are missing`);
  }
  return value;
}

const noWords: PickleVocabulary = {
  globals: new Map(),
  persistent: () => {
    throw new PickleError('its pickle has a storage where none belongs');
  },
};

function checkSize(storage: Storage, bytes: number): void {
  if (storage.bytes === null || bytes === storage.bytes) return;
  throw new PickleError(`storage ${storage.key} has ${bytes} bytes instead of ${storage.bytes}`);
}

function userError(error: unknown, path: string): unknown {
  if (error instanceof WrongKind) return error.asError(path);
  if (!(error instanceof PickleError || error instanceof ZipError)) return error;
  return new CornetError(
    'WEIGHTS_INVALID',
    `${path} cannot be used: ${shortened(error.message, longestReason)}.`,
    { cause: error },
  );
}

/**
 * The error for something that is needed and that only Python could make.
 * @param what begins a sentence: `its epoch`
 */
export function forbidden(path: string, what: string, { name }: Opaque): CornetError {
  const shown = JSON.stringify(shortened(name, longestName));
  return new CornetError(
    'WEIGHTS_FORBIDDEN',
    `${path} is refused: ${what} is an object that only Python could make, by running ${shown}; nothing that a file names is run here.`,
  );
}
