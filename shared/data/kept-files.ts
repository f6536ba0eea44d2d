/** The files of a split as a kept index has them: their manifest, and where they lie. */
import { createHash } from 'node:crypto';
import { z } from 'zod';
import type { Box, Container, FileGroup, FileList } from './file-list.ts';
import { FileTable, type PlaceColumn } from './file-table.ts';

/** Little-endian values of each column, one column after the other. `skip` is -1 for null. */
const columnTypes = {
  container: Uint32Array,
  offset: Float64Array,
  stored: Uint32Array,
  skip: Int32Array,
} as const satisfies Record<PlaceColumn, unknown>;
const columnNames = ['container', 'offset', 'stored', 'skip'] as const satisfies readonly PlaceColumn[];
type Column = Uint32Array | Float64Array | Int32Array;

/** What the header tells of the places; nanoseconds as text, since JSON has no such numbers. */
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
  /** Without `container`, all files are in the first one. */
  columns: z.array(z.enum(columnNames)),
  files: z.int().nonnegative(),
  /** Of all columns, and their SHA-256. */
  bytes: z.int().nonnegative(),
  sha256: z.string(),
});
type KeptPlaces = z.infer<typeof keptPlaces>;

export function describePlaces(list: FileList): KeptPlaces {
  const columns = columnNames.filter((name) => list.hasPlaces(name));
  const hash = createHash('sha256');
  let bytes = 0;
  for (const column of packedPlaces(list)) {
    hash.update(column);
    bytes += column.length;
  }
  return {
    containers: list.containers.map(({ path, withoutClass, archive }) => ({
      path,
      withoutClass,
      archive:
        archive === null
          ? null
          : { path: archive.path, bytes: archive.stamp.bytes, modified: String(archive.stamp.modified) },
    })),
    columns,
    files: list.size,
    bytes,
    sha256: hash.digest('hex'),
  };
}

/** The columns of which something is known. */
export function* packedPlaces(list: FileList): Generator<Uint8Array> {
  for (const name of columnNames) {
    if (!list.hasPlaces(name)) continue;
    const values = new columnTypes[name](list.size);
    let row = 0;
    list.eachPlace((files, at) => {
      values[row++] = files[name](at) ?? -1;
    });
    yield new Uint8Array(values.buffer);
  }
}

/**
 * The files of each class.
 * @param manifest complete lines
 * @returns null where places are damaged
 */
export function readFiles(
  classes: readonly string[],
  manifest: Buffer,
  kept: KeptPlaces,
  body: Buffer,
): { groups: FileGroup[]; containers: Container[] } | null {
  if (createHash('sha256').update(body).digest('hex') !== kept.sha256) return null;
  const columns: Partial<Record<PlaceColumn, Column>> = {};
  let begin = 0;
  for (const name of kept.columns) {
    const bytes = kept.files * columnTypes[name].BYTES_PER_ELEMENT;
    const copy = Uint8Array.from(body.subarray(begin, begin + bytes)); // at the beginning of a buffer, as numbers want it
    columns[name] = new columnTypes[name](copy.buffer);
    begin += bytes;
  }
  const containers = kept.containers.map(({ archive, ...container }) => ({
    ...container,
    archive:
      archive === null
        ? null
        : { path: archive.path, stamp: { bytes: archive.bytes, modified: BigInt(archive.modified) } },
  }));
  return { groups: readManifest(classes, manifest, columns), containers };
}

function readManifest(
  classes: readonly string[],
  manifest: Buffer,
  { container, offset, stored, skip }: Partial<Record<PlaceColumn, Column>>,
): FileGroup[] {
  const groups = classes.map((name) => ({ prefix: `${name}/`, files: new FileTable(), chosen: null }));
  const prefixes = groups.map(({ prefix }) => Buffer.from(prefix));
  let label = 0;
  for (let file = 0, begin = 0; begin < manifest.length; file++) {
    const end = manifest.indexOf(0, begin);
    const line = manifest.indexOf('\n', end);
    // Files come in the order of their classes.
    while (!startsWith(manifest, begin, prefixes[label]!)) label++;
    const [bytes, box] = manifest.toString('latin1', end + 1, line).split(' ');
    groups[label]!.files.add({
      name: manifest.toString('utf8', begin + prefixes[label]!.length, end),
      bytes: Number(bytes),
      container: container?.[file] ?? 0,
      offset: offset?.[file],
      stored: stored?.[file] ?? Number(bytes),
      skip: skip === undefined || skip[file] === -1 ? null : skip[file]!,
      box: box === undefined ? undefined : boxOf(box),
    });
    begin = line + 1;
  }
  return groups;
}

function startsWith(bytes: Buffer, begin: number, prefix: Buffer): boolean {
  return bytes.compare(prefix, 0, prefix.length, begin, begin + prefix.length) === 0;
}

function boxOf(numbers: string): Box {
  const [left, top, width, height] = numbers.split(',').map(Number) as [number, number, number, number];
  return { left, top, width, height };
}
