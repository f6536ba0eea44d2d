/** From the table to commander: flags, checks, help in groups. */
import { type Command, CommanderError, Option } from 'commander';
import { z } from 'zod';
import { parserOf, type ReadOptions } from '../../shared/process/option-value.ts';
import type { CommandName } from './row.ts';
import { type NamedRow, rowsOf } from './table.ts';

const helpGroup = 'Help:';

/** Commands with defaults that commander sets; `start` must see what was really given, for a resume. */
const toldOnly: ReadonlySet<CommandName> = new Set(['start']);

/** Adds the command's options. */
export function addOptions(command: Command, name: CommandName): Command {
  const rows = rowsOf(name);
  for (const row of rows) command.addOption(optionOf(row, name));
  const terms = new Map(rows.map((row) => [row.flags, termOf(row)]));
  command.configureHelp({
    optionTerm: ({ flags }) => terms.get(flags) ?? flags,
    optionDescription: ({ description }) => description,
  });
  const complete = rows.every(({ rare }) => rare !== true);
  const shown = complete ? 'show this help' : 'show the common options';
  command.addHelpOption(new Option('-h, --help', shown).helpGroup(helpGroup));
  if (complete) return command;
  command.addOption(new Option('--help-all', 'show every option').helpGroup(helpGroup));
  command.on('option:help-all', () => {
    for (const option of command.options) {
      option.hidden = false;
      const row = rows.find(({ flags }) => flags === option.flags);
      if (row !== undefined) option.description = describe(row, name, { all: true });
    }
    command.outputHelp();
    throw new CommanderError(0, 'commander.helpDisplayed', '(outputHelp)');
  });
  return command;
}

function optionOf(row: NamedRow, command: CommandName): Option {
  const option = new Option(row.flags, describe(row, command, { all: false })).helpGroup(`${row.group}:`);
  if (row.env !== undefined) option.env(row.env);
  const choices = choicesOf(row);
  if (choices !== null) option.choices(choices);
  if (!option.variadic && !isSwitch(row))
    option.argParser(parserOf(row.name, row.value, readOptions(row, command)));
  if (row.default !== undefined && !toldOnly.has(command) && !option.negate) option.default(row.default);
  option.makeOptionMandatory(row.requiredBy?.includes(command) ?? false);
  option.hidden = row.rare === true;
  return option;
}

export function readOptions({ read }: NamedRow, command: CommandName): ReadOptions {
  return {
    read,
    hint: `\`coordinator ${command} --help-all\` lists every option with its unit and default.`,
  };
}

export function isSwitch({ value }: NamedRow): boolean {
  return value instanceof z.ZodBoolean;
}

export function choicesOf({ value }: NamedRow): string[] | null {
  return value instanceof z.ZodEnum ? value.options.map(String) : null;
}

function termOf({ flags, formerly }: NamedRow): string {
  return formerly === undefined ? flags : flags.replace(`${formerly}, `, '');
}

/** The help's sentence, with choices, default and environment variable behind it. */
function describe(row: NamedRow, command: CommandName, { all }: { all: boolean }): string {
  const choices = choicesOf(row);
  const told = defaultToldOf(row);
  const extra = [
    ...(choices === null ? [] : [choices.join(', ')]),
    ...(told === null ? [] : [`default: ${told}`]),
    ...(row.env === undefined ? [] : [`env: ${row.env}`]),
    ...(row.requiredBy?.includes(command) ? ['required'] : []),
  ];
  const help = all && row.details !== undefined ? `${row.help}; ${row.details}` : row.help;
  return extra.length === 0 ? help : `${help} (${extra.join('; ')})`;
}

/** The default in words; null: there is none worth a word. */
export function defaultToldOf(row: NamedRow): string | null {
  if (row.default !== undefined) return isSwitch(row) ? null : (row.defaultTold ?? String(row.default));
  return row.defaultTold ?? null;
}
