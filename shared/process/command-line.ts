/** What both commands do alike on the command line. */
import { type Command, CommanderError } from 'commander';
import { CornetError, exitCodes } from '../errors.ts';
import { printable, quoteName } from '../util/printable.ts';
import { withoutUrls } from './option-value.ts';
import { asCalled, ownCommand } from './own-command.ts';
import { endUnexpectedly } from './unexpected-end.ts';
import { asUserError } from './user-error.ts';

/** The original's names (`--batch_size`) are ours with underscores. */
function kebabCase(argv: readonly string[]): string[] {
  return argv.map((argument) =>
    argument.startsWith('--') ? argument.replace(/^--[^=]+/, (name) => name.replaceAll('_', '-')) : argument,
  );
}

/** Other words that users know. */
export interface OtherWords {
  /** A command line in the program's own words. */
  translate(argv: readonly string[]): string[];
  /** What a word that is not understood may mean, of the options or commands that are known; null: nothing. */
  meantBy(word: string, known: readonly string[]): string | null;
}

/** Runs a command to its exit code: a user's error is one sentence, a code and a way out; anything else is our fault. */
export async function runCommand(
  program: Command,
  argv: readonly string[],
  { translate, meantBy }: OtherWords = { translate: (words) => [...words], meantBy: () => null },
): Promise<number> {
  // Whoever watched has gone (`| head`): that is no reason to stop, and nobody is there to be told.
  for (const stream of [process.stdout, process.stderr]) stream.on('error', () => undefined);
  endUnexpectedly(tellError);
  // Process lists show arguments; this writes over them.
  if (argv.some((argument) => /^--redis\b|:\/\//.test(argument))) process.title = program.name();
  for (const command of [program, ...program.commands]) {
    showUsage(command, program);
    command.exitOverride().configureOutput({
      outputError: (text, write) => {
        const { sentence, meant } = inOurWords(text.trimEnd(), { command, argv, meantBy });
        write(`error: ${withoutUrls(sentence)} [OPTION_INVALID]\n`);
        if (meant !== null) write(`Did you mean ${meant}?\n`);
      },
    });
  }
  try {
    refuseForeignBytes(argv);
    await program.parseAsync(translate(kebabCase(argv)), { from: 'user' });
    return exitCodes.complete;
  } catch (thrown) {
    if (thrown instanceof CommanderError) return thrown.exitCode === 0 ? exitCodes.complete : exitCodes.usage;
    if (thrown instanceof Exit) return thrown.code;
    return tellError(thrown);
  }
}

/** What commander finds wrong, as this program says it. */
function inOurWords(
  text: string,
  { command, argv, meantBy }: { command: Command; argv: readonly string[]; meantBy: OtherWords['meantBy'] },
): { sentence: string; meant: string | null } {
  const options = command.options.map(({ long }) => long ?? '');
  const known = [...options, ...command.commands.map((one) => one.name())];
  const unheardOf = (what: string, word: string, alike: string | null) => ({
    sentence: `There is no ${what} ${word}.`,
    meant: meantBy(word, known) ?? alike,
  });
  const [, message = text, alike = null] =
    /^error: (.*?)(?:\n\(Did you mean (?:one of )?(.*?)\?\))?$/s.exec(text) ?? [];
  const [, what, word] = /^unknown (option|command) '(.+?)'$/.exec(message) ?? [];
  if (word !== undefined) return unheardOf(what!, word, alike);
  const [, required] = /^required option '(?:-\w, )?(.+)' not specified$/.exec(message) ?? [];
  if (required !== undefined) {
    // A misspelt one may be the very one that is missing.
    const longs = kebabCase(argv).filter((argument) => /^--[a-z]/.test(argument));
    const misspelt = longs.map((long) => long.replace(/=.*/s, '')).find((long) => !taken(long, options));
    if (misspelt !== undefined) return unheardOf('option', misspelt, null);
    return { sentence: `The option ${required} is missing.`, meant: null };
  }
  const [, argument] = /^missing required argument '(.+)'$/.exec(message) ?? [];
  if (argument !== undefined) return { sentence: `The argument <${argument}> is missing.`, meant: null };
  const [, without] = /^option '(?:-\w, )?(.+)' argument missing$/.exec(message) ?? [];
  if (without !== undefined) return { sentence: `The option ${without} needs a value.`, meant: null };
  return { sentence: `${message[0]!.toUpperCase()}${message.slice(1).replace(/\.$/, '')}.`, meant: null };
}

/** Options that every command takes besides its own. */
const common: readonly string[] = ['--help', '--version'];

function taken(long: string, options: readonly string[]): boolean {
  return options.includes(long) || common.includes(long);
}

/** What cannot be left out stands in a command's usage, in its help and under its errors. */
function showUsage(command: Command, program: Command): void {
  const needed = command.options.filter(({ mandatory }) => mandatory);
  const flags = needed.map((option) => option.flags.replace(/^-\w, /, ''));
  command.usage([...flags, command.usage()].join(' '));
  const room = program.name() === 'worker' ? 'worker' : 'coordinator';
  const called = ownCommand(room, command === program ? null : command.name());
  const instead = needed.flatMap(({ long, envVar }) =>
    envVar === undefined ? [] : [`; ${envVar} can replace ${long}`],
  );
  command.showHelpAfterError(
    command === program
      ? `See \`${called} --help\`.`
      : `Usage: ${called} ${command.usage()} (--help says more${instead.join('')})`,
  );
}

/** @returns the exit code */
function tellError(thrown: unknown): number {
  const error = asUserError(thrown);
  if (error instanceof CornetError) {
    process.stderr.write(`error: ${asCalled(error.message)} [${error.code}]\n${asCalled(error.hint)}\n`);
    return error.exitCode;
  }
  const stack = error instanceof Error ? (error.stack ?? error.message) : String(error);
  process.stderr.write(`error: ${printable(stack)} [INTERNAL]\n`);
  return exitCodes.error;
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
