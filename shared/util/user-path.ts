/**
 * Paths as users type them. A shell expands `~` only where it begins a word: not in `--output-path=~/x`, in a
 * configuration file, or in a unit file. A folder named `~` would be made, which nobody can remove without risk.
 */
import { homedir } from 'node:os';

/** A leading `~` as the home folder; every other path as it is. */
export function expandHome(path: string): string {
  if (!/^~(\/|$)/.test(path)) return path;
  const home = homeFolder();
  return home === null ? path : `${home}${path.slice(1)}`;
}

/** Why a path cannot be meant as it is, as the end of a sentence, and what to type instead; null: it can. */
export function mistakenPath(path: string): { why: string; hint: string } | null {
  if (path.includes('\0')) {
    return { why: 'has a character of code 0, which no name has', hint: 'Only a program can have given it.' };
  }
  if (path.startsWith('=')) {
    return {
      why: 'begins with =',
      hint: 'Put a space, not =, behind a short option: -o runs/x. For a name that really begins with =, write ./ before it.',
    };
  }
  const [first, ...others] = path.split('/');
  if (others.includes('~')) {
    return {
      why: 'has a ~ that does not stand at its beginning, where it would mean the home folder',
      hint: 'Write ~/runs/x, or the full path.',
    };
  }
  if (first === '~' && homeFolder() === null) {
    return { why: 'begins with ~, but this user has no home folder', hint: 'Write the full path.' };
  }
  if (first!.length > 1 && first!.startsWith('~')) {
    return {
      why: "names another user's home folder with ~, which only a shell expands",
      hint: 'Write the full path. For a name that really begins with ~, write ./ before it.',
    };
  }
  return null;
}

/** Null for a user without one, as containers run under any number. */
function homeFolder(): string | null {
  try {
    return homedir();
  } catch {
    return null;
  }
}
