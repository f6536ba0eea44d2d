/** Reads a blob while this process can open no file, and again when it can: `blob-reader.js TOKEN REF`. */
import { closeSync, openSync } from 'node:fs';
import { CornetError } from '../../shared/errors.ts';
import { BlobClient } from '../../shared/wire/blob-client.ts';
import type { BlobRef } from '../../shared/wire/protocol.ts';

const client = new BlobClient(process.argv[2]!);
const ref = JSON.parse(process.argv[3]!) as BlobRef;
const held: number[] = [];
setInterval(() => undefined, 1_000); // the client alone keeps no process alive

async function read(): Promise<void> {
  try {
    process.stdout.write(`${(await client.get(ref))?.length ?? 'missing'}\n`);
  } catch (error) {
    if (!(error instanceof CornetError)) throw error;
    process.stdout.write(`${error.code}\n`);
  }
}

process.stdout.write('');
await import('node:net');
try {
  for (;;) held.push(openSync('/dev/null', 'r'));
} catch {
  // none is left
}
await read();
const deleted = client.delete([ref]);
for (const file of held) closeSync(file);
await read();
await deleted;
await read();
process.exit();
