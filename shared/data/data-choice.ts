/** Which images of a data folder make up a data set, and which of them are for validation. */
import { readFile, stat } from 'node:fs/promises';
import { resolve } from 'node:path';
import picomatch from 'picomatch';
import { z } from 'zod';
import { CornetError } from '../errors.ts';
import { bounds } from '../option-bounds.ts';
import { Draws, streams } from '../random.ts';
import { quoteName } from '../util/printable.ts';

const file = z.string().nullable();

export const dataChoice = z.strictObject({
  /** Files, relative to the data folder where they lie in it, so that each host finds them in its own; otherwise absolute. */
  trainList: file,
  valList: file,
  exclude: file,
  classes: file,
  /** Training images of each class, drawn with the seed; null: all. */
  imagesPerClass: bounds.imagesPerClass.nullable(),
  /** The part of each class's training images that is validated with, drawn with the seed; 0: there are others for that. */
  valSplit: bounds.valSplit,
  seed: bounds.seed,
});
export type DataChoice = Readonly<z.infer<typeof dataChoice>>;

export const everyImage: DataChoice = {
  trainList: null,
  valList: null,
  exclude: null,
  classes: null,
  imagesPerClass: null,
  valSplit: 0,
  seed: 0,
};

/** What the files of a choice are given with. */
export const choiceFlags = {
  trainList: '--train-list',
  valList: '--val-list',
  exclude: '--exclude',
  classes: '--classes',
} as const;
export type ChoiceFile = keyof typeof choiceFlags;

/** @throws CornetError DATA_MISSING, naming the file and its option */
export async function readChoiceFile(root: string, file: string, flag: string): Promise<string> {
  const path = resolve(root, file);
  try {
    if (!(await stat(path)).isFile()) throw new Error('it is not a regular file');
    return await readFile(path, 'utf8');
  } catch (cause) {
    throw unreadableChoice(path, flag, cause);
  }
}

export function unreadableChoice(path: string, flag: string, cause: unknown): CornetError {
  const { code, message } = cause as NodeJS.ErrnoException;
  const why = code === 'ENOENT' ? 'it does not exist' : code === 'EACCES' ? 'permission is denied' : message;
  return new CornetError('DATA_MISSING', `The file ${quoteName(path)} of ${flag} cannot be read: ${why}.`, {
    cause,
    hint: 'Every host that serves the run needs the same file: put it into the data folder, or at the same path everywhere.',
  });
}

/** Lines of a text file that say something: neither blank nor a comment (`#`). */
function linesOf(text: string): string[] {
  return text
    .replace(/^\ufeff/, '')
    .split(/\r?\n/)
    .map((line) => line.trimEnd())
    .filter((line) => line.trim() !== '' && !line.startsWith('#'));
}

/**
 * Names of classes, one in a line, in the order of their labels.
 * @throws CornetError DATA_INVALID
 */
export function readClassNames(text: string, path: string): string[] {
  const names = linesOf(text).map((line) => line.trim());
  const seen = new Set<string>();
  for (const name of names) {
    if (seen.has(name)) {
      throw new CornetError(
        'DATA_INVALID',
        `${quoteName(path)} of --classes names ${quoteName(name)} twice.`,
        {
          hint: 'Give each class one line: its position is the label.',
        },
      );
    }
    seen.add(name);
  }
  if (names.length > 0) return names;
  throw new CornetError('DATA_INVALID', `${quoteName(path)} of --classes names no class.`, {
    hint: 'Write the name of one class in each line; the order is that of the labels.',
  });
}

/**
 * What `--exclude` leaves out. A line is the path of an image below its split (`n01440764/n01440764_10026.JPEG`), with or
 * without the split's name before it, or a pattern of such paths (`*`, `?`, `**`, `[…]`, `{a,b}`). A line without a slash
 * is about the names of images alone.
 */
export class Exclusion {
  readonly #exact = new Map<string, number>();
  readonly #patterns: {
    readonly line: number;
    readonly matches: (path: string) => boolean;
    readonly base: boolean;
  }[] = [];
  readonly #lines: readonly string[];
  readonly #used = new Set<number>();

  constructor(text: string) {
    this.#lines = linesOf(text).map((line) => line.replace(/^\.?\//, ''));
    for (const [line, pattern] of this.#lines.entries()) {
      if (!/[*?[\]{}!()]/.test(pattern)) this.#exact.set(pattern, line);
      else {
        const matches = picomatch(pattern, { dot: true, nonegate: true, noextglob: true });
        this.#patterns.push({ line, matches: (path) => matches(path), base: !pattern.includes('/') });
      }
    }
  }

  /** @param name below the split: class, a slash, and the rest */
  leavesOut(split: string, name: string): boolean {
    const whole = `${split}/${name}`;
    const base = name.slice(name.lastIndexOf('/') + 1);
    const exact = [whole, name, base].flatMap((path) => this.#exact.get(path) ?? []);
    const matched = this.#patterns.filter((pattern) =>
      pattern.base ? pattern.matches(base) : pattern.matches(name) || pattern.matches(whole),
    );
    for (const line of [...exact, ...matched.map(({ line }) => line)]) this.#used.add(line);
    return exact.length + matched.length > 0;
  }

  /** Lines that no image was left out by. */
  get idle(): string[] {
    return this.#lines.filter((_, line) => !this.#used.has(line));
  }
}

/** What the draws of a choice are for: the first coordinate of their key. */
const drawn = { validation: 0, training: 1, sample: 2 } as const;

/**
 * Which of a class's images are for validation.
 * @param label position of the class
 * @param count how many images the class has
 * @returns so many of them, at least one each if there are two: positions, in order
 */
export function splitClass(
  { valSplit, seed }: Pick<DataChoice, 'valSplit' | 'seed'>,
  label: number,
  count: number,
): { train: number[]; val: number[] } {
  const wanted = Math.round(count * valSplit);
  const held = count < 2 ? 0 : Math.min(Math.max(wanted, 1), count - 1);
  const val = new Set(draw(new Draws(seed, streams.selection, drawn.validation, label), count, held));
  const positions = Array.from({ length: count }, (_, position) => position);
  return { train: positions.filter((at) => !val.has(at)), val: positions.filter((at) => val.has(at)) };
}

/** `wanted` of `count` positions, in order. */
export function pickImages(seed: number, label: number, count: number, wanted: number): number[] {
  return draw(new Draws(seed, streams.selection, drawn.training, label), count, wanted);
}

/**
 * Images of a split that are looked at in the place of all.
 * @param split position of the split
 * @returns `wanted` of `count` positions, in order
 */
export function sampleOf(seed: number, split: number, count: number, wanted: number): number[] {
  return draw(new Draws(seed, streams.selection, drawn.sample, split), count, wanted);
}

/** The beginning of a shuffle (Fisher and Yates), put in order. */
function draw(draws: Draws, count: number, wanted: number): number[] {
  const order = Array.from({ length: count }, (_, i) => i);
  for (let i = 0; i < wanted; i++) {
    const j = i + draws.integer(count - i);
    [order[i], order[j]] = [order[j]!, order[i]!];
  }
  return order.slice(0, wanted).sort((a, b) => a - b);
}
