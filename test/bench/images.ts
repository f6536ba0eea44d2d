/** The image pipeline, from files to batches, beside Pillow used as torchvision uses it. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pythonWith } from '../helpers/python.ts';
import { lastLine, median, type Row, rate, ratioOfPairs, script, threads } from './measure.ts';
import { makePhotographs } from './whole-run.ts';

interface LoadTime {
  imagesPerSecond: number;
  /** By the CPU time of all threads: what one core gives, whatever else the machine does. */
  imagesPerCpuSecond: number;
}

const kinds = { train: 'random resized crops', val: 'validation crops' } as const;
const images = 800;

export async function benchImages(pairs: number): Promise<Row[]> {
  const python = pythonWith('PIL, numpy');
  if (python === null) console.log('No Python with Pillow ($CORNET_PYTHON, python3): the peer is left out.');
  const folder = await mkdtemp(join(tmpdir(), 'cornet-bench-'));
  const rows: Row[] = [];
  try {
    await makePhotographs(folder, { train: 100, val: 50 });
    for (const [split, kind] of Object.entries(kinds)) {
      for (const count of new Set([1, threads])) {
        const [ours, peer]: [LoadTime[], LoadTime[]] = [[], []];
        for (let pair = 0; pair < pairs; pair++) {
          const args = [folder, split, images, count].map(String);
          if (python !== null) peer.push(await lastLine(python, ['test/bench/images_peer.py', ...args]));
          ours.push(await script('load-images.js', args));
        }
        const measure = count === 1 ? 'imagesPerCpuSecond' : 'imagesPerSecond';
        const speeds = (times: LoadTime[]) => times.map((time) => time[measure]);
        rows.push({
          what: `500×375 JPEG to 224×224, ${kind}, ${count === 1 ? 'per core' : `${count} cores`} / Pillow`,
          ours: rate(median(speeds(ours))),
          peer: python === null ? '-' : rate(median(speeds(peer))),
          ratio: python === null ? null : ratioOfPairs(speeds(ours), speeds(peer)),
        });
      }
    }
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
  return rows;
}
