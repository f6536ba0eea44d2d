import { readFileSync } from 'node:fs';
import { errorTable } from '../errors.ts';

/**
 * Fewer, and Node fails while it loads the modules of a command, many of them at once: 128 were enough in every try, and
 * 64 were not.
 */
const fewest = 128;

/** Ends this process with a sentence where it may open too few files to load the rest of the program. */
export function endIfTooFewFiles(): void {
  const limit = openFilesLimit();
  if (limit === null || limit >= fewest) return;
  const { remedy, exit } = errorTable.OPEN_FILES_LIMIT;
  const message = `This process may have ${limit} files open at once, too few to load the program.`;
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
