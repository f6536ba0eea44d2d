/** Command lines as they may be shown. */
import { z } from 'zod';
import { ownCommand } from '../../shared/process/own-command.ts';
import { redactUrl } from '../../shared/redis/redis.ts';
import { type CommandName, isNegation, isSwitch, type OptionRow } from './row.ts';
import { type OptionName, rowsOf } from './table.ts';

const secret = '--redis';

/**
 * The one that this process was given, as the user would type it, without passwords.
 * @param argv as Node has it
 */
export function ownCommandLine(argv: readonly string[] = process.argv): string {
  const [, , command = '', ...given] = argv;
  const args = given.map((word, i) => {
    if (given[i - 1] === secret) return redactUrl(word);
    if (word.startsWith(`${secret}=`)) return `${secret}=${redactUrl(word.slice(secret.length + 1))}`;
    return word;
  });
  return ownCommand('coordinator', command, args);
}

/** The one that gives a command these options, without passwords. */
export function commandLineOf(command: CommandName, options: Partial<Record<OptionName, unknown>>): string {
  const args = rowsOf(command).flatMap((row) => {
    const value = options[row.attribute];
    return flagOf(row, row.name === secret && typeof value === 'string' ? redactUrl(value) : value);
  });
  return ownCommand('coordinator', command, args);
}

/** An option's flag with its value; empty: it is not given, or is what it is without the flag. */
export function flagOf(row: OptionRow & { readonly name: string }, value: unknown): string[] {
  if (value === undefined) return [];
  if (isSwitch(row)) return value === isNegation(row) ? [] : [row.name];
  const text = Array.isArray(value) ? value.join(',') : String(z.encode(row.value, value));
  return [row.name, text];
}
