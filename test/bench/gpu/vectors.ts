/** What an exchange of a CORnet-S vector takes: between the device and memory, and between two processes. */
import { formulaLabels } from '../../../shared/models/closed-formula.ts';
import { formulaEngine, noiseImages } from '../bare-steps.ts';
import { benchExchange } from '../exchange.ts';
import { median } from '../measure.ts';
import { eachLine, fixed, onGpu, Table, type Target } from './table.ts';

const rounds = 7;
const lane = 0;
const limit = 40;

/** The bus, and the engine's ways over it. */
export async function benchTransfers({ device, threads, python }: Target): Promise<void> {
  const engine = formulaEngine({
    backend: 'torch',
    device,
    threads,
    model: 'S',
    precision: 'fp32',
    deterministic: true,
  });
  engine.computeShard(lane, noiseImages(2), formulaLabels(2));
  const whole = { begin: 0, end: engine.vectorLength };
  const half = { begin: 0, end: Math.floor(engine.vectorLength / 2) };
  const bytes = engine.vectorBytes(lane);
  const theirs = bytes.subarray(0, 4 * half.end);
  const both = (part: Uint8Array | null) => [
    { lane, weight: 0.5, bytes: null },
    { lane: 1, weight: 0.5, bytes: part },
  ];
  const parts: [string, number, () => void][] = [
    ['the vector to memory', bytes.length, () => engine.vectorBytes(lane)],
    [
      'half of another vector to the device, and both summed',
      bytes.length / 2,
      () => engine.reduce(half.begin, half.end, both(theirs)),
    ],
    ['half of the sum to memory', bytes.length / 2, () => engine.sliceBytes(half.begin, half.end)],
    [
      'a sum of own vectors, nothing moved',
      0,
      () => engine.reduce(whole.begin, whole.end, [{ lane, weight: 1, bytes: null }]),
    ],
    ['a snapshot to memory', 2 * bytes.length, () => engine.snapshot()],
  ];
  const megabytes = fixed(bytes.length / 1e6);
  const table = new Table(`A CORnet-S vector (${megabytes} MB) on ${device}`, ['what', 'took', 'rate']);
  for (const [what, moved, work] of parts) {
    const times = Array.from({ length: rounds }, () => {
      const begun = performance.now();
      work();
      return performance.now() - begun;
    });
    const took = median(times);
    table.row([what, `${fixed(took, 1)} ms`, moved === 0 ? '-' : `${fixed(moved / took / 1e6, 1)} GB/s`]);
  }
  if (!onGpu({ device })) return;
  await eachLine(python, ['test/bench/gpu/bandwidth.py', device], limit, console.log);
}

export async function benchBetween(): Promise<void> {
  const table = new Table('Exchange between two worker processes', ['what', 'took', 'a memory copy']);
  for (const { what, ours, peer } of await benchExchange([2])) table.row([what, ours, peer]);
}
