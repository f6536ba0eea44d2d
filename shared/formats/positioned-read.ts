import type { FileHandle } from 'node:fs/promises';
import { fileChunk } from '../defaults.ts';

/**
 * Fills `into` with a file's bytes from `position` on.
 * @returns false when the file ends before that
 */
export async function readExactly(file: FileHandle, into: Uint8Array, position: number): Promise<boolean> {
  for (let done = 0; done < into.length; ) {
    const length = Math.min(fileChunk, into.length - done);
    const { bytesRead } = await file.read(into, done, length, position + done);
    if (bytesRead === 0) return false;
    done += bytesRead;
  }
  return true;
}
