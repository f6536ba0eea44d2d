import { homedir } from 'node:os';
import { isAbsolute, join } from 'node:path';

/** Our part of the user's cache, where the XDG base directory specification has it: a relative base does not count. */
export function cacheFolder(environment: Readonly<Record<string, string | undefined>>): string {
  const base = environment.XDG_CACHE_HOME ?? '';
  return join(isAbsolute(base) ? base : join(homedir(), '.cache'), 'cornet-ts');
}
