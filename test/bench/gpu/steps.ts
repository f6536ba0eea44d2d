/** Bare training steps of one model: ours in each arithmetic, beside PyTorch as the original trains and tuned. */
import type { ModelName } from '../../../shared/models/model.ts';
import { eachLine, eachLineOfScript, fixed, onGpu, parsed, Table, type Target } from './table.ts';
import { parseVariant, type Variant, writeVariant } from './variants.ts';

interface Time {
  secondsPerStep: number;
  imagesPerSecond: number;
  queuedSeconds?: number;
  megabytes: number;
}
type Answer = Time | { failed: string };

/** Seconds that all variants of one side may take. */
const limit = 100;

/**
 * What a visit that is cut off must have comes first: runs as they are by default, then the peers, then the rest.
 * Precision, memory format, kernels, images (`B`: the batch at hand).
 */
const byDefault = ['bf16:default:deterministic:B', 'bf16:default:free:B'];
const small = ['bf16:default:deterministic:64', 'bf16:default:deterministic:16'];

const rest: Readonly<Record<ModelName, readonly string[]>> = {
  S: [
    ...[...small, 'tf32:channels-last:deterministic:B', 'bf16:contiguous:deterministic:B'],
    ...['fp32:channels-last:deterministic:B', 'fp32:contiguous:deterministic:B'],
  ],
  RT: [
    ...[...small, 'bf16:contiguous:deterministic:B', 'bf16:channels-last:deterministic:B'],
    ...['fp32:contiguous:deterministic:B', 'fp32:channels-last:deterministic:B'],
  ],
  R: ['bf16:contiguous:deterministic:B'],
  Z: [
    ...[...small, 'bf16:contiguous:deterministic:B'],
    ...['fp32:channels-last:deterministic:B', 'fp32:contiguous:deterministic:B'],
  ],
};

const peers: Readonly<Record<ModelName, readonly string[]>> = {
  S: ['eager:B', 'channels-last:B', 'compiled:B'],
  RT: ['eager:B', 'channels-last:B', 'contiguous:B', 'compiled:B'],
  R: ['eager:B'],
  Z: ['eager:B', 'channels-last:B', 'compiled:B', 'channels-last:32', 'graphs:32'],
};

/** A first look: what a step takes with and without determinism, and in which memory format. */
const firstLook = {
  S: [
    'bf16:channels-last:deterministic:B',
    'bf16:channels-last:free:B',
    'fp32:channels-last:deterministic:B',
  ],
  RT: ['bf16:channels-last:deterministic:B', 'bf16:contiguous:deterministic:B', 'bf16:contiguous:free:B'],
  Z: ['bf16:channels-last:deterministic:B', 'bf16:channels-last:free:B'],
};

export async function benchSteps(target: Target, model: ModelName): Promise<void> {
  await measure(target, model, byDefault, peers[model]);
  await measure({ ...target, steps: Math.ceil(target.steps / 3) }, model, rest[model], []);
}

export function lookAtSteps(target: Target, model: keyof typeof firstLook): Promise<void> {
  return measure({ ...target, steps: Math.ceil(target.steps / 3) }, model, firstLook[model], []);
}

/** Whether cuDNN chooses better kernels by its other heuristics, which cost more time and are as repeatable. */
export async function benchHeuristics(target: Target): Promise<void> {
  const variables = { TORCH_CUDNN_USE_HEURISTIC_MODE_B: '1' };
  for (const model of ['S', 'RT', 'Z'] as const) {
    await measure(target, model, ['bf16:default:deterministic:B'], [], variables);
  }
}

async function measure(
  target: Target,
  model: ModelName,
  ownTexts: readonly string[],
  peerTexts: readonly string[],
  variables: NodeJS.ProcessEnv = {},
): Promise<void> {
  const { device, threads, steps, batch, python, precision } = target;
  const set = Object.entries(variables).map(([name, value]) => `, ${name}=${value}`);
  const table = new Table(`Bare steps of CORnet-${model} on ${device}, ${steps} measured${set.join('')}`, [
    ...['what', 'batch', 'images/s', 'ms per step', 'ms to queue it', 'memory, MB'],
  ]);
  const show = (what: string, images: number, time: Answer) => {
    if ('failed' in time) return table.row([what, String(images), time.failed, '-', '-', '-']);
    const { imagesPerSecond, secondsPerStep, queuedSeconds, megabytes } = time;
    const queued = queuedSeconds === undefined ? '-' : fixed(1000 * queuedSeconds, 2);
    table.row([
      ...[what, String(images), fixed(imagesPerSecond, 1), fixed(1000 * secondsPerStep, 2)],
      ...[queued, fixed(megabytes)],
    ]);
  };
  const sized = (text: string) => `${text.replace(/^bf16/, precision).replace(/B$/, String(batch))}:${steps}`;
  const variants = ownTexts.map((text) => parseVariant(sized(text)));
  if (!onGpu(target)) variants.splice(2); // a rehearsal: the first two of them take long enough
  let shown = 0;
  const failed = await eachLineOfScript(
    'gpu/own-steps.js',
    [model, device, threads, ...variants.map(writeVariant)],
    { threads, limit, variables },
    parsed((answer: Answer) => {
      const variant = variants[shown++]!;
      show(described(variant), variant.batch, answer);
    }),
  );
  if (peerTexts.length > 0) {
    await eachLine(
      python,
      ['test/bench/gpu/peer.py', model, device, ...peerTexts.map(sized)],
      limit,
      parsed(({ variant, batch, ...answer }: { variant: string; batch: number } & Answer) =>
        show(`PyTorch, ${variant}`, batch, answer),
      ),
    );
  }
  if (failed !== null) throw new Error(`own steps: ${failed}`);
}

function described({ precision, format, kernels }: Variant): string {
  const free = kernels === 'free' ? ', --no-deterministic' : '';
  return `cornet-ts, ${precision}${format === 'default' ? '' : `, ${format}`}${free}`;
}
