import { CornetError } from '../errors.ts';
import { fromRedis } from '../redis/redis-replies.ts';
import { isOutOfFiles } from './open-files.ts';

/** An error as a user is told it: one of the system or of Redis that has a meaning here gets its code and its remedy. */
export function asUserError(thrown: unknown): unknown {
  if (!isOutOfFiles(thrown)) return fromRedis(thrown);
  // A part of the program that is loaded late, or a file that nobody thought of.
  const { message } = thrown as Error;
  return new CornetError('OPEN_FILES_LIMIT', `No more files can be opened: ${message}.`, { cause: thrown });
}
