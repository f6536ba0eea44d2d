/** One chart of lines over epochs as the inside of an SVG: axes, grid, bands, and each line's last value at its end. */
import { type Axis, exactAxis, plainNumber } from '../view/axis.ts';
import type { Line, Point } from './curves.ts';
import { escapeMarkup } from './markup.ts';
import { spread } from './spread.ts';

export interface ChartLine extends Line {
  /** What it is, for the legend; empty: the legend has it already. */
  readonly name: string;
  /** A class of the style sheet. */
  readonly colour: string;
  readonly look: 'solid' | 'thin' | 'dashed';
  /** Each point is a measurement of its own. */
  readonly dots: boolean;
  /** Before the value at its end; null: no value stands there. */
  readonly key: string | null;
}

export interface ChartData {
  readonly title: string;
  /** Of the vertical axis, behind the title. */
  readonly unit: string;
  readonly lines: readonly ChartLine[];
  /** What explains the lines. */
  readonly legend: readonly Pick<ChartLine, 'name' | 'colour' | 'look' | 'dots'>[];
  readonly vertical: Axis;
  /** The last epoch. */
  readonly end: number;
  /** How a tick, and the value at a line's end, are written. */
  readonly tick: (y: number) => string;
  readonly value: (y: number) => string;
}

/** Pixels around the lines' own space: headings above, ticks to the left and below, values to the right. */
const margin = { left: 46, right: 76, top: 58, bottom: 44 };
/** Pixels between two ticks, about. */
const between = { x: 44, y: 48 };
/** Between the baselines of two values. */
const valueGap = 15;
/** Points that are dots as well, at most: beyond that they would be a thick line. */
const mostDots = 60;

/** How many ticks fit a chart of this height. */
export function ticksIn(height: number): number {
  return Math.max(2, Math.round((height - margin.top - margin.bottom) / between.y));
}

/** @param id of what is referred to within the document */
export function drawChart(
  { title, unit, lines, legend, vertical, end, tick, value }: ChartData,
  { id, left, top, width, height }: { id: string; left: number; top: number; width: number; height: number },
): string {
  const inner = {
    left: left + margin.left,
    top: top + margin.top,
    width: width - margin.left - margin.right,
    height: height - margin.top - margin.bottom,
  };
  const right = inner.left + inner.width;
  const bottom = inner.top + inner.height;
  const horizontal = exactAxis(0, end, inner.width / between.x);
  const x = (epoch: number) => inner.left + (epoch / horizontal.high) * inner.width;
  const y = (at: number) => bottom - ((at - vertical.low) / (vertical.high - vertical.low)) * inner.height;
  const place = (point: Point) => `${fixed(x(point.x))} ${fixed(y(point.y))}`;
  const heading =
    `<text class="heading" x="${left}" y="${top + 14}">${escapeMarkup(title)}` +
    ` <tspan class="soft unit">${escapeMarkup(unit)}</tspan></text>`;
  return [
    heading,
    drawLegend(legend, left, top + 36),
    ...vertical.ticks.flatMap((at) => [
      `<path class="grid" d="M${inner.left} ${fixed(y(at))}H${right}"/>`,
      `<text class="soft" x="${inner.left - 8}" y="${fixed(y(at) + 4)}" text-anchor="end">${escapeMarkup(tick(at))}</text>`,
    ]),
    `<path class="axis" d="M${inner.left} ${bottom}H${right}"/>`,
    ...horizontal.ticks.flatMap((at) => [
      `<path class="axis" d="M${fixed(x(at))} ${bottom}v4"/>`,
      `<text class="soft" x="${fixed(x(at))}" y="${bottom + 18}" text-anchor="middle">${plainNumber(at)}</text>`,
    ]),
    `<text class="soft" x="${inner.left + inner.width / 2}" y="${bottom + 36}" text-anchor="middle">epochs</text>`,
    // A band may reach past 100 %.
    `<clipPath id="${id}"><rect x="${inner.left - 4}" y="${inner.top - 4}" width="${inner.width + 8}" height="${inner.height + 8}"/></clipPath>`,
    `<g clip-path="url(#${id})">`,
    ...lines.filter(({ band }) => band.length > 1).map((line) => drawBand(line, x, y)),
    ...lines.map((line) => drawLine(line, place)),
    '</g>',
    ...drawValues(lines, { x, y, right, top: inner.top, bottom, value }),
  ].join('\n');
}

function drawBand({ points, band, colour }: ChartLine, x: Scale, y: Scale): string {
  const edge = (side: 'low' | 'high') =>
    points.map((point, i) => `${fixed(x(point.x))} ${fixed(y(band[i]![side]))}`);
  return `<path class="band ${colour}" d="M${[...edge('high'), ...edge('low').reverse()].join('L')}Z"/>`;
}

function drawLine({ points, colour, look, dots }: ChartLine, place: (point: Point) => string): string {
  if (points.length === 0) return '';
  const places = points.map(place);
  const line = `<path class="line ${look} ${colour}" d="M${places.join('L')}"/>`;
  // A line of one point cannot be seen.
  if (points.length > 1 && (!dots || points.length > mostDots)) return line;
  const circles = places.map((at) => {
    const [cx, cy] = at.split(' ');
    return `<circle class="dot ${colour}" cx="${cx}" cy="${cy}" r="2.5"/>`;
  });
  return line + circles.join('');
}

type Scale = (value: number) => number;

/** The last value of each line, beside its end; where several end close together they are moved apart. */
function drawValues(
  lines: readonly ChartLine[],
  {
    x,
    y,
    right,
    top,
    bottom,
    value,
  }: { x: Scale; y: Scale; right: number; top: number; bottom: number; value: (y: number) => string },
): string[] {
  const named = lines.filter(({ key, points }) => key !== null && points.length > 0);
  const ends = named.map(({ points }) => points.at(-1)!);
  const wanted = ends.map((end) => y(end.y));
  const places = spread(wanted, valueGap, top, bottom);
  return named.map(({ key, colour }, i) => {
    const [fromX, fromY, toY] = [x(ends[i]!.x), wanted[i]!, places[i]!];
    const words = escapeMarkup(value(ends[i]!.y));
    const at = `x="${right + 12}" y="${fixed(toY + 4)}"`;
    // Not every colour of a line is dark enough for small print.
    const text =
      key === ''
        ? `<text class="value ${colour}" ${at}>${words}</text>`
        : `<text class="value" ${at}><tspan class="${colour}">${key}</tspan> ${words}</text>`;
    if (right - fromX < 2 && Math.abs(fromY - toY) < 2) return text;
    // Straight across the chart, and only beside it to where there is room.
    const across =
      right - fromX < 6
        ? `M${right + 2} ${fixed(fromY)}`
        : `M${fixed(fromX + 4)} ${fixed(fromY)}H${right + 2}`;
    return `<path class="leader ${colour}" d="${across}L${right + 9} ${fixed(toY)}"/>${text}`;
  });
}

/** Width of a character of the legend, about, on the large side: a file cannot measure the reader's font. */
const characterWidth = 6.6;

function drawLegend(items: ChartData['legend'], left: number, baseline: number): string {
  let at = left;
  return items
    .map(({ name, colour, look, dots }) => {
      const sample =
        `<path class="line ${look} ${colour}" d="M${fixed(at)} ${baseline - 4}h22"/>` +
        (dots ? `<circle class="dot ${colour}" cx="${fixed(at + 11)}" cy="${baseline - 4}" r="2.5"/>` : '');
      const text = `<text x="${fixed(at + 28)}" y="${baseline}">${escapeMarkup(name)}</text>`;
      at += 28 + characterWidth * name.length + 14;
      return sample + text;
    })
    .join('');
}

function fixed(pixels: number): string {
  return String(Number(pixels.toFixed(1)));
}
