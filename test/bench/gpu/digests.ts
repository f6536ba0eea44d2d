/**
 * One number for the bits of many shards, each staged while the one before is computed:
 *
 *     node dist/test/bench/gpu/digests.js MODEL DEVICE THREADS PRECISION BATCH SHARDS LEFT
 *
 * LEFT: so many GiB of the GPU stay free beside a block that takes the others; 0: no such block.
 */
import { createHash } from 'node:crypto';
import { formulaLabels } from '../../../shared/models/closed-formula.ts';
import type { ModelName } from '../../../shared/models/model.ts';
import type { Precision } from '../../../shared/run-config.ts';
import { dtypes, loadTorchAddon } from '../../../worker/backend/torch/addon.ts';
import { formulaEngine, noiseImages } from '../bare-steps.ts';

const [model, device, threads, precision, batch, shards, left] = process.argv.slice(2) as [
  ModelName,
  string,
  string,
  Precision,
  string,
  string,
  string,
];
const [count, total] = [Number(batch), Number(shards)];
const engine = formulaEngine({
  backend: 'torch',
  device,
  threads: Number(threads),
  model,
  precision,
  deterministic: true,
});
if (Number(left) > 0) fill();
const images = noiseImages(2 * count);
const half = images.length / 2;
const labels = formulaLabels(count);
const hash = createHash('sha256');
const pixels = (shard: number) => images.subarray((shard % 7) * 1000, (shard % 7) * 1000 + half);
engine.stage('0', pixels(0));
for (let shard = 0; shard < total; shard++) {
  engine.computeShard(0, String(shard), labels);
  engine.stage(String(shard + 1), pixels(shard + 1));
  hash.update(engine.vectorBytes(0));
}
console.log(JSON.stringify({ digest: hash.digest('hex').slice(0, 16) }));
process.exit();

function fill(): void {
  const { deviceUsed, deviceTotal } = engine.vitals();
  if (deviceUsed === null || deviceTotal === null) return;
  const block = Math.floor(deviceTotal - deviceUsed - Number(left) * 2 ** 30);
  loadTorchAddon().call('aten::empty', 'memory_format', [[block], dtypes.uint8, null, device]);
}
