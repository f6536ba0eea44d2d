/** What the readers of archives say of each image that they come across. */
export interface ArchivedImage {
  /**
   * Path in the archive with forward slashes and without a leading `./`; in an archive within the archive, that one's
   * path without its extension, a slash, and the path there: `n01440764/n01440764_10026.JPEG`.
   */
  readonly name: string;
  /** What the archive says of its class besides the path: a name, or a number in decimal digits; null: nothing. */
  readonly label: string | null;
  /** The size of the image. */
  readonly bytes: number;
  /** Where it is, as `FilePart` has it. */
  readonly offset: number;
  readonly stored: number;
  readonly skip: number | null;
}

/** What an archive says of itself. */
export interface ArchiveFacts {
  /** What labels that are numbers stand for, if it says so. */
  readonly classNames: readonly string[] | null;
}
