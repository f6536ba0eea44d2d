/** Bare training steps on a card: ours in each arithmetic, beside PyTorch as the original trains and as fast as it goes. */
import { bench, fixed, lastJson, Table, type Target, workersEnvironment } from './table.ts';

interface StepTime {
  imagesPerSecond: number;
  secondsPerStep: number;
  peakMegabytes: number;
}

/** Seconds that one measurement may take: a compilation among them. */
const limit = 150;

type Variant = { readonly what: string } & (
  | { readonly peer: 'eager' | 'tuned' }
  | { readonly precision: string; readonly kernels: 'deterministic' | 'free' }
);

const ours = (precision: string, kernels: 'deterministic' | 'free'): Variant => ({
  what: `cornet-ts ${precision}, ${kernels === 'free' ? '--no-deterministic' : 'deterministic'}`,
  ...{ precision, kernels },
});

const eager: Variant = { what: 'PyTorch eager, as the original trains', peer: 'eager' };
const tuned: Variant = { what: 'PyTorch tuned (compiled, bf16, channels-last)', peer: 'tuned' };

const all = [
  eager,
  tuned,
  ours('bf16', 'deterministic'),
  ours('bf16', 'free'),
  ours('fp32', 'deterministic'),
  ours('fp32', 'free'),
  ours('tf32', 'deterministic'),
  ours('tf32', 'free'),
];
const few = [eager, tuned, ours('bf16', 'deterministic'), ours('bf16', 'free')];

/** @param which `few`: bf16 and the peers alone */
export async function benchSteps(target: Target, which: 'all' | 'few'): Promise<void> {
  const table = new Table(`Bare steps on ${target.device}, ${target.steps} measured`, [
    ...['model', 'batch', 'what', 'images/s', 'ms per step', 'memory of the card, MB'],
    ...['/ eager', '/ tuned'],
  ]);
  for (const model of target.models) {
    const speeds = new Map<string, number>();
    for (const variant of which === 'all' ? all : few) {
      if ('precision' in variant && variant.precision === 'tf32' && target.device === 'cpu') continue;
      const { batch, time } = await fittingTime(target, model, variant);
      if ('failed' in time) {
        table.row([`CORnet-${model}`, String(batch), variant.what, time.failed, '-', '-', '-', '-']);
        continue;
      }
      const speed = time.imagesPerSecond;
      if (batch === target.batch && 'peer' in variant) speeds.set(variant.peer, speed);
      const against = (peer: string) => {
        const other = speeds.get(peer);
        return other === undefined ? '-' : fixed(speed / other, 2);
      };
      table.row([
        ...[`CORnet-${model}`, String(batch), variant.what, fixed(speed, 1)],
        ...[fixed(1000 * time.secondsPerStep, 2), fixed(time.peakMegabytes)],
        ...[against('eager'), against('tuned')],
      ]);
    }
  }
}

/** Halves the batch until it fits. */
async function fittingTime(
  target: Target,
  model: string,
  variant: Variant,
): Promise<{ batch: number; time: StepTime | { failed: string } }> {
  for (let { batch } = target; ; batch = Math.floor(batch / 2)) {
    const time = await timeOf(target, model, batch, variant);
    if (!('failed' in time && /memory/i.test(time.failed) && batch > 1)) return { batch, time };
  }
}

function timeOf(
  { device, steps, threads, python }: Target,
  model: string,
  batch: number,
  variant: Variant,
): Promise<StepTime | { failed: string }> {
  if ('peer' in variant) {
    const args = ['test/bench/gpu/peer.py', variant.peer, model, String(batch), String(steps), device];
    return lastJson(python, args, limit);
  }
  const numbers = [batch, steps].map(String);
  const args = [
    bench('bare-step.js'),
    model,
    ...numbers,
    variant.precision,
    String(threads),
    'torch',
    device,
  ];
  return lastJson(process.execPath, [...args, variant.kernels], limit, workersEnvironment(threads));
}
