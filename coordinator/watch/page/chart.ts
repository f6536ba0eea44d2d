/** A line chart over epochs: drawn at the size that it has, and read with pointer or finger. */
import { element, svg } from './dom.ts';

export interface Point {
  x: number;
  /** Null: the line is interrupted. */
  y: number | null;
}

interface Line {
  name: string;
  /** Names its colour in the style sheet. */
  color: string;
  points: Point[];
  /** A thin line behind the others; its outliers are cut off. */
  faint?: boolean;
  /** Each point is a dot, too. */
  dots?: boolean;
  /** The space below it is tinted. */
  filled?: boolean;
}

interface Band {
  color: string;
  points: { x: number; low: number; high: number }[];
}

export interface ChartData {
  lines: Line[];
  band?: Band;
  /** What `y` must at least span. */
  span: [number, number] | null;
  format: (y: number) => string;
}

const margin = { left: 46, right: 10, top: 8, bottom: 22 };
/** Pixels between two labels, about. */
const between = { x: 90, y: 44 };

export class Chart {
  readonly #host: HTMLElement;
  readonly #label: string;
  readonly #legend = element('div', 'legend');
  readonly #canvas = svg('svg', { role: 'img' });
  #data: ChartData = { lines: [], span: null, format: String };
  /** Where the reader points, in pixels; null: nowhere. */
  #pointer: number | null = null;
  #size = { width: 0, height: 0 };

  /** @param label what is drawn, for those who cannot see it */
  constructor(host: HTMLElement, label: string) {
    this.#host = host;
    this.#label = label;
    host.append(this.#legend, this.#canvas);
    new ResizeObserver(() => this.#resize()).observe(this.#canvas);
    this.#canvas.addEventListener('pointermove', (event) => this.#point(event.offsetX));
    this.#canvas.addEventListener('pointerdown', (event) => this.#point(event.offsetX));
    this.#canvas.addEventListener('pointerleave', () => this.#point(null));
  }

  show(data: ChartData): void {
    this.#data = data;
    this.#draw();
  }

  #resize(): void {
    const { width, height } = this.#canvas.getBoundingClientRect();
    if (width === this.#size.width && height === this.#size.height) return;
    this.#size = { width, height };
    this.#draw();
  }

  #point(at: number | null): void {
    this.#pointer = at;
    this.#draw();
  }

  #draw(): void {
    const { width, height } = this.#size;
    const { lines, band, span, format } = this.#data;
    const xs = lines.flatMap(({ points }) => [points[0]?.x ?? 0, points.at(-1)?.x ?? 0]);
    const ys = lines
      .filter(({ faint }) => faint !== true)
      .flatMap(({ points }) => points.flatMap(({ y }) => (y === null ? [] : [y])));
    const empty = ys.length === 0;
    this.#host.classList.toggle('empty', empty);
    this.#legend.replaceChildren(...this.#legendItems());
    if (width === 0 || empty) return this.#canvas.replaceChildren();
    const inner = {
      width: Math.max(1, width - margin.left - margin.right),
      height: Math.max(1, height - margin.top - margin.bottom),
    };
    const yTicks = ticks(
      Math.min(...ys, ...(span ?? [])),
      Math.max(...ys, ...(span ?? [])),
      Math.max(2, Math.round(inner.height / between.y)),
    );
    const [low, high] = [yTicks[0]!, yTicks.at(-1)!];
    const last = Math.max(...xs, Number.EPSILON);
    const place = (x: number, y: number): [number, number] => [
      margin.left + (x / last) * inner.width,
      margin.top + (1 - (y - low) / (high - low)) * inner.height,
    ];
    this.#canvas.setAttribute('viewBox', `0 0 ${width} ${height}`);
    this.#canvas.setAttribute('aria-label', `${this.#label}: ${this.#summary()}`);
    const clip = `clip-${this.#host.id}`;
    const definition = svg('clipPath', { id: clip });
    definition.append(
      svg('rect', {
        x: margin.left,
        y: margin.top - 2,
        width: inner.width + margin.right,
        height: inner.height + 4,
      }),
    );
    const drawn = svg('g', { 'clip-path': `url(#${clip})` });
    if (band !== undefined)
      drawn.append(svg('path', { class: `band ${band.color}`, d: around(band, place) }));
    for (const line of lines) drawn.append(...drawLine(line, place, margin.top + inner.height));
    this.#canvas.replaceChildren(
      definition,
      ...yTicks.map((y) =>
        svg('path', { class: 'grid', d: `M${margin.left} ${place(0, y)[1]}h${inner.width}` }),
      ),
      ...yTicks.map((y) =>
        svg(
          'text',
          { class: 'label', x: margin.left - 8, y: place(0, y)[1] + 4, 'text-anchor': 'end' },
          format(y),
        ),
      ),
      ...ticks(0, last, Math.max(2, Math.round(inner.width / between.x)))
        .filter((x) => x <= last)
        .map((x) =>
          svg(
            'text',
            {
              class: 'label',
              x: place(x, low)[0],
              y: height - 4,
              'text-anchor': x === 0 ? 'start' : 'middle',
            },
            x === 0 ? 'epoch 0' : short(x),
          ),
        ),
      drawn,
      ...this.#cursor(inner.height, place),
    );
  }

  /** The position that the reader points at, in epochs, or null. */
  get #pointed(): number | null {
    if (this.#pointer === null) return null;
    const last = Math.max(...this.#data.lines.map(({ points }) => points.at(-1)?.x ?? 0));
    const width = this.#size.width - margin.left - margin.right;
    return Math.min(last, Math.max(0, ((this.#pointer - margin.left) / width) * last));
  }

  #cursor(height: number, place: (x: number, y: number) => [number, number]): SVGElement[] {
    const pointed = this.#pointed;
    if (pointed === null) return [];
    const marks = this.#data.lines.flatMap(({ points, color, faint }) => {
      const near = nearest(points, pointed);
      if (near === null || near.y === null || faint === true) return [];
      const [cx, cy] = place(near.x, near.y);
      return [svg('circle', { class: `mark ${color}`, cx, cy, r: 3.5 })];
    });
    const [x] = place(pointed, 0);
    return [svg('path', { class: 'cursor', d: `M${x} ${margin.top}v${height}` }), ...marks];
  }

  /** Names and values: where the reader points, otherwise the latest. */
  #legendItems(): HTMLElement[] {
    const pointed = this.#pointed;
    const { lines, format } = this.#data;
    const items = lines
      .filter(({ faint }) => faint !== true)
      .flatMap(({ name, color, points }) => {
        const known = points.filter(({ y }) => y !== null);
        const point = pointed === null ? known.at(-1) : nearest(known, pointed);
        if (point === undefined || point === null || point.y === null) return [];
        const value = element('b', '', format(point.y));
        return [element('span', `key ${color}`, name, ' ', value)];
      });
    if (pointed !== null) items.push(element('span', 'at', `at epoch ${pointed.toFixed(2)}`));
    return items;
  }

  #summary(): string {
    return this.#legendItems()
      .map(({ textContent }) => textContent)
      .join(', ');
  }
}

function drawLine(
  line: Line,
  place: (x: number, y: number) => [number, number],
  floor: number,
): SVGElement[] {
  const { points, color, faint, dots, filled } = line;
  const runs = unbroken(points).map((run) => run.map(({ x, y }) => place(x, y!)));
  const path = runs.map((run) => `M${run.map(coordinates).join('L')}`).join('');
  const drawn: SVGElement[] = [];
  if (filled === true) {
    const areas = runs.map((run) => `M${run[0]![0]} ${floor}L${run.map(coordinates).join('L')}V${floor}Z`);
    drawn.push(svg('path', { class: `area ${color}`, d: areas.join('') }));
  }
  drawn.push(svg('path', { class: `line ${color}${faint === true ? ' faint' : ''}`, d: path }));
  if (dots === true && points.length < 80) {
    for (const [cx, cy] of runs.flat()) drawn.push(svg('circle', { class: `dot ${color}`, cx, cy, r: 2.5 }));
  }
  return drawn;
}

function around({ points }: Band, place: (x: number, y: number) => [number, number]): string {
  const upper = points.map(({ x, high }) => coordinates(place(x, high)));
  const lower = points.map(({ x, low }) => coordinates(place(x, low))).reverse();
  return points.length === 0 ? '' : `M${[...upper, ...lower].join('L')}Z`;
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

function nearest(points: Point[], x: number): Point | null {
  let best: Point | null = null;
  for (const point of points) if (best === null || Math.abs(point.x - x) < Math.abs(best.x - x)) best = point;
  return best;
}

/** Round numbers that enclose what is between `low` and `high`, about `count` of them. */
function ticks(low: number, high: number, count: number): number[] {
  const range = high - low || Math.abs(high) || 1;
  const rough = range / count;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * ([1, 2, 2.5, 5, 10].find((factor) => factor * power >= rough) ?? 10);
  const first = Math.floor(low / step + 1e-9);
  const last = Math.max(first + 1, Math.ceil(high / step - 1e-9));
  return Array.from({ length: last - first + 1 }, (_, i) => Number(((first + i) * step).toPrecision(12)));
}

function short(value: number): string {
  return String(Number(value.toPrecision(6)));
}
