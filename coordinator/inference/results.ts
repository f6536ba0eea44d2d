/** The JSON beside the results of an inference run, and whether results that lie there already are the same. */
import { readFile } from 'node:fs/promises';
import type { Clips } from '../../shared/data/clip-folder.ts';
import { normalizations } from '../../shared/defaults.ts';
import { CornetError } from '../../shared/errors.ts';
import type { InferenceConfig } from '../../shared/run-config.ts';
import { canonicalJson } from '../../shared/util/canonical-json.ts';
import { quoteName } from '../../shared/util/printable.ts';
import { exists, fileError, systemCode, writeDurably } from '../disk/durable-file.ts';
import { otherSettings, type Settings } from '../options/changes.ts';
import type { InferenceFrontend } from './inference-news.ts';

/** An image without a result, or a clip with such a frame. */
export interface UnreadableImage {
  readonly row: number;
  /** Relative to the data folder. */
  readonly file: string;
  readonly reason: string;
}

/** What the rows of an inference run are of: images, or clips. */
export interface Rows {
  readonly size: number;
  /** Of the file or folder, relative to the data folder, with forward slashes. */
  path(row: number): string;
}

/** What early results did not say of themselves. */
const earlierSettings: Settings = { normalize: normalizations.imagenet };

/** Names per piece, so that a million of them are never one string. */
const namesPerPiece = 10_000;

/**
 * Writes `head`, which begins with `settings`, and behind it the files in row order, and the frames of each if they are
 * clips. No clock, host or folder stands in it: equal inference runs give equal bytes.
 */
export function writeDescription(path: string, head: object, rows: Rows, clips: Clips | null): Promise<void> {
  return writeDurably(path, descriptionPieces(head, rows, clips));
}

function* descriptionPieces(head: object, rows: Rows, clips: Clips | null): Generator<Buffer> {
  yield Buffer.from(JSON.stringify(head, null, 2).slice(0, -2));
  yield* listPieces('files', rows.size, (row) => rows.path(row));
  if (clips !== null) yield* listPieces('frames', rows.size, (row) => clips.frames(row));
  yield Buffer.from('\n}\n');
}

/** A list of the description, one row a line. */
function* listPieces(name: string, rows: number, told: (row: number) => unknown): Generator<Buffer> {
  yield Buffer.from(`,\n  "${name}": [`);
  for (let begin = 0; begin < rows; begin += namesPerPiece) {
    const count = Math.min(namesPerPiece, rows - begin);
    const names = Array.from({ length: count }, (_, i) => JSON.stringify(told(begin + i)));
    yield Buffer.from(`${begin === 0 ? '' : ','}\n    ${names.join(',\n    ')}`);
  }
  yield Buffer.from('\n  ]');
}

/**
 * Looks at results of the names that are to be written.
 * @returns whether they are there, made with these settings
 * @throws CornetError OUTPUT_EXISTS when they were made with others
 */
export async function alreadyThere(data: string, description: string, settings: Settings): Promise<boolean> {
  const hasData = await exists(data);
  const former = await readSettings(description);
  if (former === null && !hasData && !(await exists(description))) return false;
  const whole = (some: Settings) => ({ ...earlierSettings, ...some });
  if (former !== null && canonicalJson(whole(former)) === canonicalJson(whole(settings))) return hasData;
  if (former === null) {
    const there = quoteName(hasData ? data : description);
    throw new CornetError(
      'OUTPUT_EXISTS',
      `${there} is there already, and nothing beside it says how it was made.`,
    );
  }
  const there = hasData
    ? `${quoteName(data)} and ${quoteName(description)} are there already`
    : `${quoteName(description)} is there already`;
  // What follows from other settings is not said of its own.
  const { transform: _, images: __, ...chosen } = settings;
  const noFrames = { frames: false }; // only a description of clips says it
  const others = otherSettings({ ...noFrames, ...whole(former) }, { ...noFrames, ...chosen }).join('; ');
  throw new CornetError(
    'OUTPUT_EXISTS',
    `${there}, made with other settings${others === '' ? '' : `: ${others}`}.`,
  );
}

/** All results are there already, made with these settings. */
export function tellNothingToDo(paths: readonly string[], frontend: InferenceFrontend): void {
  const are = paths.length === 1 ? 'is' : 'are';
  const message = `Nothing to do: ${paths.map(quoteName).join(', ')} ${are} there already.`;
  frontend.viewer().news({ at: new Date().toISOString(), type: 'event', level: 'info', message });
}

/** What computed the results. */
export function originOf({ version, threads, numerics }: InferenceConfig): object {
  return {
    version,
    threads,
    numerics: numerics?.description ?? null,
    probe: numerics?.probe ?? null,
    pixels: numerics?.pixels ?? null,
  };
}

/** What the description of results that are there already says of images without any. */
export async function unreadableBefore(description: string): Promise<UnreadableImage[]> {
  return (await readDescription(description))?.unreadable ?? [];
}

async function readSettings(path: string): Promise<Settings | null> {
  return (await readDescription(path))?.settings ?? null;
}

interface Description {
  settings?: Settings;
  unreadable?: UnreadableImage[];
}

async function readDescription(path: string): Promise<Description | null> {
  try {
    return JSON.parse(await readFile(path, 'utf8')) as Description;
  } catch (error) {
    if (systemCode(error) === 'ENOENT' || error instanceof SyntaxError) return null;
    throw fileError(error, `read ${quoteName(path)}`);
  }
}
