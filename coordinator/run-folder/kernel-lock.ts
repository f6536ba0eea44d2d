/** Locks that the kernel holds on an open file: they end with the process, whatever ends it. */
import { spawn } from 'node:child_process';
import type { FileHandle } from 'node:fs/promises';
import { timeouts } from '../../shared/defaults.ts';

/** `unavailable`: there is no flock program, or the file system knows no locks. */
export type KernelLock = 'taken' | 'busy' | 'unavailable';

/**
 * Takes flock(2) on a file until it is closed. Node has no call for it, but a lock belongs to the open file and not to
 * a process: util-linux's (or busybox's) `flock` inherits the file, locks it and ends. Processes of all containers of a
 * machine see the lock, and so do other hosts where the file system is NFSv4.
 * @param file open for writing, where the lock is exclusive (NFS wants that)
 */
export function lockInKernel(file: FileHandle, mode: 'exclusive' | 'shared'): Promise<KernelLock> {
  const child = spawn('flock', [mode === 'shared' ? '-s' : '-x', '-n', '3'], {
    stdio: ['ignore', 'ignore', 'pipe', file.fd],
    timeout: timeouts.redisConnect,
  });
  let complaint = '';
  child.stderr?.on('data', (text) => {
    complaint += text;
  });
  return new Promise((resolve) => {
    child.once('error', () => resolve('unavailable'));
    child.once('close', (code) => {
      if (code === 0) resolve('taken');
      else resolve(code === 1 && complaint === '' ? 'busy' : 'unavailable');
    });
  });
}
