/** How fast one worker is, as a calm number: from shard to shard, so that it does not jump with the moment of asking. */
import { workerPace as pace } from '../../shared/defaults.ts';

/** A moment at which so many images were done in all. */
interface Mark {
  at: number;
  images: number;
}

export class Speed {
  readonly #now: () => number;
  readonly #marks: Mark[] = [];
  #images = 0;

  /** @param now milliseconds, monotonic */
  constructor(now: () => number) {
    this.#now = now;
  }

  /** A shard, or a batch of a round, is done. */
  computed(images: number): void {
    this.#images += images;
    const marks = this.#marks;
    const mark = { at: this.#now(), images: this.#images };
    const [before, last] = [marks.at(-2), marks.at(-1)];
    const isNear = before !== undefined && last!.at - before.at < pace.grain;
    if (isNear) marks[marks.length - 1] = mark;
    else marks.push(mark);
    while (marks.length > pace.shards + 1 && marks[1]!.at <= mark.at - pace.memory) marks.shift();
  }

  /** Null: not known yet. Who does nothing for longer than between two shards becomes slower. */
  get imagesPerSecond(): number | null {
    const [first, last] = [this.#marks[0], this.#marks.at(-1)];
    if (first === undefined || last === undefined) return null;
    const gaps = this.#marks.slice(1).map(({ at }, i) => at - this.#marks[i]!.at);
    const end = Math.max(last.at, this.#now() - Math.max(0, ...gaps));
    if (last === first || end - first.at < pace.known) return null;
    return (1000 * (last.images - first.images)) / (end - first.at);
  }
}
