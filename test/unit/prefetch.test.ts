import { statSync } from 'node:fs';
import { appendFile, rm, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import test from 'ava';
import { type ImageSource, wholeFile } from '../../shared/data/image-source.ts';
import { Schedule } from '../../shared/data/schedule.ts';
import { CornetError } from '../../shared/errors.ts';
import { type ImageDecoder, openDecoder } from '../../worker/data/decode.ts';
import type { Batch, ShardLoader } from '../../worker/data/prefetch.ts';
import { squash } from '../../worker/data/transform.ts';
import { dataset, imageSize, loaderOf } from '../helpers/tiny-loader.ts';

const imageBytes = imageSize * imageSize * 3;

/** A decoder whose images get ready when the test says so, and that keeps account of what was asked of it. */
class HeldDecoder implements ImageDecoder {
  readonly description = 'held';
  readonly underWay: number;
  readonly asked: string[] = [];
  under = 0;
  most = 0;
  #waiting: (() => void)[] = [];

  constructor(underWay: number) {
    this.underWay = underWay;
  }

  async decode({ path }: ImageSource, _: unknown, size: number, target: Uint8Array, offset: number) {
    this.asked.push(path);
    this.most = Math.max(this.most, ++this.under);
    await new Promise<void>((resolve) => this.#waiting.push(resolve));
    this.under--;
    target.fill(offset / (size * size * 3), offset, offset + size * size * 3);
    return statSync(path).size;
  }

  /** Finishes the oldest image under way, and waits until whoever waited for it has taken notice. */
  async finishOne(): Promise<void> {
    this.#waiting.shift()?.();
    await new Promise(setImmediate);
  }

  async finishAll(): Promise<void> {
    while (this.under > 0) await this.finishOne();
  }
}

function bytes({ images, labels }: Batch): string {
  return `${Buffer.from(images).toString('hex')} ${labels.join()}`;
}

test('a shard has the same bytes loaded ahead, loaded on demand, in any order and with any number of threads', async (t) => {
  const index = await dataset(t);
  const shards = [0, 1, 2, 3, 4, 5].flatMap((step) => [0, 1, 2].map((lane) => [step, lane] as const));
  const load = async (loader: ShardLoader, order: typeof shards) => {
    const result = new Map<string, string>();
    for (const [step, lane] of order) result.set(`${step} ${lane}`, bytes(await loader.get(step, lane)));
    await loader.close();
    return [...result].sort();
  };
  const ahead = loaderOf(index, { prefetchShards: 4 });
  ahead.announce([0, 1, 2], 0);
  const expected = await load(ahead, shards);
  t.deepEqual(await load(loaderOf(index), shards), expected);
  t.deepEqual(await load(loaderOf(index, { threads: 1 }), shards.toReversed()), expected);
  const moved = loaderOf(index);
  moved.announce([1], 2);
  t.deepEqual(await load(moved, shards), expected);
});

test('the images of a step are the same whichever number of lanes shares them', async (t) => {
  const index = await dataset(t);
  const step = async (lanes: number) => {
    const loader = loaderOf(index, { lanes });
    const batches = await Promise.all(Array.from({ length: lanes }, (_, lane) => loader.get(1, lane)));
    return Buffer.concat(batches.map(({ images }) => images)).toString('hex');
  };
  t.is(await step(1), await step(3));
});

test('a batch has the labels of its samples and buffers of its own, of the right size', async (t) => {
  const index = await dataset(t);
  const loader = loaderOf(index);
  const { images, labels } = await loader.get(0, 1);
  t.is(images.buffer.byteLength, 3 * imageBytes);
  const { samples } = new Schedule({ seed: 5, trainSize: 24, batchSize: 9, lanes: 3 }).shard(0, 1);
  t.deepEqual(
    [...labels],
    Array.from(samples, (sample) => index.train.labels[sample]!),
  );
});

test('validation and feature batches come in the order asked, without any random draw', async (t) => {
  const index = await dataset(t);
  const loader = loaderOf(index);
  const batch = await loader.loadBatch(index.val, [3, 20, 3], { mode: 'validation', skipUnreadable: false });
  t.deepEqual([...batch.labels], [0, 1, 0]);
  t.deepEqual(batch.images.subarray(0, imageBytes), batch.images.subarray(2 * imageBytes));
  const alone = new Uint8Array(imageBytes);
  await openDecoder(1).decode(
    wholeFile(join(index.root, index.val.path(20))),
    squash(imageSize),
    imageSize,
    alone,
    0,
  );
  t.deepEqual(
    (await loader.loadBatch(index.val, [20], { mode: 'features', skipUnreadable: false })).images,
    alone,
  );
});

test('no more images are decoded at once than allowed, and no more shards are loaded ahead', async (t) => {
  const decoder = new HeldDecoder(3);
  const loader = loaderOf(await dataset(t), { decoder });
  loader.announce([0, 2], 0);
  await decoder.finishAll();
  t.is(decoder.most, 3);
  t.is(decoder.asked.length, 6); // (0, 0) and (0, 2), three images each
  await loader.get(0, 0);
  await decoder.finishAll();
  t.is(decoder.asked.length, 9); // (0, 0) was handed out: (1, 0) may come
});

test('a shard that was loaded ahead is handed out without decoding it again', async (t) => {
  const decoder = new HeldDecoder(3);
  const loader = loaderOf(await dataset(t), { decoder, steps: 1 });
  loader.announce([0, 1], 0);
  await decoder.finishAll();
  t.deepEqual([...new Set((await loader.get(0, 0)).images)], [0, 1, 2]);
  t.is((await loader.get(0, 1)).labels.length, 3);
  t.is(decoder.asked.length, 6); // and nothing past the last step
});

test('images that came back lend their memory to a coming shard, which has the bytes that it has in new memory', async (t) => {
  const index = await dataset(t);
  const expected: string[] = [];
  const fresh = loaderOf(index, { lanes: 1 });
  for (let step = 0; step < 6; step++) expected.push(bytes(await fresh.get(step, 0)));
  const loader = loaderOf(index, { lanes: 1, prefetchShards: 1 });
  loader.announce([0], 0);
  const memories = new Set<ArrayBuffer>();
  for (let step = 0; step < 6; step++) {
    const batch = await loader.get(step, 0);
    t.is(bytes(batch), expected[step]!);
    memories.add(batch.images.buffer);
    batch.images.fill(step); // whatever was left in it
    loader.reuse(batch.images);
  }
  t.true(memories.size < 6, `${memories.size} buffers`); // the short batch of each epoch's end has one of its own
});

test('what is asked for goes before what is loaded ahead', async (t) => {
  const index = await dataset(t);
  const decoder = new HeldDecoder(1);
  const loader = loaderOf(index, { decoder });
  loader.announce([0, 1], 0);
  const urgent = loader.loadBatch(index.val, [7], { mode: 'validation', skipUnreadable: false });
  await decoder.finishOne();
  await decoder.finishOne();
  await urgent;
  t.is(decoder.asked[1], join(index.root, index.val.path(7)));
});

test('lanes that move away are dropped between two images', async (t) => {
  const index = await dataset(t);
  const decoder = new HeldDecoder(1);
  const loader = loaderOf(index, { decoder });
  loader.announce([0], 0);
  t.is(decoder.asked.length, 1);
  loader.announce([2], 0);
  await decoder.finishAll();
  const schedule = new Schedule({ seed: 5, trainSize: 24, batchSize: 9, lanes: 3 });
  const wanted = [...schedule.shard(0, 2).samples, ...schedule.shard(1, 2).samples];
  t.deepEqual(
    decoder.asked.slice(1),
    wanted.map((sample) => join(index.root, index.train.path(sample))),
  );
  loader.announce([], 0);
  t.is((await Promise.all([loader.get(0, 2), decoder.finishAll()]))[0].labels.length, 3);
});

test('a shard without images is an empty batch', async (t) => {
  const index = await dataset(t);
  const loader = loaderOf(index, { lanes: 7 }); // the last step's 6 images leave one lane empty
  loader.announce([0, 1, 2, 3, 4, 5, 6], 2);
  const sizes = await Promise.all(
    [0, 1, 2, 3, 4, 5, 6].map(async (lane) => (await loader.get(2, lane)).labels.length),
  );
  t.deepEqual(sizes, [0, 1, 1, 1, 1, 1, 1]);
});

test('an unreadable image is named when its shard is asked for, and not before', async (t) => {
  const index = await dataset(t);
  const { samples } = new Schedule({ seed: 5, trainSize: 24, batchSize: 9, lanes: 3 }).shard(0, 0);
  const path = join(index.root, index.train.path(samples[1]!));
  await writeFile(path, 'no image');
  const loader = loaderOf(index);
  loader.announce([0], 0);
  t.is((await loader.get(0, 1)).labels.length, 3);
  for (let attempt = 0; attempt < 2; attempt++) {
    const error = await t.throwsAsync(loader.get(0, 0), { instanceOf: CornetError });
    t.is(error?.code, 'IMAGE_UNREADABLE');
    t.true(error?.message.includes(basename(path)));
  }
});

test('an unreadable image that may be skipped is replaced by the one before it in its shard', async (t) => {
  const index = await dataset(t);
  const { samples } = new Schedule({ seed: 5, trainSize: 24, batchSize: 9, lanes: 3 }).shard(0, 0);
  const whole = await loaderOf(index).get(0, 0);
  const damage = (position: number) => {
    const sample = samples[position]!;
    return writeFile(join(index.root, index.train.path(sample)), Buffer.alloc(index.train.bytes(sample)));
  };
  const image = (batch: Batch, position: number) =>
    Buffer.from(batch.images.subarray(position * imageBytes, (position + 1) * imageBytes));

  await damage(0);
  const one = await loaderOf(index, { skipUnreadable: true }).get(0, 0);
  t.deepEqual(
    one.unreadable.map(({ position }) => position),
    [0],
  );
  await damage(2);
  const two = await loaderOf(index, { skipUnreadable: true, threads: 1 }).get(0, 0);
  t.true(image(one, 0).equals(image(whole, 2)), 'before the first comes the last');
  t.true(image(two, 0).equals(image(whole, 1)));
  t.true(image(two, 2).equals(image(whole, 1)));
  t.deepEqual([...two.labels], [whole.labels[1], whole.labels[1], whole.labels[1]]);
  await damage(1);
  await t.throwsAsync(loaderOf(index, { skipUnreadable: true }).get(0, 0), { code: 'IMAGE_UNREADABLE' });
});

test('memory that comes back serves again, also after the short shards of an epoch', async (t) => {
  const index = await dataset(t);
  const lanes = [0, 1, 2];
  const [steps, epochs] = [3, 6]; // two with shards of three images, and one with shards of two
  const loader = loaderOf(index, { steps: epochs * steps });
  const seen = new Set<ArrayBuffer>();
  for (let step = 0; step < epochs * steps; step++) {
    loader.announce(lanes, step);
    for (const lane of lanes) {
      const { images } = await loader.get(step, lane);
      seen.add(images.buffer);
      loader.reuse(images);
    }
  }
  const shards = epochs * steps * lanes.length;
  t.true(seen.size < shards / 2, `${seen.size} buffers for ${shards} shards`);
});

test('only damage that was there when the data set was indexed may be skipped: other hosts have it, too', async (t) => {
  const index = await dataset(t);
  const { samples } = new Schedule({ seed: 5, trainSize: 24, batchSize: 9, lanes: 3 }).shard(0, 0);
  const path = join(index.root, index.train.path(samples[1]!));
  const skipping = () => loaderOf(index, { skipUnreadable: true }).get(0, 0);
  await writeFile(path, 'cut short');
  await t.throwsAsync(skipping(), { code: 'DATA_DIFFERS' });
  await rm(path);
  await t.throwsAsync(skipping(), { code: 'IMAGE_UNREACHABLE', message: /does not exist|ENOENT/ });
});

test('an image of another size than when it was indexed is refused, although it can be read', async (t) => {
  const index = await dataset(t);
  const { samples } = new Schedule({ seed: 5, trainSize: 24, batchSize: 9, lanes: 3 }).shard(0, 0);
  const path = join(index.root, index.train.path(samples[1]!));
  await appendFile(path, 'trailing bytes that no decoder minds');
  const error = await t.throwsAsync(loaderOf(index).get(0, 0), { instanceOf: CornetError });
  t.is(error?.code, 'DATA_DIFFERS');
  t.true(error?.message.includes(path));
});

test('closing starts no further image, rejects what is asked for, and waits for what is under way', async (t) => {
  const decoder = new HeldDecoder(2);
  const loader = loaderOf(await dataset(t), { decoder });
  loader.announce([0, 1, 2], 0);
  const pending = loader.get(0, 0);
  let closed = false;
  const closing = loader.close().then(() => {
    closed = true;
  });
  await t.throwsAsync(pending, { message: 'The loader is closed.' });
  await decoder.finishOne();
  t.false(closed);
  await decoder.finishOne();
  await closing;
  t.is(decoder.asked.length, 2);
});
