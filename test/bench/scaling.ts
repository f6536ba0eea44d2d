/** `npm run bench -- scaling`: what the protocol costs with up to a thousand workers, as a table and as docs/scaling.svg. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { packageRoot } from '../../shared/package-root.ts';
import { type Simulated, simulate } from './simulated-run.ts';

const sizes = [
  { workers: 8, warmUp: 50, steps: 300 },
  { workers: 64, warmUp: 20, steps: 60 },
  { workers: 256, warmUp: 5, steps: 15 },
  { workers: 1024, warmUp: 2, steps: 4 },
];

/** Bytes per second that Redis is taken to send: 10 Gbit/s. */
const bandwidth = 10e9 / 8;

export function benchScaling(): void {
  const rows = sizes.map(({ workers, ...length }) => simulate(workers, length));
  const cells = rows.map((row) => [
    String(row.workers),
    milliseconds(row.coordinator),
    milliseconds(row.worker),
    String(Math.round(row.messages + row.jobs)),
    bytes(row.written),
    bytes(row.read),
    milliseconds((1000 * row.read) / bandwidth),
    String(row.reads),
  ]);
  const head = [
    'workers',
    "coordinator's CPU",
    "one worker's CPU",
    'messages and jobs',
    'written to Redis',
    'read from Redis',
    'the same at 10 Gbit/s',
    'parts that one worker reads',
  ];
  console.log(`| ${head.join(' | ')} |\n|${head.map(() => '---|').join('')}`);
  for (const row of cells) console.log(`| ${row.join(' | ')} |`);
  writeFileSync(join(packageRoot, 'docs', 'scaling.svg'), draw(rows));
}

function milliseconds(value: number): string {
  return `${value.toFixed(value < 10 ? 2 : 0)} ms`;
}

function bytes(value: number): string {
  return value < 1e6 ? `${Math.round(value / 1e3)} kB` : `${(value / 1e6).toFixed(value < 1e7 ? 1 : 0)} MB`;
}

const frame = { width: 720, height: 400, left: 70, right: 230, top: 30, bottom: 50 };
/** Powers of ten of the time axis, in milliseconds. */
const decades = { from: -2, to: 3 };

/** Milliseconds per step against workers, both on logarithmic axes. */
function draw(rows: readonly Simulated[]): string {
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
    { name: "coordinator's CPU", color: '#1f6feb', of: (row: Simulated) => row.coordinator },
    { name: "one worker's CPU", color: '#1a7f37', of: (row: Simulated) => row.worker },
    {
      name: 'Redis sending messages, 10 Gbit/s',
      color: '#bc4c00',
      of: (row: Simulated) => (1000 * row.read) / bandwidth,
    },
  ];
  const grid = Array.from({ length: decades.to - decades.from + 1 }, (_, i) => 10 ** (decades.from + i));
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${frame.width} ${frame.height}" font-family="sans-serif" font-size="12">`,
    `<title>Milliseconds per step that the protocol takes, against the number of workers</title>`,
    `<rect width="${frame.width}" height="${frame.height}" fill="white"/>`,
    ...grid.flatMap((value) => [
      `<path d="M${frame.left} ${y(value).toFixed(1)}h${plot.width}" stroke="#ddd"/>`,
      `<text x="${frame.left - 8}" y="${(y(value) + 4).toFixed(1)}" text-anchor="end">${value} ms</text>`,
    ]),
    ...rows.map(
      ({ workers }) =>
        `<text x="${x(workers).toFixed(1)}" y="${frame.height - frame.bottom + 20}" text-anchor="middle">${workers}</text>`,
    ),
    `<text x="${frame.left + plot.width / 2}" y="${frame.height - 10}" text-anchor="middle">workers</text>`,
    ...curves.flatMap(({ name, color, of }) => {
      const points = rows.map((row) => `${x(row.workers).toFixed(1)},${y(of(row)).toFixed(1)}`);
      const end = y(of(rows.at(-1)!)) + 4;
      return [
        `<polyline points="${points.join(' ')}" fill="none" stroke="${color}" stroke-width="2"/>`,
        `<text x="${frame.width - frame.right + 10}" y="${end.toFixed(1)}" fill="${color}">${name}</text>`,
      ];
    }),
    '</svg>\n',
  ].join('\n');
}
