/** Features of images, the whole command from files to `.npy`, beside batched and tuned PyTorch with its DataLoader. */
import { cpSync, mkdirSync, readdirSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { defaults } from '../../shared/defaults.ts';
import { buildModel } from '../../shared/models/family.ts';
import type { ModelName } from '../../shared/models/model.ts';
import type { Precision } from '../../shared/run-config.ts';
import { writeFormulaWeights } from '../helpers/formula-weights.ts';
import { pythonWith } from '../helpers/python.ts';
import {
  median,
  printedLines,
  type Row,
  rate,
  ratioOfPairs,
  threads,
  workersEnvironment,
} from './measure.ts';
import { makePhotographs } from './whole-run.ts';

const batch = 32;
/** Of each model; enough that starting up is a small part. */
const images: Record<ModelName, number> = { Z: 480, R: 192, RT: 192, S: 96 };

/** Images per second of a whole command. */
async function speedOf(
  count: number,
  program: string,
  args: readonly string[],
  env: NodeJS.ProcessEnv,
): Promise<number> {
  const start = performance.now();
  await printedLines(program, args, env);
  return count / ((performance.now() - start) / 1000);
}

export async function benchFeatures(
  models: readonly ModelName[],
  precisions: readonly Precision[],
  pairs: number,
): Promise<Row[]> {
  const python = pythonWith('torch, numpy, PIL.Image');
  if (python === null) console.log('No Python with torch and Pillow: the peer is left out.');
  const folder = await mkdtemp(join(tmpdir(), 'cornet-bench-'));
  const rows: Row[] = [];
  try {
    const most = Math.max(...Object.values(images));
    await makePhotographs(join(folder, 'made'), { train: Math.ceil(most / 2), val: 0 });
    const made = readdirSync(join(folder, 'made', 'train'), { recursive: true, encoding: 'utf8' });
    const files = made.filter((name) => name.endsWith('.JPEG'));
    for (const model of models) {
      const count = images[model];
      const source = join(folder, model);
      mkdirSync(source);
      for (const [i, name] of files.slice(0, count).entries()) {
        cpSync(join(folder, 'made', 'train', name), join(source, `${String(i).padStart(4, '0')}.jpg`));
      }
      const weights = join(folder, `${model}.safetensors`);
      writeFormulaWeights(weights, buildModel(model, defaults.times));
      const peerWeights = join(folder, `${model}.pth`);
      const peerScript = 'test/bench/features_peer.py';
      if (python !== null)
        await printedLines(python, [peerScript, 'weights', model, peerWeights], process.env);
      for (const precision of precisions) {
        const [ours, peer]: [number[], number[]] = [[], []];
        for (let pair = 0; pair < pairs; pair++) {
          const output = join(folder, `${model}-${precision}-${pair}`);
          const how = [...[batch, precision, threads].map(String)];
          if (python !== null) {
            const argv = [peerScript, model, peerWeights, source, `${output}.npy`, ...how];
            peer.push(await speedOf(count, python, argv, workersEnvironment()));
          }
          const command = [
            ...[join('dist', 'coordinator', 'main.js'), 'test', '--model', model, '--layer', 'IT'],
            ...['--data-path', source, '--weights', weights, '-o', output, '--batch-size', String(batch)],
            ...['--precision', precision, '--threads', String(threads)],
          ];
          ours.push(await speedOf(count, process.execPath, command, process.env));
        }
        rows.push({
          what: `CORnet-${model}, features of ${count} JPEG files, batch ${batch}, ${precision} / PyTorch tuned, ${precision}, DataLoader`,
          ours: rate(median(ours)),
          peer: peer.length === 0 ? '-' : rate(median(peer)),
          ratio: peer.length === 0 ? null : ratioOfPairs(ours, peer),
        });
      }
    }
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
  return rows;
}
