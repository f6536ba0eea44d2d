/** From the table to commander: flags, checks, help in groups. */
import { type Command, CommanderError, Option } from 'commander';
import { bounds } from '../../shared/option-bounds.ts';
import { parserOf, readValue } from '../../shared/process/option-value.ts';
import { readConfigFile } from './config-file.ts';
import { examples } from './examples.ts';
import {
  type CommandName,
  choicesOf,
  defaultToldOf,
  demandOf,
  hintOf,
  isSwitch,
  setsDefault,
  startsWith,
} from './row.ts';
import { type NamedRow, rowsOf } from './table.ts';

const helpGroup = 'Help:';

/** How commander calls what a configuration file says. */
const fromFile = 'config';

/** Adds the command's options. */
export function addOptions(command: Command, name: CommandName): Command {
  const rows = rowsOf(name);
  takeConfigFile(command, name, rows);
  for (const row of rows) command.addOption(optionOf(row, name));
  const terms = new Map(rows.map((row) => [row.flags, termOf(row)]));
  command.configureHelp({
    optionTerm: ({ flags }) => terms.get(flags) ?? flags,
    optionDescription: ({ description }) => description,
    commandDescription: (shown) => withExamples(shown, name),
  });
  const needed = rows.filter(({ neededFor }) => neededFor?.[name] !== undefined).map(({ flags }) => flags);
  if (needed.length > 0) command.usage([...needed, '[options]'].join(' '));
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
  if (!option.variadic && !isSwitch(row)) {
    const parse = parserOf(row.name, row.value, { read: row.read, hint: hintOf(command) });
    option.argParser(row.several === true ? joining(parse) : parse);
  }
  if (setsDefault(row, command)) option.default(row.default);
  option.makeOptionMandatory(row.requiredBy?.includes(command) ?? false);
  option.hidden = row.rare === true;
  return option;
}

/** Parses the texts of all times that the option is given as one. */
function joining(parse: (text: string) => unknown): (text: string) => unknown {
  const given: string[] = [];
  return (text) => {
    given.push(text);
    return parse(given.join(','));
  };
}

function withExamples(command: Command, name: CommandName): string {
  const called = [command.parent?.name(), command.name()].join(' ').trim();
  const lines = (examples[name] ?? []).map((args) => `  ${called} ${args}`);
  return [command.description(), ...(lines.length === 0 ? [] : ['', ...lines])].join('\n');
}

function termOf({ flags, formerly }: NamedRow): string {
  return formerly === undefined ? flags : flags.replace(`${formerly}, `, '');
}

/** The help's sentence, with choices, default and environment variable behind it. */
function describe(row: NamedRow, command: CommandName, { all }: { all: boolean }): string {
  const choices = choicesOf(row);
  const told = defaultToldOf(row);
  const demand = demandOf(row, command);
  const extra = [
    ...(choices === null ? [] : [choices.join(', ')]),
    ...(told === null ? [] : [`default: ${told}`]),
    ...(row.env === undefined ? [] : [`env: ${row.env}`]),
    ...(demand === null ? [] : [demand]),
  ];
  const help = all && row.details !== undefined ? `${row.help}; ${row.details}` : row.help;
  return extra.length === 0 ? help : `${help} (${extra.join('; ')})`;
}

/** Options of --config are those of the command line that are not there: commander's demands look at both. */
function takeConfigFile(command: Command, name: CommandName, rows: readonly NamedRow[]): void {
  const sourceOf = (option: string) => command.getOptionValueSource(option);
  const drop = (options: readonly string[]) => {
    for (const option of options) {
      if (sourceOf(option) === fromFile) command.setOptionValueWithSource(option, undefined, undefined);
    }
  };
  command.on('option:config', (given: string) => {
    const path = readValue('--config', bounds.path, given);
    for (const [option, value] of readConfigFile(path, name)) {
      if (sourceOf(option) !== 'cli') command.setOptionValueWithSource(option, value, fromFile);
    }
  });
  command.hook('preAction', () => {
    for (const { attribute, excludes } of rows) {
      if (excludes !== undefined && sourceOf(attribute) === 'cli') drop(excludes);
    }
    if (command.opts().resume === true) drop(startsWith);
  });
}
