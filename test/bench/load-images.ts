/**
 * A timer of the image pipeline, the counterpart of images_peer.py with the same JSON:
 *
 *     node dist/test/bench/load-images.js FOLDER train|val IMAGES THREADS [AUGMENTATION]
 *
 * The pipeline is all that a worker does from the files to batches in memory: random resized crops of `train`, or
 * resized and centre-cropped images of `val`. AUGMENTATION is JSON as in config.json: `{"blur": "2"}`.
 */
import { indexDataset } from '../../shared/data/dataset-index.ts';
import { Schedule } from '../../shared/data/schedule.ts';
import { defaults, plainAugmentation } from '../../shared/defaults.ts';
import { openDecoder } from '../../worker/data/decode.ts';
import { ShardLoader } from '../../worker/data/prefetch.ts';

const [folder, split, images, threads, augmentation = '{}'] = process.argv.slice(2) as [
  string,
  'train' | 'val',
  string,
  string,
  string?,
];
const batch = 32;
const index = await indexDataset(folder, ['train', 'val']);
const trainSize = index.train.size;
const steps = Math.ceil(Number(images) / batch);
const warmUp = 2;
const loader = new ShardLoader({
  index,
  shards: {
    files: index.train,
    schedule: new Schedule({ seed: 1, trainSize, batchSize: batch, lanes: 1 }),
    augmentation: { ...plainAugmentation, ...JSON.parse(augmentation) },
    steps: warmUp + steps,
    prefetchShards: defaults.prefetchShards,
    skipUnreadable: false,
  },
  decoder: openDecoder(Number(threads)),
  imageSize: defaults.imageSize,
});

let loaded = 0;
async function load(step: number): Promise<void> {
  const samples = Array.from({ length: batch }, (_, i) => (step * batch + i) % index.val.size);
  const { images, labels } =
    split === 'train'
      ? await loader.get(step, 0)
      : await loader.loadBatch(index.val, samples, { mode: 'validation', skipUnreadable: false });
  loaded += labels.length;
  if (split === 'train') loader.reuse(images); // as a worker does
}

if (split === 'train') loader.announce([0], 0);
for (let step = 0; step < warmUp; step++) await load(step);
loaded = 0;
const cpu = process.cpuUsage();
const start = performance.now();
let step = warmUp;
async function loadNext(): Promise<void> {
  while (step < warmUp + steps) await load(step++);
}
// a batch is on its way while another is handed over, as in a worker
await Promise.all([loadNext(), loadNext()]);
const seconds = (performance.now() - start) / 1000;
const { user, system } = process.cpuUsage(cpu);
console.log(
  JSON.stringify({
    who: 'cornet-ts',
    split,
    threads: Number(threads),
    imagesPerSecond: loaded / seconds,
    imagesPerCpuSecond: loaded / ((user + system) / 1e6),
  }),
);
await loader.close();
