/** Data sets as archives, packed by tar itself. */
import { execFileSync } from 'node:child_process';
import { cpSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { basename, join, parse } from 'node:path';
import { parquetWriteFile } from 'hyparquet-writer';
import { snappyCompress } from 'hysnappy';
import { compareCodePoints } from '../../shared/util/code-points.ts';

/** Packs what is in a folder. */
export function pack(archive: string, folder: string, entries: readonly string[] = ['.']): void {
  execFileSync('tar', ['--sort=name', '-cf', archive, '-C', folder, ...entries]);
}

/** `train.tar` of class folders. */
export function packFolders(source: string, target: string, split: string): void {
  pack(join(target, `${split}.tar`), join(source, split));
}

/** As ImageNet's training images are downloaded: an archive of an archive for each class. */
export function packNested(source: string, target: string, split: string, scratch: string): void {
  packClasses(source, scratch, split);
  pack(join(target, `ILSVRC2012_img_${split}.tar`), join(scratch, split), readdirSync(join(scratch, split)));
}

/** `train/n01440764.tar`: an archive for each class. */
export function packClasses(source: string, target: string, split: string): void {
  mkdirSync(join(target, split), { recursive: true });
  for (const name of readdirSync(join(source, split))) {
    const folder = join(source, split, name);
    pack(join(target, split, `${name}.tar`), folder, readdirSync(folder));
  }
}

/** WebDataset shards: each image with its class, in an order in which classes are mixed. */
export function packShards(source: string, target: string, split: string, scratch: string, shards = 2): void {
  const classes = readdirSync(join(source, split)).sort();
  const samples = classes.flatMap((name, label) =>
    readdirSync(join(source, split, name)).map((file) => ({
      file,
      path: join(source, split, name, file),
      label,
    })),
  );
  samples.sort((a, b) => compareCodePoints(a.file, b.file));
  for (let shard = 0; shard < shards; shard++) {
    const folder = join(scratch, `${split}-${shard}`);
    mkdirSync(folder, { recursive: true });
    for (const { file, path, label } of samples.filter((_, i) => i % shards === shard)) {
      cpSync(path, join(folder, file));
      writeFileSync(join(folder, `${parse(file).name}.cls`), `${label}\n`);
    }
    pack(join(target, `set-${split}-${String(shard).padStart(6, '0')}.tar`), folder);
  }
}

/** `path,label` of all images below a split's class folders. */
export function listOf(source: string, split: string): string {
  const rows = readdirSync(join(source, split)).flatMap((name) =>
    readdirSync(join(source, split, name)).map((file) => `${split}/${name}/${file},${name}`),
  );
  return ['path,label', ...rows].join('\n');
}

/** A flat folder of a split's images, and the table of their classes that Kaggle has with it. */
export function flatten(source: string, target: string, split: string): void {
  mkdirSync(join(target, split), { recursive: true });
  const rows: string[] = [];
  for (const name of readdirSync(join(source, split))) {
    for (const file of readdirSync(join(source, split, name))) {
      cpSync(join(source, split, name, file), join(target, split, file));
      rows.push(`${basename(file, parse(file).ext)},${name} 1 2 3 4 `);
    }
  }
  writeFileSync(join(target, 'LOC_val_solution.csv'), ['ImageId,PredictionString', ...rows].join('\n'));
}

/** Parquet shards as Hugging Face has them: structs of bytes and path, numbers as labels, whose names the footer tells. */
export function writeParquet(source: string, target: string, split: string, shards = 2): void {
  const classes = readdirSync(join(source, split)).sort();
  const rows = classes.flatMap((name, label) =>
    readdirSync(join(source, split, name)).map((path) => ({
      path,
      folder: join(source, split, name),
      label,
    })),
  );
  rows.sort((a, b) => compareCodePoints(a.path, b.path));
  mkdirSync(join(target, 'data'), { recursive: true });
  for (let shard = 0; shard < shards; shard++) {
    const some = rows.filter((_, i) => i % shards === shard);
    const images = some.map(({ path, folder, label }) => ({
      bytes: readFileSync(join(folder, path)),
      path,
      label,
    }));
    writeParquetShard(join(target, 'data'), split, { shard, shards, images, classes });
  }
}

interface ParquetShard {
  readonly shard: number;
  readonly shards: number;
  readonly images: readonly { readonly bytes: Buffer; readonly path: string; readonly label: number }[];
  /** What the numbers of the labels are called. */
  readonly classes: readonly string[];
}

export function writeParquetShard(
  folder: string,
  split: string,
  { shard, shards, images, classes }: ParquetShard,
): void {
  const number = (n: number) => String(n).padStart(5, '0');
  const features = { image: { _type: 'Image' }, label: { names: classes, _type: 'ClassLabel' } };
  parquetWriteFile({
    filename: join(folder, `${split}-${number(shard)}-of-${number(shards)}.parquet`),
    columnData: [
      { name: 'image', data: images.map(({ bytes, path }) => ({ bytes, path })) },
      { name: 'label', data: images.map(({ label }) => BigInt(label)) },
    ],
    schema: imageSchema('INT64'),
    rowGroupSize: 100,
    compressors: { SNAPPY: compressInBlocks },
    kvMetadata: [{ key: 'huggingface', value: JSON.stringify({ info: { features } }) }],
  });
}

type ParquetSchema = NonNullable<Parameters<typeof parquetWriteFile>[0]['schema']>;

/** Images with their paths, and labels: what the package datasets writes. */
export function imageSchema(label: 'INT32' | 'INT64'): ParquetSchema {
  return [
    { name: 'schema', num_children: 2 },
    { name: 'image', num_children: 2, repetition_type: 'OPTIONAL' },
    { name: 'bytes', type: 'BYTE_ARRAY', repetition_type: 'OPTIONAL' },
    { name: 'path', type: 'BYTE_ARRAY', converted_type: 'UTF8', repetition_type: 'OPTIONAL' },
    { name: 'label', type: label, repetition_type: 'OPTIONAL' },
  ];
}

/** As Google's library compresses, and so Arrow: each 64 KiB by themselves, behind the length of all. */
function compressInBlocks(data: Uint8Array): Uint8Array {
  const blockBytes = 64 * 1024;
  const parts: Uint8Array[] = [lengthOf(data.length)];
  for (let begin = 0; begin < data.length; begin += blockBytes) {
    const block = data.subarray(begin, begin + blockBytes);
    parts.push(snappyCompress(block).subarray(lengthOf(block.length).length));
  }
  return Buffer.concat(parts);
}

/** Seven bits a byte. */
function lengthOf(bytes: number): Uint8Array {
  const digits: number[] = [];
  for (let rest = bytes; ; rest >>>= 7) {
    if (rest < 0x80) return Uint8Array.from([...digits, rest]);
    digits.push((rest & 0x7f) | 0x80);
  }
}
