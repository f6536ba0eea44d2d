/** `--config FILE`: options from YAML or JSON by their long names, or from a run's config.json. */
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { CornetError } from '../../shared/errors.ts';
import { readValue, withoutUrls } from '../../shared/process/option-value.ts';
import { nearestNames } from '../../shared/util/nearest-names.ts';
import { oneLine, quoteName, shortened } from '../../shared/util/printable.ts';
import { type CommandName, choicesOf, hintOf, isSwitch } from './row.ts';
import { isRunConfig, optionsOfRun } from './run-options.ts';
import { type NamedRow, type OptionName, optionRows, rowsOf } from './table.ts';

const require = createRequire(import.meta.url);
/** Characters of a wrong value that the sentence about it quotes. */
const shown = 80;

type Settled = Map<OptionName, unknown>;

/**
 * It is read while the command line is, which commander does in one go: hence not asynchronously.
 * @throws CornetError OPTION_INVALID
 */
export function readConfigFile(path: string, command: CommandName): Settled {
  const content = parse(path);
  if (typeof content !== 'object' || content === null || Array.isArray(content)) {
    throw invalid(`${quoteName(path)} holds no options: it must have lines such as "batch-size: 256".`);
  }
  return isRunConfig(content) ? optionsOfRun(content, path, command) : readOptions(content, path, command);
}

function parse(path: string): unknown {
  const text = readText(path);
  try {
    if (/^\s*\{/.test(text)) return JSON.parse(text);
  } catch {
    // A mapping of YAML can begin with a brace, too, and YAML's errors name the line.
  }
  // Loaded only here: it takes longer than all else that reading a command line needs.
  const yaml = require('yaml') as typeof import('yaml');
  try {
    return yaml.parse(text);
  } catch (error) {
    const [sentence] = (error as Error).message.split('\n');
    throw invalid(`${quoteName(path)} is neither YAML nor JSON: ${oneLine(sentence!.replace(/:$/, ''))}.`);
  }
}

function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    const why = code === 'ENOENT' ? 'it does not exist' : message;
    throw invalid(`--config: ${quoteName(path)} cannot be read: ${why}.`);
  }
}

function readOptions(content: object, path: string, command: CommandName): Settled {
  const rows = new Map(rowsOf(command).flatMap((row) => keysOf(row).map((key) => [key, row])));
  rows.delete('config');
  const settled: Settled = new Map();
  for (const [key, value] of Object.entries(content)) {
    const row = rows.get(camelCase(key));
    if (row === undefined) throw unknownKey(key, path, command);
    if (settled.has(row.attribute)) {
      throw invalid(
        `${quoteName(path)}: ${quoteName(key)} is another name of an option that the file has set.`,
      );
    }
    if (value !== null) settled.set(row.attribute, read(`${quoteName(path)}: ${key}`, row, value, command));
  }
  return settled;
}

function read(name: string, row: NamedRow, value: unknown, command: CommandName): unknown {
  const { value: schema, read } = row;
  if (isSwitch(row) && typeof value === 'boolean') return value;
  const written = typeof value === 'string' ? value : JSON.stringify(value);
  const isText = typeof value === 'string' || typeof value === 'number';
  if (isText && !isSwitch(row)) return readValue(name, schema, written, { read, hint: hintOf(command) });
  const expected = isSwitch(row) ? 'true or false' : (choicesOf(row)?.join(', ') ?? 'a single value');
  throw invalid(`${name} must be ${expected}, not ${quoteName(shortened(withoutUrls(written), shown))}.`);
}

function unknownKey(key: string, path: string, command: CommandName): CornetError {
  const elsewhere = optionRows.find((row) => keysOf(row).includes(camelCase(key)));
  if (elsewhere !== undefined) {
    return invalid(`${quoteName(path)}: ${quoteName(key)} is not an option of \`coordinator ${command}\`.`);
  }
  const names = rowsOf(command).map((row) => row.name.replace(/^--(no-)?/, ''));
  return new CornetError('OPTION_INVALID', `${quoteName(path)}: there is no option ${quoteName(key)}.`, {
    hint: `Nearest names: ${nearestNames(key, names).join(', ')}.`,
  });
}

/** What a file may call an option: its long flags, and its name in config.json. */
function keysOf({ flags, setting, attribute }: NamedRow): string[] {
  const long = [...flags.matchAll(/--([\w-]+)/g)].map(([, name]) => camelCase(name!));
  return [
    ...new Set([attribute, ...long, ...(setting === undefined ? [] : [setting.replace(/^\w+\./, '')])]),
  ];
}

function camelCase(key: string): string {
  return key.replace(/[-_]+(\w)/g, (_, letter: string) => letter.toUpperCase());
}

function invalid(sentence: string): CornetError {
  const hint = 'Its keys are the long names of options: see --help-all.';
  return new CornetError('OPTION_INVALID', sentence, { hint });
}
