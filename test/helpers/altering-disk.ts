/**
 * A disk that alters what it was given: as soon as a file has been synced under a path that matches, one bit of it is
 * another. `alterSynced` for this process; `--import` this module for another one, with the pattern in its environment.
 */
import { readlinkSync } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';

export const alteringDisk = 'CORNET_TEST_ALTERING_DISK';

/** Returns what puts an end to it. */
export async function alterSynced(pattern: RegExp): Promise<() => void> {
  const some = await open(process.execPath, 'r');
  const prototype = Object.getPrototypeOf(some) as FileHandle;
  await some.close();
  const { sync } = prototype;
  prototype.sync = async function (this: FileHandle) {
    await sync.call(this);
    const path = readlinkSync(`/proc/self/fd/${this.fd}`);
    if (pattern.test(path)) await flipBit(path);
  };
  return () => {
    prototype.sync = sync;
  };
}

/** One in the middle, where the weights are. */
async function flipBit(path: string): Promise<void> {
  const file = await open(path, 'r+');
  const at = Math.floor((await file.stat()).size / 2);
  const { buffer } = await file.read(Buffer.alloc(1), 0, 1, at);
  buffer[0]! ^= 1;
  await file.write(buffer, 0, 1, at);
  await file.close();
}

const pattern = process.env[alteringDisk];
if (pattern !== undefined) await alterSynced(new RegExp(pattern));
