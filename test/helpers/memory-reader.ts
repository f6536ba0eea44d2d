/** Reads a blob in shared memory while this process can open no file, and again when it can: `memory-reader.js AT BYTES`. */
import { closeSync, openSync } from 'node:fs';
import { CornetError } from '../../shared/errors.ts';
import { openMappings } from '../../worker/memory/mappings.ts';

const at = process.argv[2]!;
const mappings = openMappings()!;
const held: number[] = [];

function read(): void {
  try {
    process.stdout.write(`${mappings.has({ at, begin: 0, end: Number(process.argv[3]) })}\n`);
  } catch (error) {
    if (!(error instanceof CornetError)) throw error;
    process.stdout.write(`${error.code}\n`);
  }
}

process.stdout.write('');
try {
  for (;;) held.push(openSync('/dev/null', 'r'));
} catch {
  // none is left
}
read();
for (const file of held) closeSync(file);
read();
