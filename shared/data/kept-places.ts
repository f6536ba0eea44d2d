/** The places of files as a kept index has them. */
import { createHash } from 'node:crypto';
import { z } from 'zod';
import { type PlaceColumns, Places } from './places.ts';

/** Bytes of a value of each column: little-endian, one column after the other. */
const columnTypes = {
  container: Uint32Array,
  offset: Float64Array,
  stored: Uint32Array,
  skip: Int32Array,
} as const;
type ColumnName = keyof typeof columnTypes;
const columnNames = ['container', 'offset', 'stored', 'skip'] as const satisfies readonly ColumnName[];

/** What the header tells of them; nanoseconds as text, since JSON has no such numbers. */
export const keptPlaces = z.strictObject({
  containers: z.array(
    z.strictObject({
      path: z.string(),
      withoutClass: z.boolean(),
      archive: z
        .strictObject({ path: z.string(), bytes: z.int().nonnegative(), modified: z.string().regex(/^\d+$/) })
        .nullable(),
    }),
  ),
  /** Null: all files are in the first container, which is a folder. */
  columns: z.array(z.enum(columnNames)).nullable(),
  files: z.int().nonnegative(),
  /** Of all columns, and their SHA-256. */
  bytes: z.int().nonnegative(),
  sha256: z.string(),
});
type KeptPlaces = z.infer<typeof keptPlaces>;

export function packPlaces({ containers, columns }: Places): { told: KeptPlaces; body: Buffer } {
  const names = columns === null ? null : columnNames.filter((name) => columns[name] !== null);
  const parts = (names ?? []).map((name) => {
    const { buffer, byteOffset, byteLength } = columns![name]!;
    return new Uint8Array(buffer, byteOffset, byteLength);
  });
  const body = Buffer.concat(parts);
  const told: KeptPlaces = {
    containers: containers.map(({ path, withoutClass, archive }) => ({
      path,
      withoutClass,
      archive:
        archive === null
          ? null
          : { path: archive.path, bytes: archive.stamp.bytes, modified: String(archive.stamp.modified) },
    })),
    columns: names,
    files: columns === null ? 0 : Math.max(...columnNames.map((name) => columns[name]?.length ?? 0)),
    bytes: body.length,
    sha256: sha256(body),
  };
  return { told, body };
}

/** Null where the body is damaged. */
export function readPlaces(
  { containers, columns, files, sha256: digest }: KeptPlaces,
  body: Buffer,
): Places | null {
  if (sha256(body) !== digest) return null;
  const told = containers.map(({ archive, ...container }) => ({
    ...container,
    archive:
      archive === null
        ? null
        : { path: archive.path, stamp: { bytes: archive.bytes, modified: BigInt(archive.modified) } },
  }));
  if (columns === null) return new Places(told, null);
  const read: Record<ColumnName, PlaceColumns[ColumnName]> = {
    container: null,
    offset: null,
    stored: null,
    skip: null,
  };
  let begin = 0;
  for (const name of columns) {
    const type = columnTypes[name];
    const bytes = files * type.BYTES_PER_ELEMENT;
    const copy = Uint8Array.from(body.subarray(begin, begin + bytes)); // at the beginning of a buffer, as numbers want it
    read[name] = new type(copy.buffer);
    begin += bytes;
  }
  return new Places(told, read as PlaceColumns);
}

function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}
