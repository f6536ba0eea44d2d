/** `npm run bench -- scaling`: what the protocol costs with up to a thousand workers, as a table and as docs/scaling.svg. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { blobChunk } from '../../shared/defaults.ts';
import { packageRoot } from '../../shared/process/package-root.ts';
import { sliceRange } from '../../shared/wire/protocol.ts';
import { type Simulated, simulate, vectorLength } from './simulated-run.ts';

const sizes = [
  { workers: 8, warmUp: 50, steps: 300 },
  { workers: 64, warmUp: 20, steps: 60 },
  { workers: 256, warmUp: 5, steps: 15 },
  { workers: 1024, warmUp: 2, steps: 4 },
];

/** Bytes per second that Redis is taken to send: 10 Gbit/s. */
const bandwidth = 10e9 / 8;

interface Row extends Simulated {
  vectors: Traffic;
}

export function benchScaling(): void {
  const rows = sizes.map(({ workers, ...length }) => ({
    ...simulate(workers, length),
    vectors: vectorTraffic(workers),
  }));
  print(
    [
      ...['workers', "coordinator's CPU", "one worker's CPU", 'Redis sends the messages', 'total'],
      ...['messages and jobs', "coordinator's CPU for heartbeats, per second"],
    ],
    rows.map((row) => [
      String(row.workers),
      ...[row.coordinator, row.worker, sending(row.read), overhead(row)].map(milliseconds),
      ...[String(Math.round(row.messages + row.jobs)), milliseconds(row.heartbeats)],
    ]),
  );
  print(
    [
      'workers',
      'messages: written',
      'read',
      'vectors: written',
      'read',
      'of which discarded',
      'parts read by one worker',
    ],
    rows.map((row) => [
      String(row.workers),
      ...[row.written, row.read, row.vectors.written, row.vectors.read].map(bytes),
      `${Math.round(100 * (1 - row.vectors.wanted / row.vectors.read))} %`,
      String(row.reads),
    ]),
  );
  writeFileSync(join(packageRoot, 'docs', 'scaling.svg'), draw(rows));
}

/** Milliseconds in which Redis sends so many bytes. */
function sending(bytes: number): number {
  return (1000 * bytes) / bandwidth;
}

/** What the protocol adds to a step at least: one after the other, the coordinator, the network and a worker. */
function overhead({ coordinator, worker, read }: Row): number {
  return coordinator + worker + sending(read);
}

/** Bytes of CORnet-S' vectors and slices that go through Redis per step, one lane for each worker. */
interface Traffic {
  written: number;
  /** `RedisBlobs` reads whole chunks, and their checksums; `wanted` is what a range has. */
  read: number;
  wanted: number;
}

function vectorTraffic(workers: number): Traffic {
  const vector = 4 * vectorLength;
  const indexOf = (length: number) => 4 * Math.ceil(length / blobChunk);
  let [written, read, wanted] = [workers * (vector + indexOf(vector)), 0, 0];
  for (let slice = 0; slice < workers; slice++) {
    const range = sliceRange(slice, workers, vectorLength);
    const [begin, end] = [4 * range.begin, 4 * range.end];
    const first = blobChunk * Math.floor(begin / blobChunk);
    const behind = Math.min(vector, blobChunk * Math.ceil(end / blobChunk));
    written += end - begin + indexOf(end - begin);
    // Its part of every other lane's vector; then the slice is read by all the others.
    read += (workers - 1) * (behind - first + indexOf(vector));
    read += (workers - 1) * (end - begin + indexOf(end - begin));
    wanted += 2 * (workers - 1) * (end - begin);
  }
  return { written, read, wanted };
}

function print(head: string[], rows: string[][]): void {
  console.log(`\n| ${head.join(' | ')} |\n|${head.map(() => '---|').join('')}`);
  for (const cells of rows) console.log(`| ${cells.join(' | ')} |`);
}

function milliseconds(value: number): string {
  return `${value.toFixed(value < 10 ? 2 : 0)} ms`;
}

function bytes(value: number): string {
  const [unit, size] = (
    [
      ['kB', 1e3],
      ['MB', 1e6],
      ['GB', 1e9],
      ['TB', 1e12],
    ] as const
  ).findLast(([, size]) => value >= size)!;
  return `${(value / size).toFixed(value < 10 * size ? 1 : 0)} ${unit}`;
}

const frame = { width: 760, height: 440, left: 70, right: 240, top: 20, bottom: 50 };
/** Powers of ten of the time axis, in milliseconds. */
const decades = { from: -2, to: 7 };

/** Milliseconds per step against workers, both on logarithmic axes. */
function draw(rows: readonly Row[]): string {
  const last = Math.log2(rows.at(-1)!.workers);
  const first = Math.log2(rows[0]!.workers);
  const plot = {
    width: frame.width - frame.left - frame.right,
    height: frame.height - frame.top - frame.bottom,
  };
  const x = (workers: number) => frame.left + (plot.width * (Math.log2(workers) - first)) / (last - first);
  const y = (value: number) =>
    frame.top + (plot.height * (decades.to - Math.log10(value))) / (decades.to - decades.from);
  const curves = [
    { name: 'together: overhead of a step', color: '#24292f', of: overhead },
    { name: "coordinator's CPU", color: '#1f6feb', of: (row: Row) => row.coordinator },
    { name: "one worker's CPU", color: '#1a7f37', of: (row: Row) => row.worker },
    {
      name: 'Redis sends the messages',
      color: '#bc4c00',
      of: (row: Row) => sending(row.read),
    },
    {
      name: 'Redis sends the vectors',
      color: '#8250df',
      of: (row: Row) => sending(row.vectors.read),
    },
  ];
  const labels = spread(curves.map(({ of }) => y(of(rows.at(-1)!)) + 4));
  const grid = Array.from({ length: decades.to - decades.from + 1 }, (_, i) => 10 ** (decades.from + i));
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${frame.width} ${frame.height}" font-family="sans-serif" font-size="12">`,
    `<title>Milliseconds per step that the protocol takes, against the number of workers</title>`,
    `<rect width="${frame.width}" height="${frame.height}" fill="white"/>`,
    ...grid.flatMap((value) => [
      `<path d="M${frame.left} ${y(value).toFixed(1)}h${plot.width}" stroke="#ddd"/>`,
      `<text x="${frame.left - 8}" y="${(y(value) + 4).toFixed(1)}" text-anchor="end">${value < 1000 ? `${value} ms` : `${value / 1000} s`}</text>`,
    ]),
    ...rows.map(
      ({ workers }) =>
        `<text x="${x(workers).toFixed(1)}" y="${frame.height - frame.bottom + 20}" text-anchor="middle">${workers}</text>`,
    ),
    `<text x="${frame.left + plot.width / 2}" y="${frame.height - 10}" text-anchor="middle">workers</text>`,
    ...curves.flatMap(({ name, color, of }, i) => {
      const points = rows.map((row) => `${x(row.workers).toFixed(1)},${y(of(row)).toFixed(1)}`);
      return [
        `<polyline points="${points.join(' ')}" fill="none" stroke="${color}" stroke-width="2"/>`,
        `<text x="${frame.width - frame.right + 10}" y="${labels[i]!.toFixed(1)}" fill="${color}">${name}</text>`,
      ];
    }),
    '</svg>\n',
  ].join('\n');
}

/** Moves the lines of text down that would lie on another. */
function spread(heights: readonly number[]): number[] {
  const spread = [...heights];
  let free = 0;
  for (const i of [...heights.keys()].sort((a, b) => heights[a]! - heights[b]!)) {
    spread[i] = Math.max(heights[i]!, free);
    free = spread[i]! + 16;
  }
  return spread;
}
