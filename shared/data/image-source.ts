/** Where the bytes of an image lie. */

export interface ImageSource {
  /** The file that is opened: the image, or an archive that holds it. */
  readonly path: string;
  /** What sentences call the image. */
  readonly name: string;
  /** Null: the whole file is the image. */
  readonly part: FilePart | null;
}

/** A part of an archive. */
export interface FilePart {
  /** Where it begins in the archive, in bytes. */
  readonly offset: number;
  /** How many bytes of the archive are read. */
  readonly stored: number;
  /**
   * Null: what is read is the image. Otherwise it is Snappy data from the boundary of two blocks on, which refer to nothing
   * before it, and the image begins so many bytes into what it decompresses to.
   */
  readonly skip: number | null;
  /** The size of the image. */
  readonly bytes: number;
  readonly archive: ArchiveStamp;
}

/** An archive as it was when it was indexed: what has another size or modification time now is another archive. */
export interface ArchiveStamp {
  readonly bytes: number;
  /** Nanoseconds since the epoch. */
  readonly modified: bigint;
}

export function wholeFile(path: string): ImageSource {
  return { path, name: path, part: null };
}
