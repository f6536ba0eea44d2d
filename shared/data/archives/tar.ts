import type { ArchivedImage, ArchiveFacts } from './archived-image.ts';

export async function readTar(_path: string, _take: (image: ArchivedImage) => void): Promise<ArchiveFacts> {
  throw new Error('not yet');
}
