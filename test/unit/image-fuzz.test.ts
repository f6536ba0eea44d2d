import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import test from 'ava';
import { CornetError } from '../../shared/errors.ts';
import { Draws } from '../../shared/random.ts';
import { openDecoder } from '../../worker/data/decode.ts';
import { randomResizedCrop, squash } from '../../worker/data/transform.ts';
import { decodeAlone } from '../helpers/decoders.ts';
import { temporaryFolder } from '../helpers/temporary.ts';

/** How many mutations; `CORNET_FUZZ=10000` for the long run. */
const mutations = Number(process.env.CORNET_FUZZ ?? 1_000);
const atOnce = 20;
const side = 32;

const folder = 'test/fixtures/images';
const names = (await readdir(folder, { recursive: true })).filter((name) =>
  /\.(jpe?g|png|webp|tiff|gif|bmp|p[gp]m)$/i.test(name),
);
const files = await Promise.all(names.sort().map((name) => readFile(join(folder, name))));

/** A file with a few bytes changed, a stretch missing, repeated or zero, or its end cut off. */
function mutate(original: Buffer, draws: Draws): Buffer {
  const file = Buffer.from(original);
  // every other time near the beginning, where sizes and tables stand
  const place = () => draws.integer(draws.uniform() < 0.5 ? Math.min(700, file.length) : file.length);
  const from = place();
  const to = Math.min(file.length, from + 1 + draws.integer(64));
  switch (draws.integer(5)) {
    case 0:
      return file.subarray(0, from);
    case 1:
      return Buffer.concat([file.subarray(0, from), file.subarray(to)]);
    case 2:
      return Buffer.concat([file.subarray(0, to), file.subarray(from)]);
    case 3:
      return file.fill(draws.uniform() < 0.5 ? 0 : 255, from, to);
    default:
      for (let i = draws.integer(16); i >= 0; i--) file[place()] = draws.integer(256);
      return file;
  }
}

test(`${mutations} damaged files give an image or an error that names them, and spoil nothing`, async (t) => {
  const scratch = temporaryFolder(t);
  const decoder = openDecoder(2);
  t.log(decoder.description);
  const intact = await decodeAlone(decoder, `${folder}/landscape.jpg`, squash(side), side);
  const outcomes = { images: 0, errors: 0 };

  async function decodeMutation(i: number): Promise<void> {
    const draws = new Draws(3, 0, 0, i);
    const path = join(scratch, String(i % atOnce));
    await writeFile(path, mutate(files[draws.integer(files.length)]!, draws));
    try {
      await decodeAlone(decoder, path, randomResizedCrop(side, draws), side);
      outcomes.images++;
    } catch (error) {
      if (!(error instanceof CornetError && error.code === 'IMAGE_UNREADABLE')) throw error;
      t.true(error.message.includes(path));
      outcomes.errors++;
    }
  }

  const memory: number[] = [];
  for (let i = 0; i < mutations; i += atOnce) {
    await Promise.all(
      Array.from({ length: Math.min(atOnce, mutations - i) }, (_, k) => decodeMutation(i + k)),
    );
    memory.push(process.memoryUsage.rss());
  }
  t.log(outcomes);
  t.true(outcomes.images > mutations / 10 && outcomes.errors > mutations / 10); // the mutations are worth their name
  t.deepEqual(await decodeAlone(decoder, `${folder}/landscape.jpg`, squash(side), side), intact);

  // what the largest image needed may stay, but nothing may pile up from file to file
  const megabytes = (bytes: number) => Math.round(bytes / 1e6);
  const [half, end] = [Math.max(...memory.slice(0, memory.length / 2)), memory.at(-1)!];
  t.log(`resident memory: ${megabytes(half)} MB at most in the first half, ${megabytes(end)} MB at the end`);
  t.true(end - half < 100e6);
});
