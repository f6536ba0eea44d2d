/** Whether a file on disk is what was written to it. */
import { createHash } from 'node:crypto';
import { constants } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { CornetError } from '../../shared/errors.ts';
import { quoteName } from '../../shared/util/printable.ts';
import { systemCode } from './durable-file.ts';

/** Its types come only with those of browsers. */
declare const WebAssembly: { Memory: new (options: { initial: number }) => { readonly buffer: ArrayBuffer } };

/** WebAssembly's unit of memory, in bytes. */
const wasmPage = 65_536;
/** Bytes read at once: a multiple of every block size. */
const pieceBytes = 64 * wasmPage;

/**
 * Reads a file that was synced, and compares it with what was written.
 *
 * It is read past the page cache (O_DIRECT), from the drive, the controller or the file server. A drive may still answer
 * from a cache of its own: a medium that loses what it has taken is noticed only later. Where the file system does not
 * know O_DIRECT the page cache answers, and only what went wrong on the way there shows: memory, or another writer.
 * @param path the file as it is on disk
 * @param name what errors call it
 * @param sha256 of what was written, in hex
 * @throws CornetError READ_BACK_DIFFERS
 */
export async function checkReadBack(path: string, name: string, sha256: string): Promise<void> {
  let found: string;
  try {
    found = await hashPastCache(path);
  } catch (error) {
    if (systemCode(error) !== 'EIO') throw error;
    throw differs(name, 'the disk reports an input/output error', error);
  }
  if (found !== sha256)
    throw differs(name, `its SHA-256 is ${found}, and that of what was written ${sha256}`);
}

function differs(name: string, why: string, cause?: unknown): CornetError {
  const message = `${quoteName(name)} was written, but cannot be read back as it was: ${why}. It was removed.`;
  return new CornetError('READ_BACK_DIFFERS', message, { cause });
}

async function hashPastCache(path: string): Promise<string> {
  try {
    // O_DIRECT wants memory that begins at a block's boundary: WebAssembly's begins at a page's, a Buffer anywhere.
    const { buffer } = new WebAssembly.Memory({ initial: pieceBytes / wasmPage });
    return await hash(path, constants.O_RDONLY | (constants.O_DIRECT ?? 0), new Uint8Array(buffer));
  } catch (error) {
    const unknown = systemCode(error) === 'EINVAL' || systemCode(error) === 'EOPNOTSUPP';
    if (!unknown && !(error instanceof RangeError)) throw error; // RangeError: a limit on the address space
    return hash(path, constants.O_RDONLY, new Uint8Array(pieceBytes));
  }
}

async function hash(path: string, flags: number, memory: Uint8Array): Promise<string> {
  const file = await open(path, flags);
  try {
    const digest = createHash('sha256');
    for (let at = 0; ; ) {
      const count = await fill(file, memory, at);
      digest.update(memory.subarray(0, count));
      at += count;
      if (count < memory.length) return digest.digest('hex');
    }
  } finally {
    await file.close();
  }
}

/** Reads until the memory is full or the file ends; how many bytes. Each read begins at a block's boundary. */
async function fill(file: FileHandle, memory: Uint8Array, at: number): Promise<number> {
  const { size } = await file.stat();
  const wanted = Math.min(memory.length, size - at);
  for (let done = 0; done < wanted; ) {
    const { bytesRead } = await file.read(memory, done, memory.length - done, at + done);
    if (bytesRead === 0) return done; // it has become shorter
    done += bytesRead;
  }
  return wanted;
}
