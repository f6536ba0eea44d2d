import { CornetError } from '../errors.ts';

/** The error of who can open no file more (a connection, and another process's memory, is one, too); null: another error. */
export function noFileLeft(cause: NodeJS.ErrnoException): CornetError | null {
  if (cause.code !== 'EMFILE' && cause.code !== 'ENFILE') return null;
  const whose = cause.code === 'EMFILE' ? 'this process has' : 'the system has';
  const message = `Cannot connect to another process of this machine: ${whose} too many files open.`;
  return new CornetError('OPEN_FILES_LIMIT', message, { cause });
}
