/** What both commands do alike on the command line. */
import { type Command, CommanderError, InvalidArgumentError } from 'commander';
import { CornetError, exitCodes } from '../errors.ts';
import { fromRedis } from '../redis/redis-replies.ts';
import { oneLine, printable, quoteName } from '../util/printable.ts';
import { isOutOfFiles } from './open-files.ts';
import { endUnexpectedly } from './unexpected-end.ts';

/** The original's names (`--batch_size`) are ours with underscores. */
function kebabCase(argv: readonly string[]): string[] {
  return argv.map((argument) =>
    argument.startsWith('--') ? argument.replace(/^--[^=]+/, (name) => name.replaceAll('_', '-')) : argument,
  );
}

export function wholeNumber(minimum: number, maximum = Number.MAX_SAFE_INTEGER): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (!Number.isSafeInteger(value) || value < minimum) {
      throw new InvalidArgumentError(`It must be a whole number of at least ${minimum}.`);
    }
    if (value > maximum) throw new InvalidArgumentError(`It must be at most ${maximum}.`);
    return value;
  };
}

/** A number greater than `above`, or equal to it where `orEqual`. */
export function decimal(above: number, orEqual = false): (text: string) => number {
  return (text) => {
    const value = Number(text);
    const ok = text.trim() !== '' && Number.isFinite(value) && (orEqual ? value >= above : value > above);
    if (!ok)
      throw new InvalidArgumentError(
        `It must be a number ${orEqual ? 'of at least' : 'greater than'} ${above}.`,
      );
    return value;
  };
}

/** Runs a command to its exit code: a user's error is one sentence, a code and a way out; anything else is our fault. */
export async function runCommand(program: Command, argv: readonly string[]): Promise<number> {
  // Whoever watched has gone (`| head`): that is no reason to stop, and nobody is there to be told.
  for (const stream of [process.stdout, process.stderr]) stream.on('error', () => undefined);
  endUnexpectedly(tellError);
  // Process lists show arguments; this writes over them.
  if (argv.some((argument) => /^--redis\b|:\/\//.test(argument))) process.title = program.name();
  for (const command of [program, ...program.commands]) {
    command.exitOverride().configureOutput({
      outputError: (text, write) => write(`${shownUsage(text)} [OPTION_INVALID]\n`),
    });
  }
  try {
    refuseForeignBytes(argv);
    await program.parseAsync(kebabCase(argv), { from: 'user' });
    return exitCodes.complete;
  } catch (thrown) {
    const error = fromRedis(thrown);
    if (error instanceof CommanderError) return error.exitCode === 0 ? exitCodes.complete : exitCodes.usage;
    if (error instanceof Exit) return error.code;
    return tellError(error);
  }
}

/** @returns the exit code */
function tellError(thrown: unknown): number {
  const error = isOutOfFiles(thrown) ? outOfFiles(thrown as Error) : thrown;
  if (error instanceof CornetError) {
    process.stderr.write(`error: ${error.message} [${error.code}]\n${error.hint}\n`);
    return error.exitCode;
  }
  const stack = error instanceof Error ? (error.stack ?? error.message) : String(error);
  process.stderr.write(`error: ${printable(stack)} [INTERNAL]\n`);
  return exitCodes.error;
}

/** A part of the program that is loaded late, or a file that nobody thought of. */
function outOfFiles(cause: Error): CornetError {
  return new CornetError('OPEN_FILES_LIMIT', `No more files can be opened: ${cause.message}.`, { cause });
}

/** What commander says of wrong arguments, without a URL that stands in them: it may hold a password. */
function shownUsage(text: string): string {
  const lines = text.replace(/\n$/, '').replace(/\b([a-z][\w+.-]*):\/\/[^\n]*?(?='?\.?(\n|$))/gi, '$1://***');
  return lines.split('\n').map(oneLine).join('\n');
}

/** Node reads arguments as UTF-8: the bytes of a name in another encoding are lost, and would name another file. */
function refuseForeignBytes(argv: readonly string[]): void {
  const foreign = argv.find((argument) => argument.includes('\ufffd'));
  if (foreign === undefined) return;
  throw new CornetError('OPTION_INVALID', `The argument ${quoteName(foreign)} is not UTF-8.`, {
    hint: 'Rename the file or folder (convmv -f latin1 -t utf8 --notest NAME, or mv), or give a link to it that has a name in UTF-8.',
  });
}

/** Ends a command with an exit code of its own; everything has been said already. */
export class Exit extends Error {
  readonly code: number;

  constructor(code: number) {
    super(`exit ${code}`);
    this.code = code;
  }
}
