/** What an exchange of a CORnet-S vector takes: between the device and memory, and between two processes. */
import { defaults } from '../../../shared/defaults.ts';
import { formulaImages, formulaLabels } from '../../../shared/models/closed-formula.ts';
import { buildModel } from '../../../shared/models/family.ts';
import { stateLayout } from '../../../shared/state-layout.ts';
import { Engine } from '../../../worker/engine/engine.ts';
import { benchExchange } from '../exchange.ts';
import { median } from '../measure.ts';
import { fixed, Table, type Target } from './table.ts';

const rounds = 7;
const lane = 0;

export async function benchVectors({ device, threads }: Target): Promise<void> {
  const { imageSize, momentum, weightDecay } = defaults;
  const engine = new Engine({
    ...{ backend: 'torch', device, threads, model: 'S', times: 1, precision: 'fp32', deterministic: true },
    ...{ imageSize, momentum, weightDecay },
  });
  engine.load(new Uint8Array(stateLayout(buildModel('S', 1)).bytes), 0);
  engine.computeShard(lane, formulaImages(2, imageSize), formulaLabels(2));
  const whole = { begin: 0, end: engine.vectorLength };
  const half = { begin: 0, end: Math.floor(engine.vectorLength / 2) };
  const bytes = engine.vectorBytes(lane);
  const theirs = bytes.subarray(0, 4 * half.end);
  const both = (part: Uint8Array | null) => [
    { lane, weight: 0.5, bytes: null },
    { lane: 1, weight: 0.5, bytes: part },
  ];
  const parts: [string, () => void][] = [
    ['the vector from the device to memory', () => engine.vectorBytes(lane)],
    [
      'half of another vector to the device, and both summed',
      () => engine.reduce(half.begin, half.end, both(theirs)),
    ],
    ['the sum from the device to memory', () => engine.sliceBytes(half.begin, half.end)],
    ['a sum of own vectors', () => engine.reduce(whole.begin, whole.end, [{ lane, weight: 1, bytes: null }])],
  ];
  const megabytes = fixed(bytes.length / 1e6);
  const table = new Table(`A CORnet-S vector (${megabytes} MB) of a worker on ${device}`, ['what', 'ms']);
  for (const [what, work] of parts) {
    const times = Array.from({ length: rounds }, () => {
      const begun = performance.now();
      work();
      return performance.now() - begun;
    });
    table.row([what, fixed(median(times), 1)]);
  }
  const between = new Table('Exchange between two worker processes', ['what', 'took', 'a memory copy']);
  for (const { what, ours, peer } of await benchExchange([2])) between.row([what, ours, peer]);
}
