/** The JSON beside the results of an inference run, and whether results that lie there already are the same. */
import { readFile } from 'node:fs/promises';
import type { FileList } from '../../shared/data/file-list.ts';
import { normalizations } from '../../shared/defaults.ts';
import { CornetError, exitCodes } from '../../shared/errors.ts';
import type { InferenceConfig } from '../../shared/run-config.ts';
import { canonicalJson } from '../../shared/util/canonical-json.ts';
import { quoteName } from '../../shared/util/printable.ts';
import { exists, fileError, systemCode, writeDurably } from '../disk/durable-file.ts';
import { otherSettings, type Settings } from '../options/changes.ts';

/** What early results did not say of themselves. */
const earlierSettings: Settings = { normalize: normalizations.imagenet };

/** Names per piece, so that a million of them are never one string. */
const namesPerPiece = 10_000;

/**
 * Writes `head`, which begins with `settings`, and behind it the files in row order. No clock, host or folder stands in
 * it: equal inference runs give equal bytes.
 */
export function writeDescription(path: string, head: object, files: FileList): Promise<void> {
  return writeDurably(path, descriptionPieces(head, files));
}

function* descriptionPieces(head: object, files: FileList): Generator<Buffer> {
  const text = JSON.stringify(head, null, 2);
  yield Buffer.from(`${text.slice(0, -2)},\n  "files": [`);
  for (let begin = 0; begin < files.size; begin += namesPerPiece) {
    const count = Math.min(namesPerPiece, files.size - begin);
    const names = Array.from({ length: count }, (_, i) => JSON.stringify(files.path(begin + i)));
    yield Buffer.from(`${begin === 0 ? '' : ','}\n    ${names.join(',\n    ')}`);
  }
  yield Buffer.from('\n  ]\n}\n');
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
  const others = otherSettings(whole(former), chosen).join('; ');
  throw new CornetError(
    'OUTPUT_EXISTS',
    `${there}, made with other settings${others === '' ? '' : `: ${others}`}.`,
  );
}

/**
 * All results are there already, made with these settings.
 * @returns the exit code
 */
export function nothingToDo(paths: readonly string[]): number {
  const are = paths.length === 1 ? 'is' : 'are';
  process.stdout.write(`Nothing to do: ${paths.map(quoteName).join(', ')} ${are} there already.\n`);
  return exitCodes.complete;
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

async function readSettings(path: string): Promise<Settings | null> {
  try {
    return (JSON.parse(await readFile(path, 'utf8')) as { settings?: Settings }).settings ?? null;
  } catch (error) {
    if (systemCode(error) === 'ENOENT' || error instanceof SyntaxError) return null;
    throw fileError(error, `read ${quoteName(path)}`);
  }
}
