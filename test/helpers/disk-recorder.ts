/**
 * Records what a process does to the files below a folder, in order: `--import` this module, with the folder and the file
 * of the record in its environment. Every operation is the real one; it is noted when it has succeeded.
 */
import fs, { existsSync, fstatSync, writeFileSync } from 'node:fs';
import type { FileHandle } from 'node:fs/promises';
import { syncBuiltinESMExports } from 'node:module';
import { resolve, sep } from 'node:path';

export const recordedFolder = 'CORNET_TEST_RECORDED_FOLDER';
export const recordFile = 'CORNET_TEST_RECORD_FILE';

/** Paths are absolute; `handle` numbers the open files; `bytes` are in base64. */
export type DiskOperation =
  | { type: 'open'; path: string; handle: number; isNew: boolean }
  | { type: 'write'; handle: number; at: number; bytes: string }
  | { type: 'truncate'; handle: number; length: number }
  | { type: 'sync'; handle: number }
  | { type: 'rename' | 'link'; from: string; to: string }
  | { type: 'unlink' | 'mkdir'; path: string }
  /** What whoever looks at the disk from now on may expect. */
  | { type: 'expect'; value: unknown };

const record: DiskOperation[] = [];

/** Notes what a power cut from now on may leave. */
export function expectOnDisk(value: unknown): void {
  record.push({ type: 'expect', value: structuredClone(value) });
}

const root = process.env[recordedFolder];
if (root !== undefined) {
  await startRecording(root);
  process.on('exit', () => writeFileSync(process.env[recordFile]!, JSON.stringify(record)));
}

async function startRecording(root: string): Promise<void> {
  const isOurs = (path: unknown): path is string =>
    typeof path === 'string' && (resolve(path) === root || resolve(path).startsWith(root + sep));
  const handles = new Map<FileHandle, number>();
  const real = { ...fs.promises };
  const probe = await real.open(process.execPath, 'r');
  const prototype = Object.getPrototypeOf(probe) as FileHandle;
  await probe.close();

  fs.promises.open = async (path, ...more) => {
    const isNew = isOurs(path) && !existsSync(path);
    const file = await real.open(path, ...more);
    if (isOurs(path)) {
      handles.set(file, handles.size);
      record.push({ type: 'open', path: resolve(path), handle: handles.get(file)!, isNew });
    }
    return file;
  };
  for (const type of ['rename', 'link'] as const) {
    fs.promises[type] = async (from, to) => {
      await real[type](from, to);
      if (isOurs(to)) record.push({ type, from: resolve(String(from)), to: resolve(to) });
    };
  }
  const unlinking = <A extends unknown[]>(remove: (path: fs.PathLike, ...more: A) => Promise<void>) => {
    return async (path: fs.PathLike, ...more: A) => {
      const there = isOurs(path) && existsSync(path);
      await remove(path, ...more);
      if (there) record.push({ type: 'unlink', path: resolve(path as string) });
    };
  };
  fs.promises.rm = unlinking(real.rm);
  fs.promises.rmdir = unlinking(real.rmdir);
  const mkdir = async (path: fs.PathLike, options?: fs.MakeDirectoryOptions) => {
    const isNew = isOurs(path) && !existsSync(path);
    const made = await real.mkdir(path, options);
    if (isNew) record.push({ type: 'mkdir', path: resolve(path as string) });
    return made;
  };
  fs.promises.mkdir = mkdir as typeof fs.promises.mkdir;
  syncBuiltinESMExports();

  for (const name of ['writeFile', 'appendFile'] as const) {
    const write = prototype[name];
    prototype[name] = async function (this: FileHandle, data, ...more) {
      const handle = handles.get(this);
      const at = fstatSync(this.fd).size; // all that is recorded writes at the end
      await write.call(this, data, ...more);
      if (handle === undefined) return;
      const bytes = Buffer.from(data as Uint8Array).toString('base64');
      record.push({ type: 'write', handle, at, bytes });
    };
  }
  for (const name of ['sync', 'datasync'] as const) {
    const sync = prototype[name];
    prototype[name] = async function (this: FileHandle) {
      await sync.call(this);
      const handle = handles.get(this);
      if (handle !== undefined) record.push({ type: 'sync', handle });
    };
  }
  const { truncate } = prototype;
  prototype.truncate = async function (this: FileHandle, length = 0) {
    await truncate.call(this, length);
    const handle = handles.get(this);
    if (handle !== undefined) record.push({ type: 'truncate', handle, length });
  };
}
