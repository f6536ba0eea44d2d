/** Node needs many files at once to load a program: what is said where it cannot have them. */
import { readFileSync } from 'node:fs';
import { errorTable } from '../errors.ts';

/**
 * Fewer, and Node fails while it loads the modules of a command, many of them at once: 128 were enough in every try, and
 * 64 were not.
 */
const fewest = 128;

/** Loads the rest of the program; ends this process with a sentence where it may open too few files for that. */
export async function loadProgram(load: () => Promise<unknown>): Promise<void> {
  const limit = openFilesLimit();
  if (limit !== null && limit < fewest) end(limit);
  try {
    await load();
  } catch (error) {
    if (!isOutOfFiles(error)) throw error;
    end(openFilesLimit() ?? limit); // it was lowered meanwhile, or the whole system has too many
  }
}

/** Whether the system opens no more files: for this process, or for anyone. */
export function isOutOfFiles(error: unknown): boolean {
  return error instanceof Error && 'code' in error && (error.code === 'EMFILE' || error.code === 'ENFILE');
}

function end(limit: number | null): never {
  const { remedy, exit } = errorTable.OPEN_FILES_LIMIT;
  const message = `This process may have ${limit ?? 'no more'} files open at once, too few to load the program.`;
  process.stderr.write(`error: ${message} [OPEN_FILES_LIMIT]\n${remedy}\n`);
  process.exit(exit);
}

/** Null where the system does not say. Node has raised the soft limit to the hard one already. */
function openFilesLimit(): number | null {
  try {
    const soft = /^Max open files\s+(\d+)/m.exec(readFileSync('/proc/self/limits', 'utf8'))?.[1];
    return soft === undefined ? null : Number(soft);
  } catch {
    return null;
  }
}
