/** Takes the run folder's lock at each path that it reads, a line each, and keeps it until it is killed. */
import { createInterface } from 'node:readline';
import { RunLock } from '../../coordinator/run-folder/run-lock.ts';
import { CornetError } from '../../shared/errors.ts';

const host = process.argv[2]!;
const held: RunLock[] = [];
for await (const path of createInterface({ input: process.stdin })) {
  try {
    held.push(await RunLock.acquire(path, host, () => {}));
    process.stdout.write('taken\n');
  } catch (error) {
    if (!(error instanceof CornetError)) throw error;
    process.stdout.write(`${error.code} ${error.message} ${error.hint}\n`);
  }
}
