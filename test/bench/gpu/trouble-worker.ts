/**
 * Brings a device into trouble and says what came of it, line by line:
 *
 *     node dist/test/bench/gpu/trouble-worker.js memory|assert DEVICE THREADS PRECISION BATCH
 */
import { formulaLabels } from '../../../shared/models/closed-formula.ts';
import type { Precision } from '../../../shared/run-config.ts';
import { dtypes, loadTorchAddon } from '../../../worker/backend/torch/addon.ts';
import { formulaEngine, noiseImages } from '../bare-steps.ts';

const [what, device, threads, precision, batch] = process.argv.slice(2) as [
  string,
  string,
  string,
  Precision,
  string,
];
const few = 4;

const engine = formulaEngine({
  backend: 'torch',
  device,
  threads: Number(threads),
  model: 'S',
  precision,
  deterministic: true,
});
const shard = (count: number) => engine.computeShard(0, noiseImages(count), formulaLabels(count)).scores.loss;

say('before', () => String(shard(few)));
if (what === 'memory') {
  say('a batch that does not fit', () => String(shard(Number(batch))));
} else {
  // Behind the back of whoever checks labels on the host.
  const addon = loadTorchAddon();
  say('a label that is no class', () => {
    const full = (shape: number[], value: number, dtype: number) =>
      addon.call('aten::full', '', [shape, value, dtype, null, device]) as number;
    const logits = full([few, 10], 0, dtypes.float32);
    const loss = addon.call('aten::cross_entropy_loss', '', [logits, full([few], 5000, dtypes.int64)]);
    const values = new Float32Array(1);
    addon.download(loss as number, new Uint8Array(values.buffer));
    return String(values[0]);
  });
}
say('the next shard', () => String(shard(few)));
say('vitals', () => JSON.stringify(engine.vitals()));
console.log('the process ends by itself');
process.exit();

function say(title: string, work: () => string): void {
  try {
    console.log(`${title}: ${work()}`);
  } catch (error) {
    const { code = '-', message } = error as Error & { code?: string };
    console.log(`${title}: ${code}: ${message.replaceAll('\n', ' / ').slice(0, 900)}`);
  }
}
