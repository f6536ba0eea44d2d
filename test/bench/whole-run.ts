/** A whole run (coordinator, queue, one worker, JPEG files from disk) beside the bare training step. */
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import sharp from 'sharp';
import type { RunNews } from '../../coordinator/watch/news.ts';
import { imageNetClasses } from '../../shared/models/family.ts';
import { Draws } from '../../shared/random.ts';
import type { Precision } from '../../shared/run-config.ts';
import { allLines, median, type Row, rate, ratioOfPairs, threads } from './measure.ts';
import { bareStep } from './steps.ts';

const photographs = ['landscape.jpg', 'portrait.jpg', 'grey.jpg'];
const classes = 2;
/** Images before the steady state: V8 compiles what is called again and again, and cores do it. */
const warmUpImages = 960;
/** As most of ImageNet's. */
const usual = { width: 500, height: 375 };
/** Decoded in no time, so that a step is what takes it. */
const small = { width: 100, height: 75 };

/** JPEG files like ImageNet's: photographs, every one different. */
export async function makePhotographs(
  folder: string,
  perClass: { train: number; val: number },
  size: { width: number; height: number } = usual,
): Promise<void> {
  for (const [split, count] of Object.entries(perClass)) {
    for (let label = 0; label < classes; label++) {
      const path = join(folder, split, `class${label}`);
      await mkdir(path, { recursive: true });
      const make = (i: number) => {
        const draws = new Draws(7, 77, label, i + (split === 'val' ? 1e6 : 0));
        const source = photographs[draws.integer(photographs.length)]!;
        return sharp(join('test', 'fixtures', 'images', source))
          .resize({ ...size, fit: 'cover' })
          .modulate({ brightness: draws.between(0.7, 1.3), hue: draws.integer(360) })
          .jpeg({ quality: 90 })
          .toFile(join(path, `class${label}_${i}.JPEG`));
      };
      await Promise.all(Array.from({ length: count }, (_, i) => make(i)));
    }
  }
}

export async function benchWholeRun(batches: readonly number[], pairs: number): Promise<Row[]> {
  const folder = await mkdtemp(join(tmpdir(), 'cornet-bench-'));
  const data = join(folder, 'images');
  const rows: Row[] = [];
  try {
    await makePhotographs(data, { train: 800, val: 8 });
    for (const batch of batches) {
      for (const precision of ['fp32', 'bf16'] as const) {
        rows.push(await compare({ data, folder, batch, precision, pairs }));
      }
    }
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
  return rows;
}

/** The same cores used by as many workers, of one thread each, and by one worker. */
export async function benchWorkers(pairs: number): Promise<Row[]> {
  const folder = await mkdtemp(join(tmpdir(), 'cornet-bench-'));
  const data = join(folder, 'images');
  const batch = 32;
  const warmUp = 30;
  const speed = async (workers: number, pair: number): Promise<number> => {
    const options = {
      model: 'Z',
      'image-size': 64,
      'data-path': data,
      'output-path': join(folder, `${workers}-${pair}`),
      'cpu-workers': workers,
      threads: threads / workers,
      'batch-size': batch,
      'max-steps': 5 * warmUp,
    };
    return batch / (await secondsPerStep(options, warmUp));
  };
  try {
    await makePhotographs(data, { train: 800, val: 8 }, small);
    const [several, one]: [number[], number[]] = [[], []];
    for (let pair = 0; pair < pairs; pair++) {
      one.push(await speed(1, pair));
      several.push(await speed(threads, pair));
    }
    const what = `CORnet-Z, 64 pixels, batch ${batch}: ${threads} workers with a thread each / one with ${threads} threads`;
    return [
      { what, ours: rate(median(several)), peer: rate(median(one)), ratio: ratioOfPairs(several, one) },
    ];
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

interface Comparison {
  data: string;
  folder: string;
  batch: number;
  precision: Precision;
  pairs: number;
}

async function compare({ data, folder, batch, precision, pairs }: Comparison): Promise<Row> {
  const warmUp = Math.ceil(warmUpImages / batch);
  const steps = Math.max(8, warmUp);
  const whole: number[] = [];
  const bare: number[] = [];
  for (let pair = 0; pair < pairs; pair++) {
    bare.push((await bareStep('Z', batch, steps, precision)).imagesPerSecond);
    const options = {
      model: 'Z',
      'data-path': data,
      'output-path': join(folder, `${batch}-${precision}-${pair}`),
      'cpu-workers': 1,
      'batch-size': batch,
      threads,
      precision,
      'max-steps': warmUp + steps,
    };
    const seconds = await secondsPerStep(options, warmUp);
    whole.push(batch / seconds);
  }
  return {
    what: `CORnet-Z, whole run from JPEG files, batch ${batch}, ${precision} / bare step`,
    ours: rate(median(whole)),
    peer: rate(median(bare)),
    ratio: ratioOfPairs(whole, bare),
  };
}

/**
 * The median time between two steps of a run by the `coordinator` command, once it is under way.
 * @param options of `coordinator start`, without their dashes
 * @param warmUp steps that do not count
 */
export async function secondsPerStep(
  options: Record<string, string | number>,
  warmUp: number,
): Promise<number> {
  const asBare = { head: imageNetClasses, ...options }; // whatever classes the generated images have
  const args = Object.entries(asBare).flatMap(([name, value]) => [`--${name}`, String(value)]);
  const program = [join('dist', 'coordinator', 'main.js'), 'start', '--json', ...args];
  const news = await allLines<RunNews>(process.execPath, program);
  const ends = news.filter(({ type }) => type === 'step').map(({ at }) => Date.parse(at));
  return median(
    ends
      .slice(1)
      .map((end, i) => (end - ends[i]!) / 1000)
      .slice(warmUp),
  );
}
