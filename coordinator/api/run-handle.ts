/** What a call that starts a run returns at once. */
import { asUserError } from '../../shared/process/user-error.ts';

/**
 * A run under way: a promise of its report, and an async iterable of what happens to it. Iterating ends with the run, or
 * throws what ended it; leaving the loop leaves the run alone. What happens before the iteration begins is not repeated.
 */
export type RunHandle<Event, Report> = Promise<Report> & AsyncIterable<Event, void, undefined>;

/** @param work begins once the caller has had the opportunity to iterate */
export function handleOf<Event, Report>(
  work: (emit: (event: Event) => void) => Promise<Report>,
): RunHandle<Event, Report> {
  const readers = new Set<Reader<Event>>();
  const emit = (event: Event) => {
    for (const reader of readers) reader.add(event);
  };
  const report = Promise.resolve()
    .then(() => work(emit))
    .catch((error) => {
      throw asUserError(error);
    });
  return Object.assign(report, {
    [Symbol.asyncIterator]: () => {
      const reader = new Reader<Event>();
      readers.add(reader);
      const end = () => reader.end();
      report.then(end, end); // whoever iterates is told of an error by the iteration
      return iterate(reader, report, () => readers.delete(reader));
    },
  });
}

async function* iterate<Event>(
  reader: Reader<Event>,
  report: Promise<unknown>,
  leave: () => void,
): AsyncGenerator<Event, void, undefined> {
  try {
    for (let events = await reader.next(); events.length > 0; events = await reader.next()) yield* events;
    await report;
  } finally {
    leave();
  }
}

/** Keeps events for one iteration: a run waits for nobody. */
class Reader<Event> {
  #waiting: Event[] = [];
  #ended = false;
  #wake: () => void = () => undefined;

  add(event: Event): void {
    this.#waiting.push(event);
    this.#wake();
  }

  /** Nothing more will come. */
  end(): void {
    this.#ended = true;
    this.#wake();
  }

  /** What has come since the last call, once something has; empty at the end. */
  async next(): Promise<Event[]> {
    if (this.#waiting.length === 0 && !this.#ended) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    const events = this.#waiting;
    this.#waiting = [];
    return events;
  }
}
