/** Options that a program gives by their names, held to what a command line is held to. */
import { CornetError } from '../../shared/errors.ts';
import { checkValue, readValue } from '../../shared/process/option-value.ts';
import { nearestNames } from '../../shared/util/nearest-names.ts';
import { quoteName } from '../../shared/util/printable.ts';
import { readConfigFile } from './config-file.ts';
import { type CommandName, setsDefault, startsWith } from './row.ts';
import { type NamedRow, type OptionName, rowsOf } from './table.ts';

/** Options of commands that say how they print. */
const ofTerminals: ReadonlySet<string> = new Set(['json', 'dryRun']);

/** What a program may give, group by group as the command tells them. */
export function rowsForPrograms(command: CommandName): NamedRow[] {
  return rowsOf(command).filter(({ attribute }) => !ofTerminals.has(attribute));
}

/**
 * The command's options with the defaults that its command line would set.
 * @throws CornetError OPTION_INVALID
 */
export function checkOptions(command: CommandName, given: object): Partial<Record<OptionName, unknown>> {
  refuseNoObject(given);
  const rows = rowsForPrograms(command);
  const values = new Map(Object.entries(given).filter(([, value]) => value !== undefined));
  refuseUnknown(
    [...values.keys()],
    rows.map(({ attribute }) => attribute),
  );
  const checked = rows.flatMap((row) => {
    const { attribute, value } = row;
    return values.has(attribute) ? [[attribute, checkValue(attribute, value, values.get(attribute))]] : [];
  });
  const options: Partial<Record<OptionName, unknown>> = Object.fromEntries(checked);
  const fromFile = settledByFile(options, command, rows);
  const own = 'own' as OptionName; // of a run's config.json: what its custom model computes
  if (fromFile.has(own)) options[own] = fromFile.get(own);
  for (const row of rows) {
    const { attribute, requiredBy } = row;
    options[attribute] ??= fromFile.get(attribute) ?? fromEnvironment(row);
    if (setsDefault(row, command)) options[attribute] ??= row.default;
    if (options[attribute] === undefined && requiredBy?.includes(command)) {
      throw new CornetError('OPTION_INVALID', `${attribute} is missing.`, { hint: `It is ${row.help}.` });
    }
    if (options[attribute] === undefined) delete options[attribute];
  }
  return options;
}

export function refuseNoObject(given: unknown): void {
  if (typeof given === 'object' && given !== null && !Array.isArray(given)) return;
  throw new CornetError('OPTION_INVALID', 'The options must be an object: { outputPath: … }.');
}

export function refuseUnknown(names: readonly string[], known: readonly string[]): void {
  const unknown = names.find((name) => !known.includes(name));
  if (unknown === undefined) return;
  throw new CornetError('OPTION_INVALID', `There is no option ${quoteName(unknown)}.`, {
    hint: `Nearest names: ${nearestNames(unknown, known).join(', ')}.`,
  });
}

/** What a configuration file says, without what options beside it take the place of. */
function settledByFile(
  options: Partial<Record<OptionName, unknown>>,
  command: CommandName,
  rows: readonly NamedRow[],
): Map<OptionName, unknown> {
  if (options.config === undefined) return new Map();
  const settled = readConfigFile(options.config as string, command);
  const excluded = rows.flatMap(({ attribute, excludes }) =>
    options[attribute] === undefined ? [] : (excludes ?? []),
  );
  const resumes = (options.resume ?? settled.get('resume')) === true;
  for (const name of [...excluded, ...(resumes ? startsWith : [])]) settled.delete(name as OptionName);
  return settled;
}

function fromEnvironment({ env, value }: NamedRow): unknown {
  const text = env === undefined ? undefined : process.env[env];
  return text === undefined || text === '' ? undefined : readValue(env!, value, text);
}
