/** How the lines of a chart are drawn. */
import { svg } from './dom.ts';

export interface Point {
  x: number;
  /** Null: the line is interrupted. */
  y: number | null;
}

export interface Line {
  name: string;
  /** Names its colour in the style sheet. */
  color: string;
  points: Point[];
  /** What the legend says unless the reader points somewhere; otherwise the last point. */
  latest?: number | null;
  /** A thin line behind the others; its outliers are cut off. */
  faint?: boolean;
  dashed?: boolean;
  /** Each point is a dot, too, as long as they are few. */
  dots?: boolean;
  /** The space below it is tinted. */
  filled?: boolean;
}

export interface Band {
  color: string;
  points: { x: number; low: number; high: number }[];
}

/** From values to pixels. */
export type Place = (x: number, y: number) => [number, number];

/** More dots than these become a chain of beads. */
const mostDots = 30;

export function drawLine(line: Line, place: Place, floor: number): SVGElement[] {
  const { points, color, faint, dashed, dots, filled } = line;
  const runs = unbroken(points).map((run) => run.map(({ x, y }) => place(x, y!)));
  const path = runs.map((run) => `M${run.map(coordinates).join('L')}`).join('');
  const drawn: SVGElement[] = [];
  if (filled === true) {
    const areas = runs.map((run) => `M${run[0]![0]} ${floor}L${run.map(coordinates).join('L')}V${floor}Z`);
    drawn.push(svg('path', { class: `area ${color}`, d: areas.join('') }));
  }
  const kind = `${faint === true ? ' faint' : ''}${dashed === true ? ' dashed' : ''}`;
  drawn.push(svg('path', { class: `line ${color}${kind}`, d: path }));
  // A single point has no line.
  const alone = runs.filter((run) => run.length === 1 && faint !== true);
  const dotted = dots === true && points.length <= mostDots ? runs : alone;
  for (const [cx, cy] of dotted.flat()) drawn.push(svg('circle', { class: `dot ${color}`, cx, cy, r: 2.5 }));
  return drawn;
}

export function drawBand({ color, points }: Band, place: Place): SVGElement {
  const upper = points.map(({ x, high }) => coordinates(place(x, high)));
  const lower = points.map(({ x, low }) => coordinates(place(x, low))).reverse();
  const d = points.length === 0 ? '' : `M${[...upper, ...lower].join('L')}Z`;
  return svg('path', { class: `band ${color}`, d });
}

function coordinates([x, y]: [number, number]): string {
  return `${x.toFixed(1)} ${y.toFixed(1)}`;
}

function unbroken(points: Point[]): Point[][] {
  const runs: Point[][] = [[]];
  for (const point of points) {
    if (point.y === null) runs.push([]);
    else runs.at(-1)!.push(point);
  }
  return runs.filter((run) => run.length > 0);
}

export function nearest(points: Point[], x: number): Point | null {
  let best: Point | null = null;
  for (const point of points) if (best === null || Math.abs(point.x - x) < Math.abs(best.x - x)) best = point;
  return best;
}
