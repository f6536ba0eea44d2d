import { CornetError } from '../errors.ts';
import { configFormat } from '../run-config.ts';
import { quoteName } from '../util/printable.ts';
import { isLater, version as ourVersion } from './version.ts';

/**
 * Refuses the configuration of a run that another version wrote: what it means may be another thing here.
 * @param content of a config.json
 * @param path as the sentence names it
 * @throws CornetError RUN_FORMAT
 */
export function checkFormat(content: unknown, path: string): void {
  const { format, version } = (content ?? {}) as { format?: unknown; version?: unknown };
  if (typeof version === 'string' && isLater(version, ourVersion)) {
    throw new CornetError(
      'RUN_FORMAT',
      `${quoteName(path)} was written by cornet-ts ${version}, which is newer than this one (${ourVersion}).`,
      { hint: 'Continue with that version, or a later one.' },
    );
  }
  if (typeof format !== 'number' || format === configFormat) return;
  throw new CornetError(
    'RUN_FORMAT',
    `${quoteName(path)} is of format ${format}, and this version of cornet-ts reads format ${configFormat}.`,
  );
}
