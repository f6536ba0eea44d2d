/**
 * The parts of test/bench/gpu.sh, each in a process of its own:
 *
 *     node dist/test/bench/gpu/main.js PART [options]
 */
import { availableParallelism } from 'node:os';
import { parseArgs } from 'node:util';
import type { Precision } from '../../../shared/run-config.ts';
import { benchBits } from './bits.ts';
import { benchFeed } from './feed.ts';
import { benchGolden } from './golden.ts';
import { benchSameBytes } from './same-bytes.ts';
import { benchHeuristics, benchSteps, lookAtSteps } from './steps.ts';
import { onGpu, type Target } from './table.ts';
import { benchTrouble } from './trouble.ts';
import { benchBetween, benchTransfers } from './vectors.ts';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    device: { type: 'string', default: 'cuda:0' },
    batch: { type: 'string', default: '256' },
    steps: { type: 'string', default: '30' },
    precision: { type: 'string', default: 'bf16' },
    small: { type: 'string', default: '128,32,40' },
    python: { type: 'string', default: process.env.CORNET_PYTHON ?? 'python3' },
  },
});
const [size = 0, smallBatch = 0, smallSteps = 0] = values.small.split(',').map(Number);
const target: Target = {
  device: values.device,
  python: values.python,
  threads: availableParallelism(),
  precision: values.precision as Precision,
  batch: Number(values.batch),
  steps: Number(values.steps),
  small: { size, batch: smallBatch, steps: smallSteps },
};

const parts: Record<string, () => void | Promise<void>> = {
  'golden-s': () => benchGolden(target, ['cornet_s'], ['fp32']),
  'golden-rt': () => benchGolden(target, ['cornet_rt'], ['fp32']),
  'golden-others': () => benchGolden(target, ['cornet_z', 'cornet_r', 'cornet_rt_times3'], ['fp32']),
  reduced: () =>
    benchGolden(target, ['cornet_s', 'cornet_rt', 'cornet_z'], onGpu(target) ? ['tf32', 'bf16'] : ['fp32']),
  'look-s': () => lookAtSteps(target, 'S'),
  'look-rt': () => lookAtSteps(target, 'RT'),
  'look-z': () => lookAtSteps(target, 'Z'),
  trouble: () => benchTrouble(target),
  transfers: () => benchTransfers(target),
  bytes: () => benchSameBytes(target),
  'steps-s': () => benchSteps(target, 'S'),
  'steps-rt': () => benchSteps(target, 'RT'),
  'steps-r': () => benchSteps(target, 'R'),
  'steps-z': () => benchSteps(target, 'Z'),
  heuristics: () => benchHeuristics(target),
  feed: () => benchFeed(target, ['S', 'RT']),
  bits: () => benchBits(target),
  between: () => benchBetween(),
};

const part = parts[positionals[0] ?? ''];
if (part === undefined) throw new Error(`Name one part: ${Object.keys(parts).join(', ')}.`);
await part();
process.exit();
