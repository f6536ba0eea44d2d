import { execFileSync } from 'node:child_process';
import { appendFileSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ExecutionContext } from 'ava';

/** A new folder that is removed when the test ends. */
export function temporaryFolder(t: Pick<ExecutionContext, 'teardown'>): string {
  const folder = mkdtempSync(join(tmpdir(), 'cornet-test-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** A new file system of the given size, unmounted when the test ends. Only where `canMount`. */
export function smallDisk(t: Pick<ExecutionContext, 'teardown'>, bytes: number): string {
  const folder = join(temporaryFolder(t), 'disk');
  mkdirSync(folder);
  execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${bytes}`, 'cornet-test', folder]);
  t.teardown(() => execFileSync('umount', [folder]));
  return folder;
}

/**
 * Leaves no room on a small disk.
 * @returns what makes room again
 */
export function fillDisk(disk: string): () => void {
  const filler = join(disk, 'filler');
  try {
    for (;;) appendFileSync(filler, Buffer.alloc(1024 ** 2));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error;
  }
  return () => rmSync(filler);
}

/** Whether this process may mount file systems: root with the capability, which containers often lack. */
export const canMount: boolean = (() => {
  if (process.getuid?.() !== 0) return false;
  const folder = mkdtempSync(join(tmpdir(), 'cornet-test-'));
  try {
    execFileSync('mount', ['-t', 'tmpfs', 'cornet-test', folder], { stdio: 'ignore' });
    execFileSync('umount', [folder]);
    return true;
  } catch {
    return false;
  } finally {
    rmSync(folder, { recursive: true });
  }
})();
