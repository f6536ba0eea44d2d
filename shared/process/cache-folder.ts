import { homedir } from 'node:os';
import { isAbsolute, join } from 'node:path';

/**
 * Our part of the user's cache, where the XDG base directory specification has it: a relative base does not count. Null
 * for a user without a home, as containers run under any number.
 */
export function cacheFolder(environment: Readonly<Record<string, string | undefined>>): string | null {
  const base = environment.XDG_CACHE_HOME ?? '';
  if (isAbsolute(base)) return join(base, 'cornet-ts');
  try {
    return join(homedir(), '.cache', 'cornet-ts');
  } catch {
    return null;
  }
}

/** The way out where nothing can be kept there. */
export const cacheHint =
  'Set XDG_CACHE_HOME to a folder on a working disk that you may write to (without it that is .cache in HOME).';
