import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { fileChunk } from '../../shared/defaults.ts';

/** SHA-256 of a file's content, in hexadecimal; system errors come as they are. */
export async function fileSha256(path: string): Promise<string> {
  const hash = createHash('sha256');
  for await (const chunk of createReadStream(path, { highWaterMark: fileChunk })) hash.update(chunk);
  return hash.digest('hex');
}
