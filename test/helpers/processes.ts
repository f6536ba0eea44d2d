/** All processes as /proc shows them: a minimal machine has no `ps`. */
import { readdirSync, readFileSync } from 'node:fs';

export function processes(): { pid: number; parent: number; args: string }[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .flatMap((pid) => {
      try {
        const args = readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ').trim();
        const [, parent] = /^PPid:\s*(\d+)$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))!;
        return [{ pid: Number(pid), parent: Number(parent), args }];
      } catch {
        return []; // it has ended meanwhile
      }
    });
}
