/** How far the indexing of a folder is, said when it takes long: a million files on a network disk are minutes. */
import { indexProgress as limits } from '../defaults.ts';
import type { ProgressOutput } from '../process/progress-line.ts';
import { quoteName } from '../util/printable.ts';

/** What indexes tells this one. */
export interface FileCounter {
  /** One more file is known, with its size. */
  counted(): void;
  /** So many files will be counted. */
  expect(files: number): void;
}

export class IndexProgress implements FileCounter {
  readonly #root: string;
  readonly #output: ProgressOutput;
  readonly #now: () => number;
  readonly #began: number;
  readonly #timer: NodeJS.Timeout;
  #files = 0;
  #expected: number | null = null;
  #shown: number | null = null;

  /** @param now milliseconds, monotonic */
  constructor(root: string, output: ProgressOutput, now: () => number = () => performance.now()) {
    this.#root = root;
    this.#output = output;
    this.#now = now;
    this.#began = now();
    this.#timer = setInterval(() => this.look(), limits.look).unref();
  }

  /** Whether something was said. */
  get isShown(): boolean {
    return this.#shown !== null;
  }

  counted(): void {
    this.#files++;
  }

  expect(files: number): void {
    this.#expected = files;
  }

  /** Says how far it is, if that is due. */
  look(): void {
    const at = this.#now();
    if (this.#shown === null ? at - this.#began < limits.patience : at - this.#shown < this.#output.every)
      return;
    this.#shown = at;
    const of = this.#expected === null ? '' : ` of ${figure(this.#expected)}`;
    const perSecond = (1000 * this.#files) / (at - this.#began);
    this.#say(`Indexing ${quoteName(this.#root)}: ${figure(this.#files)}${of} files, ${figure(perSecond)}/s`);
  }

  /** The folder is indexed. @param kept whether that is kept for the next time */
  done(kept: boolean): void {
    this.close();
    if (this.#shown === null) return;
    const seconds = ((this.#now() - this.#began) / 1000).toFixed(0);
    const what = `Indexed ${quoteName(this.#root)}: ${figure(this.#files)} files in ${seconds} s`;
    this.#say(kept ? `${what}, kept for next time.` : `${what}.`, true);
  }

  /** It came to nothing, or is done. */
  close(): void {
    clearInterval(this.#timer);
  }

  #say(sentence: string, last = false): void {
    this.#output.show(sentence, last);
  }
}

/** Does the work with a progress that is closed whatever comes of it; without an output nobody counts. */
export async function withProgress<T>(
  root: string,
  output: ProgressOutput | undefined,
  work: (progress: IndexProgress | undefined) => Promise<T>,
): Promise<T> {
  const progress = output === undefined ? undefined : new IndexProgress(root, output);
  try {
    return await work(progress);
  } finally {
    progress?.close();
  }
}

function figure(count: number): string {
  return Math.round(count).toLocaleString('en-US');
}
