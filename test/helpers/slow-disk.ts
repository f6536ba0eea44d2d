/** A disk that takes long: `--import` this module; its environment says how long, and for files of which paths. */
import { readlinkSync } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';

/** Milliseconds that a sync takes longer, a colon, and the pattern of the paths. */
export const slowDisk = 'CORNET_TEST_SLOW_DISK';

const [, milliseconds, pattern] = /^(\d+):(.*)$/.exec(process.env[slowDisk] ?? '') ?? [];
if (pattern !== undefined) {
  const some = await open(process.execPath, 'r');
  const prototype = Object.getPrototypeOf(some) as FileHandle;
  await some.close();
  const { sync } = prototype;
  prototype.sync = async function (this: FileHandle) {
    if (new RegExp(pattern).test(readlinkSync(`/proc/self/fd/${this.fd}`))) await sleep(Number(milliseconds));
    await sync.call(this);
  };
}
