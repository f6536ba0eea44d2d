/**
 * Makes the run that is kept of a release, with the code that this is compiled with: `keep-run.js FOLDER`, where FOLDER
 * is `test/fixtures/runs/<version>`. For a release without this file it is compiled in a checkout of that release.
 */
import { execFileSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { makeDemoDataset } from '../coordinator/demo/make-dataset.ts';
import { initialSnapshot } from '../coordinator/weights/initial-weights.ts';
import { encodeHeader, type TensorEntry } from '../shared/formats/safetensors.ts';
import { stateLayout } from '../shared/formats/state-layout.ts';
import { buildModel } from '../shared/models/family.ts';

/** The first channels of each layer alone have weights: those of the others stay zero, and can be packed. */
const channels = 4;

const [target] = process.argv.slice(2);
const folder = mkdtempSync(join(tmpdir(), 'cornet-test-'));
const images = join(folder, 'images');
await makeDemoDataset(images, { seed: 3, trainPerClass: 6, valPerClass: 2 }); // as tinyImages
const weights = join(folder, 'thin.safetensors');
writeThinWeights(weights);
const run = join(folder, 'run');
const shape = ['--model', 'Z', '--image-size', '32', '--batch-size', '8', '--lanes', '2', '--threads', '1'];
const length = ['--epochs', '1', '--max-steps', '4', '--cpu-workers', '1'];
execFileSync(
  process.execPath,
  [
    'dist/coordinator/main.js',
    'start',
    ...shape,
    ...length,
    '--weights',
    weights,
    '--data-path',
    images,
    '-o',
    run,
  ],
  { stdio: 'inherit' },
);
rmSync(join(run, 'log.jsonl'));
mkdirSync(target!, { recursive: true });
cpSync(run, target!, { recursive: true });
for (const name of readdirSync(join(target!, 'checkpoints'))) {
  if (!name.endsWith('.safetensors')) continue;
  const path = join(target!, 'checkpoints', name);
  writeFileSync(`${path}.gz`, gzipSync(readFileSync(path), { level: 9 }));
  rmSync(path);
}
rmSync(folder, { recursive: true });

function writeThinWeights(path: string): void {
  const model = buildModel('Z', 1);
  const all = initialSnapshot(model, 0);
  const entries: TensorEntry[] = [];
  const parts: Buffer[] = [];
  let end = 0;
  for (const { name, dtype, shape, offset, bytes } of stateLayout(model).slots) {
    if (name.startsWith('optimizer.') || dtype !== 'F32') continue;
    const values = new Float32Array(all.buffer.slice(offset, offset + bytes));
    const [outputs, inputs = 1, ...kernel] = shape as [number, ...number[]];
    const area = kernel.reduce((product, side) => product * side, 1);
    const classes = name.startsWith('decoder.');
    for (let i = 0; i < values.length; i++) {
      const [output, input] = [Math.floor(i / area / inputs), Math.floor(i / area) % inputs];
      if ((output >= channels && !classes) || (shape.length > 1 && input >= channels)) values[i] = 0;
    }
    if (outputs * inputs * area !== values.length) throw new Error(`${name} has another shape`);
    entries.push({ name, dtype, shape, offset: end, bytes });
    parts.push(Buffer.from(values.buffer));
    end += bytes;
  }
  writeFileSync(path, Buffer.concat([encodeHeader(entries, {}), ...parts]));
}
