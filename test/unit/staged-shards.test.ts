/** Shards that go up while another is computed: with a real loader, and an engine that keeps account of what it is sent. */
import test from 'ava';
import type { ShardLoader } from '../../worker/data/prefetch.ts';
import { type StagedShard, StagedShards } from '../../worker/perform/staged-shards.ts';
import type { EngineCalls } from '../../worker/perform/worker-parts.ts';
import { dataset, loaderOf } from '../helpers/tiny-loader.ts';

/** What lies on the device, by name. */
class Device {
  readonly staged = new Map<string, string>();

  readonly call = (async (method: string, [name, images]: [string, Uint8Array<ArrayBuffer>]) => {
    if (method === 'unstage') return void this.staged.delete(name);
    this.staged.set(name, Buffer.from(images).toString('hex'));
    return images;
  }) as EngineCalls['call'];

  /** Takes a shard off the device, as computing does. */
  async compute(shard: StagedShard): Promise<string | undefined> {
    await (await shard.loaded).taken;
    const images = this.staged.get(shard.name);
    this.staged.delete(shard.name);
    return images;
  }
}

function counting(loader: ShardLoader): { loader: ShardLoader; gets: string[] } {
  const gets: string[] = [];
  const get = loader.get.bind(loader);
  loader.get = (step, lane) => {
    gets.push(`${step}:${lane}`);
    return get(step, lane);
  };
  return { loader, gets };
}

const settled = () => new Promise((resolve) => setTimeout(resolve, 50));

test('the next shard is on the device before its job comes, and no image of it is loaded twice', async (t) => {
  const index = await dataset(t);
  const { loader, gets } = counting(loaderOf(index));
  const device = new Device();
  const shards = new StagedShards(loader, device);
  shards.announce([0, 2], 0);
  for (const [step, lane] of [0, 1, 2, 3, 4, 5].flatMap((step) => [[step, 0] as const, [step, 2] as const])) {
    if (lane === 0) shards.announce([0, 2], step); // after every update
    const shard = shards.take(step, lane);
    shards.stageAhead();
    const expected = Buffer.from((await loaderOf(index).get(step, lane)).images).toString('hex');
    t.is(await device.compute(shard), expected);
  }
  await settled();
  t.is(device.staged.size, 0, 'nothing past the last step');
  t.is(gets.length, 12);
  t.is(loader.decoded.images, 6 * 6 - 2 * 2); // the last step of an epoch has two images per lane
});

test('a shard that was staged ahead leaves the device when its lane moves away, or the run goes back', async (t) => {
  const { loader } = counting(loaderOf(await dataset(t)));
  const device = new Device();
  const shards = new StagedShards(loader, device);
  const ahead = async (step: number, lane: number) => {
    await device.compute(shards.take(step, lane));
    shards.stageAhead();
    await settled();
    return [...device.staged.keys()].map((name) => name.replace(/:\d+$/, ''));
  };
  shards.announce([0], 2);
  t.deepEqual(await ahead(2, 0), ['3:0']);
  shards.announce([1], 3);
  await settled();
  t.is(device.staged.size, 0);
  t.deepEqual(await ahead(3, 1), ['4:1']);
  shards.announce([1], 1);
  await settled();
  t.is(device.staged.size, 0);
  t.deepEqual(await ahead(1, 1), ['2:1']);
});

test('a shard that another worker left is computed beside the one that waits for its job', async (t) => {
  const { loader } = counting(loaderOf(await dataset(t)));
  const device = new Device();
  const shards = new StagedShards(loader, device);
  shards.announce([0], 0);
  await device.compute(shards.take(0, 0));
  shards.stageAhead();
  await settled();
  const inherited = shards.take(0, 1);
  t.not(await device.compute(inherited), undefined);
  const [waiting] = device.staged.keys();
  t.is(shards.take(1, 0).name, waiting!);
});

test('an image that cannot be read ahead of its job is an error when the job comes', async (t) => {
  const index = await dataset(t);
  const loader = loaderOf(index);
  const shards = new StagedShards(loader, new Device());
  shards.announce([0], 0);
  const broken = new Error('no such image');
  const get = loader.get.bind(loader);
  loader.get = (step, lane) => (step === 1 ? Promise.reject(broken) : get(step, lane));
  await shards.take(0, 0).loaded;
  shards.stageAhead();
  await settled();
  await t.throwsAsync(shards.take(1, 0).loaded, { is: broken });
});
