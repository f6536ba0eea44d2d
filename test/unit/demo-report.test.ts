import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { makeDemoDataset } from '../../coordinator/demo/make-dataset.ts';
import { writeDemoReport } from '../../coordinator/demo/report.ts';
import { linesOf, writeRunFolder } from '../helpers/report-runs.ts';
import { temporaryFolder } from '../helpers/temporary.ts';

test('the report of the demo has the curves, their last values, and images of each class', async (t) => {
  const root = temporaryFolder(t);
  const [images, path] = [join(root, 'images'), join(root, 'report.svg')];
  await makeDemoDataset(images, { seed: 1, trainPerClass: 1, valPerClass: 2 });
  await writeDemoReport(path, writeRunFolder(join(root, 'run')), images);
  const svg = readFileSync(path, 'utf8');
  t.regex(svg, /CORnet-Z learns ten textures/);
  t.true(svg.includes(`>${(100 * linesOf(3).at(-1)!['val/top1']!).toFixed(1)} %<`));
  t.is(svg.match(/<image /g)?.length, 20);
  t.regex(svg, />zigzags</);
  const [, width, height] = /viewBox="0 0 (\d+) (\d+)"/.exec(svg)!.map(Number) as [number, number, number];
  const [, offset] = /translate\(0 (\d+)\)/.exec(svg)!.map(Number) as [number, number];
  for (const [, x, y, w, h] of svg.matchAll(/<image x="(\d+)" y="(\d+)" width="(\d+)" height="(\d+)"/g)) {
    t.true(
      Number(x) + Number(w) <= width && offset + Number(y) + Number(h) <= height,
      'all of it is visible',
    );
  }
});
