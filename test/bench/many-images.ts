/**
 * A data set with as many images as ImageNet's, in as many classes, which nobody decodes. Archives are written as such:
 * to pack a million files would take longer than all else.
 */
import { randomBytes } from 'node:crypto';
import { closeSync, mkdirSync, openSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { writeParquetShard } from '../helpers/archives.ts';

export const many = { classes: 1000, images: 1_281_167, bytes: 1_000 };

/** As many shards as the published archives have. */
const shards = { webDataset: 147, parquet: 294 };

const content = randomBytes(many.bytes);

/** The ways in which its training images may lie about: each writes them below an empty folder. */
export const manyImages: Readonly<Record<string, (root: string) => void>> = {
  'class folders': (root) => {
    for (let label = 0; label < many.classes; label++) {
      const folder = join(root, 'train', className(label));
      mkdirSync(folder, { recursive: true });
      for (const name of namesOf(label)) writeFileSync(join(folder, name), content);
    }
  },
  'a tar of class folders': (root) => {
    writeTar(join(root, 'train.tar'), (add) => {
      for (let label = 0; label < many.classes; label++) {
        add(entriesOf(namesOf(label).map((name) => [`${className(label)}/${name}`, content])));
      }
    });
  },
  'a tar of tars': (root) => {
    writeTar(join(root, 'ILSVRC2012_img_train.tar'), (add) => {
      for (let label = 0; label < many.classes; label++) {
        add(entriesOf([[`${className(label)}.tar`, Buffer.concat([classEntries(label), end])]]));
      }
    });
  },
  'a tar for each class': (root) => {
    mkdirSync(join(root, 'train'));
    for (let label = 0; label < many.classes; label++) {
      writeTar(join(root, 'train', `${className(label)}.tar`), (add) => add(classEntries(label)));
    }
  },
  'WebDataset shards': (root) => {
    for (let shard = 0; shard < shards.webDataset; shard++) {
      writeTar(join(root, `imagenet-train-${String(shard).padStart(6, '0')}.tar`), (add) => {
        for (const { label, name } of shardOf(shard, shards.webDataset)) {
          add(
            entriesOf([
              [`${name}.cls`, Buffer.from(String(label))],
              [`${name}.jpg`, content],
            ]),
          );
        }
      });
    }
  },
  'Parquet shards': (root) => {
    const folder = join(root, 'data');
    mkdirSync(folder);
    const classes = Array.from({ length: many.classes }, (_, label) => className(label));
    for (let shard = 0; shard < shards.parquet; shard++) {
      const images = Array.from(shardOf(shard, shards.parquet), ({ label, name }) => {
        return { bytes: randomBytes(many.bytes), path: `${name}.JPEG`, label };
      });
      writeParquetShard(folder, 'train', { shard, shards: shards.parquet, images, classes });
    }
  },
};

function className(label: number): string {
  return `n${10_000_000 + label}`;
}

function namesOf(label: number): string[] {
  const count = Math.floor(many.images / many.classes) + (label < many.images % many.classes ? 1 : 0);
  return Array.from({ length: count }, (_, i) => `${className(label)}_${i}.JPEG`);
}

/** One image of so many, so that classes are mixed. */
function* shardOf(shard: number, of: number): Generator<{ label: number; name: string }> {
  for (let image = shard; image < many.images; image += of) {
    const label = image % many.classes;
    yield { label, name: `${className(label)}_${Math.floor(image / many.classes)}` };
  }
}

const block = 512;
const end = Buffer.alloc(2 * block);

function writeTar(path: string, fill: (add: (entries: Buffer) => void) => void): void {
  const file = openSync(path, 'wx');
  fill((entries) => writeSync(file, entries));
  writeSync(file, end);
  closeSync(file);
}

function classEntries(label: number): Buffer {
  return entriesOf(namesOf(label).map((name) => [name, content]));
}

/** Files in a tar archive, with headers of the kind ustar. */
function entriesOf(files: readonly (readonly [name: string, content: Buffer])[]): Buffer {
  return Buffer.concat(
    files.flatMap(([name, data]) => [
      headerOf(name, data.length),
      data,
      end.subarray(0, -data.length & (block - 1)),
    ]),
  );
}

function headerOf(name: string, bytes: number): Buffer {
  const header = Buffer.alloc(block);
  const octal = (value: number, at: number, digits: number) =>
    header.write(value.toString(8).padStart(digits, '0'), at, 'latin1');
  header.write(name, 0);
  octal(0o644, 100, 7);
  octal(bytes, 124, 11);
  header.fill(' ', 148, 156); // the checksum, while it is computed
  header.write('0ustar\0' + '00', 156, 'latin1');
  octal(
    header.reduce((sum, byte) => sum + byte, 0),
    148,
    6,
  );
  header[154] = 0;
  return header;
}
