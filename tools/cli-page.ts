import type { Command } from 'commander';
import { program } from '../coordinator/cli.ts';
import { examples } from '../coordinator/options/examples.ts';
import {
  type CommandName,
  choicesOf,
  defaultToldOf,
  demandOf,
  isSwitch,
} from '../coordinator/options/row.ts';
import { type NamedRow, rowsOf } from '../coordinator/options/table.ts';
import { describeValue, isNumeric } from '../shared/process/option-value.ts';

/** Where `npm run docs:cli` writes the page. */
export const cliPagePath = 'docs/cli.md';

/** The page of all options, made from the one table. */
export function cliPage(): string {
  return `# Command line

<!-- Made from coordinator/options/ by \`npm run docs:cli\`; a test compares the two. -->

Every command of \`coordinator\` and its options. \`coordinator start --help\` shows the common options,
\`--help-all\` all of them. Underscores work as well (\`--batch_size\`).

In a path, a leading \`~\` is the home folder, also in \`--output-path=~/x\` and in a configuration file, where no shell
expands it.

The result depends on the options marked *fixed*: they cannot change on resume. A resume may change the others. It keeps
what \`config.json\` stores; repeat \`--redis\`, the \`--wait\` options, the \`--metrics\` and \`--blob\` options,
\`--control-token-file\` and \`--json\`. A run that stops prints the command with all of them. To resume \`validate\`,
\`test\` or \`predict\`, run the same command again.

## Configuration files

\`--config FILE\` reads options from YAML or JSON. Its keys are the long option names, as \`batch-size\` or
\`batchSize\`; flags win over the file. Durations are in seconds, and paths are relative to the current folder, as on the
command line.

\`\`\`yaml
model: RT
data-path: /data/imagenet
batch-size: 256
lr: 0.1
cpu-workers: 0
lanes: 8
\`\`\`

The file can also be the \`config.json\` of a training: \`start\` then takes all of that run's options, with the file
that it started from; \`validate\`, \`test\` and \`predict\` take those that they share with it, except the batch
size, the weights and, for \`test\` and \`predict\`, the data path. On resume, \`weights\`, \`weights-key\` and \`restore-path\` of a file have no effect.

${program.commands.map(section).join('\n')}`;
}

function section(command: Command): string {
  const name = command.name();
  const usage = ['coordinator', name, ...command.registeredArguments.map(argument)].join(' ');
  const rows = rowsOf(name as CommandName);
  const calls = (examples[name as CommandName] ?? []).map((args) => `coordinator ${name} ${args}\n`);
  const block = calls.length === 0 ? '' : `\n\`\`\`sh\n${calls.join('')}\`\`\`\n`;
  const text = `## ${name}\n\n\`${usage}\`\n\n${command.description()}\n${block}`;
  return rows.length === 0 ? text : `${text}\n${table(rows, name as CommandName)}\n`;
}

function argument(argument: Command['registeredArguments'][number]): string {
  const shown = argument.name() + (argument.variadic ? '...' : '');
  return argument.required ? `<${shown}>` : `[${shown}]`;
}

function table(rows: readonly NamedRow[], command: CommandName): string {
  const resumes = ['start', 'validate', 'test', 'predict'].includes(command);
  const lines = rows.map((row) => {
    const { help, details, kind } = row;
    const flags = row.flags.split(', ').map((flag) => `\`${flag}\``);
    const meaning = details === undefined ? help : `${help}; ${details}`;
    return [
      flags.join(', '),
      valueCell(row),
      defaultCell(row, command),
      cell(meaning),
      ...(resumes ? [kind === 'result' ? 'fixed' : ''] : []),
    ];
  });
  const head = ['option', 'value', 'default', 'meaning', ...(resumes ? ['on resume'] : [])];
  const line = (cells: readonly string[]) => `| ${cells.join(' | ')} |`;
  return [line(head), `|${'---|'.repeat(head.length)}`, ...lines.map(line)].join('\n');
}

function defaultCell(row: NamedRow, command: CommandName): string {
  const demand = demandOf(row, command);
  if (demand !== null) return demand;
  return cell(defaultToldOf(row) ?? (row.env === undefined ? '' : `\`${row.env}\``));
}

function valueCell(row: NamedRow): string {
  if (isSwitch(row)) return '';
  const choices = choicesOf(row);
  if (choices !== null) return choices.join(', ');
  if (row.unit === undefined && row.read === undefined) return 'text';
  const unit = row.unit === 'none' || !isNumeric(row.value) ? '' : ` (${row.unit})`;
  return `${describeValue(row.value)}${unit}`.replace(/^a /, '');
}

/** Placeholders such as <class> would be taken for HTML. */
function cell(text: string): string {
  return text.replaceAll('|', '\\|').replace(/(\S*<[^>]+>\S*?)([,;]?)(?=\s|$)/g, '`$1`$2');
}
