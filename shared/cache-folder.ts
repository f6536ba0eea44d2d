import { homedir } from 'node:os';
import { isAbsolute, join } from 'node:path';

/** Our part of the user's cache, where the XDG base directory specification has it: a relative base does not count. */
export function cacheFolder(environment: Readonly<Record<string, string | undefined>>): string {
  const base = environment.XDG_CACHE_HOME ?? '';
  return join(isAbsolute(base) ? base : join(homedir(), '.cache'), 'cornet-ts');
}

/** The way out where nothing can be kept there. */
export const cacheHint =
  'Set XDG_CACHE_HOME to a folder on a working disk that you may write to (without it that is .cache in HOME).';
