/** A line chart over epochs: drawn at the size that it has, and read with pointer or finger. */
import { coveringAxis } from '../../view/axis.ts';
import { element, setText, svg } from './dom.ts';
import { type Band, drawBand, drawLine, type Line, nearest, type Place } from './lines.ts';

export interface ChartData {
  lines: Line[];
  band?: Band;
  /** What `y` must at least span. */
  span: [number, number] | null;
  /** Of a value, and of a label of the axis. */
  format: (y: number) => string;
  tick: (y: number) => string;
  /** Said where there is nothing to draw. */
  none: string;
}

const margin = { left: 46, right: 10, top: 8, bottom: 22 };
/** Pixels between two labels, about. */
const between = { x: 90, y: 44 };
/** The axis begins with what is known where that is later than this part of the whole. */
const unknownPart = 0.1;
/** Pixels around the label of the place that the reader points at. */
const cursorLabel = { width: 60, height: 18 };

export class Chart {
  readonly #host: HTMLElement;
  readonly #label: string;
  readonly #legend = element('div', 'legend');
  readonly #canvas = svg('svg', { role: 'img' });
  readonly #none = element('p', 'note none');
  #data: ChartData = { lines: [], span: null, format: String, tick: String, none: '' };
  /** Where the reader points, in pixels; null: nowhere. */
  #pointer: number | null = null;
  #size = { width: 0, height: 0 };

  /** @param label what is drawn, for those who cannot see it */
  constructor(host: HTMLElement, label: string) {
    this.#host = host;
    this.#label = label;
    host.append(this.#legend, this.#canvas, this.#none);
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
    const { lines, band, span, tick, none } = this.#data;
    const ys = lines
      .filter(({ faint }) => faint !== true)
      .flatMap(({ points }) => points.flatMap(({ y }) => (y === null ? [] : [y])));
    const empty = ys.length === 0;
    this.#host.classList.toggle('empty', empty);
    setText(this.#none, empty ? none : '');
    this.#legend.replaceChildren(...this.#legendItems());
    if (width === 0 || empty) return this.#canvas.replaceChildren();
    const inner = {
      width: Math.max(1, width - margin.left - margin.right),
      height: Math.max(1, height - margin.top - margin.bottom),
    };
    const { low, high, ticks } = coveringAxis(
      Math.min(...ys, ...(span ?? [])),
      Math.max(...ys, ...(span ?? [])),
      Math.max(2, Math.round(inner.height / between.y)),
    );
    const { first, last } = this.#range;
    const place: Place = (x, y) => [
      margin.left + ((x - first) / (last - first)) * inner.width,
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
    if (band !== undefined) drawn.append(drawBand(band, place));
    for (const line of lines) drawn.append(...drawLine(line, place, margin.top + inner.height));
    this.#canvas.replaceChildren(
      definition,
      ...ticks.map((y) =>
        svg('path', { class: 'grid', d: `M${margin.left} ${place(first, y)[1]}h${inner.width}` }),
      ),
      ...ticks.map((y) =>
        svg(
          'text',
          { class: 'label', x: margin.left - 8, y: place(first, y)[1] + 4, 'text-anchor': 'end' },
          tick(y),
        ),
      ),
      ...this.#epochs(inner.width, (x) => place(x, low)[0], height - 4),
      drawn,
      ...this.#cursor(inner.height, place),
    );
  }

  /** The epochs that are drawn. */
  get #range(): { first: number; last: number } {
    const { lines } = this.#data;
    const known = lines.flatMap(({ points }) => points.find(({ y }) => y !== null)?.x ?? []);
    const last = Math.max(...lines.map(({ points }) => points.at(-1)?.x ?? 0), Number.EPSILON);
    const first = Math.min(...known, last);
    return { first: first < unknownPart * last || first === last ? 0 : first, last };
  }

  /** The labels below. */
  #epochs(width: number, place: (x: number) => number, y: number): SVGElement[] {
    const { first, last } = this.#range;
    const { ticks } = coveringAxis(first, last, Math.max(2, Math.round(width / between.x)));
    return ticks
      .filter((x) => x >= first && x <= last)
      .map((x, i) => {
        const anchor = x === first ? 'start' : 'middle';
        const text = `${i === 0 ? 'epoch ' : ''}${Number(x.toPrecision(6))}`;
        return svg('text', { class: 'label', x: place(x), y, 'text-anchor': anchor }, text);
      });
  }

  /** The position that the reader points at, in epochs, or null. */
  get #pointed(): number | null {
    if (this.#pointer === null) return null;
    const { first, last } = this.#range;
    const width = this.#size.width - margin.left - margin.right;
    const at = first + ((this.#pointer - margin.left) / width) * (last - first);
    return Math.min(last, Math.max(first, at));
  }

  #cursor(height: number, place: Place): SVGElement[] {
    const pointed = this.#pointed;
    if (pointed === null) return [];
    const marks = this.#data.lines.flatMap(({ points, color, faint }) => {
      const near = nearest(points, pointed);
      if (near === null || near.y === null || faint === true) return [];
      const [cx, cy] = place(near.x, near.y);
      return [svg('circle', { class: `mark ${color}`, cx, cy, r: 3.5 })];
    });
    const [at] = place(pointed, 0);
    const half = cursorLabel.width / 2;
    const center = Math.min(this.#size.width - half, Math.max(half, at));
    const top = this.#size.height - cursorLabel.height;
    return [
      svg('path', { class: 'cursor', d: `M${at} ${margin.top}v${height}` }),
      ...marks,
      svg('rect', { class: 'behind', x: center - half, y: top, ...cursorLabel }),
      svg('text', { class: 'at', x: center, y: top + 14, 'text-anchor': 'middle' }, pointed.toFixed(2)),
    ];
  }

  /** Names and values: where the reader points, otherwise the latest. */
  #legendItems(): HTMLElement[] {
    const pointed = this.#pointed;
    const { lines, format } = this.#data;
    return lines
      .filter(({ faint }) => faint !== true)
      .flatMap(({ name, color, dashed, points, latest }) => {
        const known = points.filter(({ y }) => y !== null);
        const point = pointed === null ? known.at(-1) : nearest(known, pointed);
        const y = (pointed === null ? latest : undefined) ?? point?.y ?? null;
        if (y === null) return [];
        const className = `key line-key ${color}${dashed === true ? ' dashed' : ''}`;
        return [element('span', className, name, ' ', element('b', '', format(y)))];
      });
  }

  #summary(): string {
    return this.#legendItems()
      .map(({ textContent }) => textContent)
      .join(', ');
  }
}
