/** What both commands do alike on the command line. */
import { type Command, CommanderError, InvalidArgumentError } from 'commander';
import { CornetError, exitCodes } from './errors.ts';
import { fromRedis } from './redis.ts';

/** The original's names (`--batch_size`) are ours with underscores. */
export function kebabCase(argv: readonly string[]): string[] {
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
  // Process lists show arguments; this writes over them.
  if (argv.some((argument) => /:\/\/[^/]*@/.test(argument))) process.title = program.name();
  for (const command of [program, ...program.commands]) {
    command.exitOverride().configureOutput({
      outputError: (text, write) => write(text.replace(/\n$/, ' [OPTION_INVALID]\n')),
    });
  }
  try {
    await program.parseAsync(kebabCase(argv), { from: 'user' });
    return exitCodes.complete;
  } catch (thrown) {
    const error = fromRedis(thrown);
    if (error instanceof CommanderError) return error.exitCode === 0 ? exitCodes.complete : exitCodes.usage;
    if (error instanceof Exit) return error.code;
    if (error instanceof CornetError) {
      process.stderr.write(`error: ${error.message} [${error.code}]\n${error.hint}\n`);
      return error.exitCode;
    }
    process.stderr.write(`error: ${error instanceof Error ? error.stack : String(error)} [INTERNAL]\n`);
    return exitCodes.error;
  }
}

/** Ends a command with an exit code of its own; everything has been said already. */
export class Exit extends Error {
  readonly code: number;

  constructor(code: number) {
    super(`exit ${code}`);
    this.code = code;
  }
}
