/** What both commands do alike on the command line. */
import { type Command, CommanderError } from 'commander';
import { CornetError, exitCodes } from '../errors.ts';
import { fromRedis } from '../redis/redis-replies.ts';
import { printable, quoteName } from '../util/printable.ts';
import { isOutOfFiles } from './open-files.ts';
import { withoutUrls } from './option-value.ts';
import { asCalled, ownCommand } from './own-command.ts';
import { endUnexpectedly } from './unexpected-end.ts';

/** The original's names (`--batch_size`) are ours with underscores. */
function kebabCase(argv: readonly string[]): string[] {
  return argv.map((argument) =>
    argument.startsWith('--') ? argument.replace(/^--[^=]+/, (name) => name.replaceAll('_', '-')) : argument,
  );
}

/**
 * Runs a command to its exit code: a user's error is one sentence, a code and a way out; anything else is our fault.
 * @param translate other words that users know, into those of the program
 */
export async function runCommand(
  program: Command,
  argv: readonly string[],
  translate: (argv: readonly string[]) => string[] = (words) => [...words],
): Promise<number> {
  // Whoever watched has gone (`| head`): that is no reason to stop, and nobody is there to be told.
  for (const stream of [process.stdout, process.stderr]) stream.on('error', () => undefined);
  endUnexpectedly(tellError);
  // Process lists show arguments; this writes over them.
  if (argv.some((argument) => /^--redis\b|:\/\//.test(argument))) process.title = program.name();
  for (const command of [program, ...program.commands]) {
    command
      .showHelpAfterError(usageOf(command, program))
      .exitOverride()
      .configureOutput({
        outputError: (text, write) => write(`${withoutUrls(text.replace(/\n$/, ''))} [OPTION_INVALID]\n`),
      });
  }
  try {
    refuseForeignBytes(argv);
    await program.parseAsync(translate(kebabCase(argv)), { from: 'user' });
    return exitCodes.complete;
  } catch (thrown) {
    const error = fromRedis(thrown);
    if (error instanceof CommanderError) return error.exitCode === 0 ? exitCodes.complete : exitCodes.usage;
    if (error instanceof Exit) return error.code;
    return tellError(error);
  }
}

/** What stands under an error of the command line: what cannot be left out, and where the rest is explained. */
function usageOf(command: Command, program: Command): string {
  const room = program.name() === 'worker' ? 'worker' : 'coordinator';
  if (command === program) return `See \`${ownCommand(room, '--help')}\`.`;
  const needed = command.options.filter(({ mandatory }) => mandatory);
  const options = needed.map(({ flags }) => flags.replace(/^-\w, /, ''));
  const called = ownCommand(room, command.name());
  const usage = [called, ...options, command.usage()].join(' ');
  return `Usage: ${usage}\nSee \`${called} --help\`.`;
}

/** @returns the exit code */
function tellError(thrown: unknown): number {
  const error = isOutOfFiles(thrown) ? outOfFiles(thrown as Error) : thrown;
  if (error instanceof CornetError) {
    process.stderr.write(`error: ${asCalled(error.message)} [${error.code}]\n${asCalled(error.hint)}\n`);
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
