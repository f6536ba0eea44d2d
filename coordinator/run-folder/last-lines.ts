/** The end of a file of lines that somebody may be writing to. */
import { open } from 'node:fs/promises';

/** Its last whole lines, as far as they lie in so many bytes; none where there is no such file. */
export async function lastLines(path: string, bytes: number): Promise<string[]> {
  const file = await open(path, 'r').catch(() => null);
  if (file === null) return [];
  try {
    const { size } = await file.stat();
    const begin = Math.max(0, size - bytes);
    const { buffer, bytesRead } = await file.read(Buffer.alloc(size - begin), 0, size - begin, begin);
    return buffer.toString('utf8', 0, bytesRead).split('\n').slice(0, -1);
  } finally {
    await file.close();
  }
}
