/** The files of a split as a kept index has them: in columns that are used as they are read, without a copy. */
import { createHash } from 'node:crypto';
import { z } from 'zod';
import { type Container, type FileGroup, type FileList, positionOf, sizeOf } from './file-list.ts';
import { type Box, type ColumnName, columnNames, FileTable } from './file-table.ts';
import { type Values, valuesFor } from './growing-columns.ts';

/** Little-endian numbers. */
const types = { float64: Float64Array, uint32: Uint32Array, uint16: Uint16Array } as const;
type TypeName = keyof typeof types;
const typeNames = ['float64', 'uint32', 'uint16'] as const satisfies readonly TypeName[];

/** Left, top, width, height. */
const boxNumbers = 4;

/** Every number stands at a multiple of its bytes: the widest come first, and all take a multiple of this. */
export const alignment = Float64Array.BYTES_PER_ELEMENT;

/** What the header tells of them; nanoseconds as text, since JSON has no such numbers. */
export const keptFiles = z.strictObject({
  containers: z.array(
    z.strictObject({
      path: z.string(),
      withoutClass: z.boolean(),
      archive: z
        .strictObject({ path: z.string(), bytes: z.int().nonnegative(), modified: z.string().regex(/^\d+$/) })
        .nullable(),
    }),
  ),
  /** The number of files of each class. */
  counts: z.array(z.int().nonnegative()),
  /** Whether each file has a box; they come first. */
  boxed: z.boolean(),
  /** In their order. The names follow, one after the other. */
  columns: z.array(z.strictObject({ name: z.enum(columnNames), type: z.enum(typeNames) })),
  /** Of all of this, and its SHA-256. */
  bytes: z.int().nonnegative(),
  sha256: z.string(),
});
type KeptFiles = z.infer<typeof keptFiles>;

export function describeFiles(list: FileList): KeptFiles {
  const columns = typedColumns(list);
  const hash = createHash('sha256');
  let bytes = 0;
  for (const piece of packFiles(list, columns)) {
    hash.update(piece);
    bytes += piece.length;
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
    counts: list.groups.map(sizeOf),
    boxed: isBoxed(list),
    columns,
    bytes,
    sha256: hash.digest('hex'),
  };
}

/** @param columns as `describeFiles` has them @returns what is to be written, in pieces */
export function* packFiles(list: FileList, columns: KeptFiles['columns']): Generator<Uint8Array> {
  if (isBoxed(list)) yield bytesOf(boxesOf(list));
  let bytes = 0;
  for (const { name, type } of columns) {
    const values = new types[type](list.size);
    let row = 0;
    for (const value of valuesOf(list, name)) values[row++] = value;
    bytes += values.byteLength;
    yield bytesOf(values);
  }
  for (const group of list.groups) {
    const names = namesOf(group);
    bytes += names.length;
    yield names;
  }
  yield new Uint8Array(-bytes & (alignment - 1));
}

/**
 * The files of each class.
 * @param written whose memory is kept, unless it is not at a multiple of `alignment` there
 * @returns null where it is damaged
 */
export function readFiles(
  classes: readonly string[],
  kept: KeptFiles,
  written: Buffer,
): { groups: FileGroup[]; containers: Container[] } | null {
  const body = aligned(written);
  if (createHash('sha256').update(body).digest('hex') !== kept.sha256) return null;
  const size = kept.counts.reduce((sum, count) => sum + count, 0);
  let begin = 0;
  const take = (type: TypeName, length: number): Values => {
    const values = new types[type](body.buffer as ArrayBuffer, body.byteOffset + begin, length);
    begin += values.byteLength;
    return values;
  };
  const boxes = kept.boxed ? take('float64', boxNumbers * size) : null;
  const columns = kept.columns.map(({ name, type }) => [name, take(type, size)] as const);
  const ends = new Map(columns).get('end')!;

  let first = 0;
  const groups = classes.map((name, label): FileGroup => {
    const end = first + kept.counts[label]!;
    const bytes = end === first ? 0 : ends[end - 1]!;
    const own = columns.map(([column, values]) => [column, values.subarray(first, end)]);
    const files = new FileTable({
      names: body.subarray(begin, begin + bytes),
      columns: Object.fromEntries(own) as Partial<Record<ColumnName, Values>>,
      boxes: boxes === null ? [] : readBoxes(boxes, first, end),
    });
    begin += bytes;
    first = end;
    return { prefix: `${name}/`, files, chosen: null };
  });
  const containers = kept.containers.map(({ archive, ...container }) => ({
    ...container,
    archive:
      archive === null
        ? null
        : { path: archive.path, stamp: { bytes: archive.bytes, modified: BigInt(archive.modified) } },
  }));
  return { groups, containers };
}

function aligned(bytes: Buffer): Buffer {
  if (bytes.byteOffset % alignment === 0) return bytes;
  const copy = Buffer.allocUnsafeSlow(bytes.length);
  bytes.copy(copy);
  return copy;
}

/** The columns that are needed, the widest first. */
function typedColumns(list: FileList): KeptFiles['columns'] {
  const columns = columnNames
    .filter((name) => list.groups.some(({ files }) => files.has(name)))
    .map((name) => {
      let most = 0;
      for (const value of valuesOf(list, name)) if (value > most) most = value;
      const type = typeNames.find((one) => valuesFor(most, 0) instanceof types[one])!;
      return { name, type };
    });
  return typeNames.flatMap((type) => columns.filter((column) => column.type === type));
}

function* valuesOf(list: FileList, column: ColumnName): Generator<number> {
  for (const group of list.groups) {
    let end = 0;
    for (let i = 0; i < sizeOf(group); i++) {
      const at = positionOf(group, i);
      end += group.files.nameBytes(at);
      yield column === 'end' ? end : group.files.value(column, at);
    }
  }
}

function namesOf(group: FileGroup): Buffer {
  let bytes = 0;
  for (let i = 0; i < sizeOf(group); i++) bytes += group.files.nameBytes(positionOf(group, i));
  const names = Buffer.allocUnsafe(bytes);
  let end = 0;
  for (let i = 0; i < sizeOf(group); i++) end = group.files.writeName(positionOf(group, i), names, end);
  return names;
}

/** A list of images has boxes for all, or for none. */
function isBoxed(list: FileList): boolean {
  return list.size > 0 && list.box(0) !== null;
}

function boxesOf(list: FileList): Float64Array {
  const boxes = new Float64Array(boxNumbers * list.size);
  for (let file = 0; file < list.size; file++) {
    const { left, top, width, height } = list.box(file)!;
    boxes.set([left, top, width, height], boxNumbers * file);
  }
  return boxes;
}

function readBoxes(numbers: Values, first: number, end: number): Box[] {
  return Array.from({ length: end - first }, (_, i) => {
    const at = boxNumbers * (first + i);
    const [left, top, width, height] = [0, 1, 2, 3].map((number) => numbers[at + number]!);
    return { left: left!, top: top!, width: width!, height: height! };
  });
}

function bytesOf({ buffer, byteOffset, byteLength }: Values): Uint8Array {
  return new Uint8Array(buffer, byteOffset, byteLength);
}
