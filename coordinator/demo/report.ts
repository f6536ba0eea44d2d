/** The demo on one image: how the loss fell and the accuracy rose, and what the classes look like. */
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

const width = 960;
const plot = { left: 56, top: 64, width: 400, height: 300 };
const tile = { left: 520, top: 64, size: 76, gap: 8 };
const shownPerClass = 2;
const classesPerColumn = 5;

interface Point {
  x: number;
  y: number;
}

/** Writes an SVG file that needs nothing else; light and dark by the reader's preference. */
export async function writeDemoReport(path: string, metricsPath: string, images: string): Promise<void> {
  const records = (await readFile(metricsPath, 'utf8'))
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as Record<string, number>);
  const series = (name: string): Point[] =>
    records.filter((record) => name in record).map((record) => ({ x: record.epoch!, y: record[name]! }));
  const loss = smooth(series('train/loss'));
  const last = Math.max(...records.map((record) => record.epoch!));
  const highest = Math.max(...loss.map(({ y }) => y));
  const svg = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} 440" font-family="system-ui, sans-serif" font-size="13">
<title>Training loss and validation accuracy of the demo, beside some of its images</title>
<style>
  svg { background: #fff; color: #1a1a1a } .axis { stroke: #999 } .loss { stroke: #c2410c } .top1 { stroke: #1d4ed8 }
  @media (prefers-color-scheme: dark) { svg { background: #111; color: #eee } .axis { stroke: #666 } .loss { stroke: #fb923c } .top1 { stroke: #60a5fa } }
  path { fill: none; stroke-width: 2 } text { fill: currentColor } .title { font-size: 18px; font-weight: 600 }
</style>
<text class="title" x="${plot.left}" y="36">CORnet-Z learns ten textures</text>
<path class="axis" d="M${plot.left} ${plot.top}V${plot.top + plot.height}H${plot.left + plot.width}"/>
<path class="loss" d="${curve(loss, last, highest)}"/>
<path class="top1" d="${curve(series('val/top1'), last, 1)}"/>
${dots(series('val/top1'), last, 1)}
<text x="${plot.left}" y="${plot.top + plot.height + 20}">0</text>
<text x="${plot.left + plot.width}" y="${plot.top + plot.height + 20}" text-anchor="end">${last.toFixed(0)} epochs</text>
<text x="${plot.left - 8}" y="${plot.top + 5}" text-anchor="end">${highest.toFixed(1)}</text>
<text x="${plot.left + 16}" y="${plot.top + plot.height + 48}"><tspan fill="#c2410c">━</tspan> training loss   <tspan fill="#1d4ed8">━</tspan> validation top-1 (axis to 100 %)</text>
<text class="title" x="${tile.left}" y="36">What it was shown</text>
${await tiles(join(images, 'val'))}
</svg>
`;
  await writeFile(path, svg);
}

/** A running mean over a few steps: single batches are noisy. */
function smooth(points: Point[]): Point[] {
  const reach = Math.max(1, Math.floor(points.length / 60));
  return points.map(({ x }, i) => {
    const near = points.slice(Math.max(0, i - reach), i + reach + 1);
    return { x, y: near.reduce((sum, point) => sum + point.y, 0) / near.length };
  });
}

function place({ x, y }: Point, last: number, highest: number): string {
  const left = plot.left + (x / last) * plot.width;
  const top = plot.top + plot.height * (1 - y / highest);
  return `${left.toFixed(1)} ${top.toFixed(1)}`;
}

function curve(points: Point[], last: number, highest: number): string {
  return points.map((point, i) => `${i === 0 ? 'M' : 'L'}${place(point, last, highest)}`).join('');
}

function dots(points: Point[], last: number, highest: number): string {
  return points
    .map((point) => {
      const [x, y] = place(point, last, highest).split(' ');
      return `<circle cx="${x}" cy="${y}" r="3" fill="#1d4ed8"/>`;
    })
    .join('');
}

async function tiles(folder: string): Promise<string> {
  const classes = (await readdir(folder)).sort();
  const step = tile.size + tile.gap;
  const parts: string[] = [];
  for (const [index, name] of classes.entries()) {
    const files = (await readdir(join(folder, name))).sort().slice(0, shownPerClass);
    for (const [i, file] of files.entries()) {
      const x = tile.left + (i + (shownPerClass + 0.4) * Math.floor(index / classesPerColumn)) * step;
      const y = tile.top + (index % classesPerColumn) * step * 0.87;
      const data = (await readFile(join(folder, name, file))).toString('base64');
      parts.push(
        `<image x="${x}" y="${y}" width="${tile.size}" height="${tile.size * 0.72}" preserveAspectRatio="xMidYMid slice" href="data:image/jpeg;base64,${data}"/>`,
      );
      if (i === 0)
        parts.push(`<text x="${x}" y="${y + tile.size * 0.72 + 11}" font-size="10">${name}</text>`);
    }
  }
  return parts.join('\n');
}
