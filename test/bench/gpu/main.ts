/**
 * The parts of test/bench/gpu.sh, each in a process of its own:
 *
 *     node dist/test/bench/gpu/main.js golden|reduced|steps|large|bytes|vectors|feed [options]
 */
import { availableParallelism } from 'node:os';
import { parseArgs } from 'node:util';
import { type ModelName, modelNames } from '../../../shared/models/model.ts';
import { benchFeed } from './feed.ts';
import { benchGolden } from './golden.ts';
import { benchSameBytes } from './same-bytes.ts';
import { benchSteps } from './steps.ts';
import type { Target } from './table.ts';
import { benchVectors } from './vectors.ts';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    device: { type: 'string', default: 'cuda:0' },
    models: { type: 'string', default: 'Z,RT,S' },
    batch: { type: 'string', default: '256' },
    steps: { type: 'string', default: '30' },
    small: { type: 'string', default: '128,32,30' },
    python: { type: 'string', default: process.env.CORNET_PYTHON ?? 'python3' },
  },
});
const models = values.models
  .split(',')
  .filter((name): name is ModelName => modelNames.includes(name as ModelName));
const [size = 0, smallBatch = 0, smallSteps = 0] = values.small.split(',').map(Number);
const target: Target = {
  ...{ device: values.device, models, python: values.python },
  threads: availableParallelism(),
  batch: Number(values.batch),
  steps: Number(values.steps),
  small: { size, batch: smallBatch, steps: smallSteps },
};

const parts: Record<string, () => void | Promise<void>> = {
  golden: () => benchGolden(target, ['fp32']),
  reduced: () => benchGolden(target, target.device === 'cpu' ? ['bf16'] : ['tf32', 'bf16']),
  bytes: () => benchSameBytes(target),
  steps: () => benchSteps(target, 'all'),
  vectors: () => benchVectors(target),
  feed: () => benchFeed(target),
  large: () => benchSteps({ ...target, batch: 4 * target.batch }, 'few'),
};

const part = parts[positionals[0] ?? ''];
if (part === undefined) throw new Error(`Name one part: ${Object.keys(parts).join(', ')}.`);
await part();
process.exit();
