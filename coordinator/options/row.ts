/** What the table says about an option. */
import { z } from 'zod';

export type CommandName =
  | 'start'
  | 'validate'
  | 'test'
  | 'predict'
  | 'layers'
  | 'data'
  | 'check-data'
  | 'status'
  | 'view'
  | 'list'
  | 'checkpoint'
  | 'drain'
  | 'stop'
  | 'verify'
  | 'report'
  | 'export'
  | 'doctor'
  | 'demo';

/** Commands that tell a run something. */
export const ordering = ['checkpoint', 'drain', 'stop'] as const satisfies readonly CommandName[];

/** In the order of the help. */
export const groups = [
  'Run',
  'Model and data',
  'Training',
  'Features',
  'Checkpoints and validation',
  'Workers on this machine',
  'Redis and other machines',
  'Output and monitoring',
] as const;
type Group = (typeof groups)[number];

/** What may differ from command to command. */
interface Told {
  readonly group: Group;
  readonly help: string;
  /** More of the sentence, for `--help-all` and docs/cli.md. */
  readonly details?: string | undefined;
  /** What holds when the option is omitted; `start` looks first at what a resumed run was started with. */
  readonly default?: unknown;
  /** The default in words, where it is not a value or is not known here. */
  readonly defaultTold?: string | undefined;
  /** Only in `--help-all`. */
  readonly rare?: boolean;
}

export interface OptionRow extends Told {
  /** As commander takes them: the last long flag gives the attribute its name. */
  readonly flags: string;
  /** What help and sentences call it: by default the first long flag. */
  readonly name?: string;
  /** One of `flags` that is understood, but that no help shows. */
  readonly formerly?: string;
  /** Checks a value; a boolean: the flag takes none. */
  readonly value: z.ZodType;
  /** Values that stand for something, where `value` allows others, too. */
  readonly choices?: readonly string[];
  /** How text becomes what `value` checks, where that is not obvious. */
  readonly read?: (text: string) => unknown;
  /** May be given several times: then their texts are one, with commas between. */
  readonly several?: boolean;
  /** Of a number. */
  readonly unit?: string;
  readonly env?: string;
  readonly commands: readonly CommandName[];
  readonly requiredBy?: readonly CommandName[];
  /** Commands that cannot do without it in one case: in which. */
  readonly neededFor?: Partial<Record<CommandName, string>>;
  /** `result`: the bits depend on it, so that it cannot change on resume. */
  readonly kind: 'result' | 'free';
  /** Where config.json has it, in `result`, in `options`, or at the top. */
  readonly setting?: string;
  /** config.json does not remember it: the command that continues a run is given it again. */
  readonly repeats?: boolean;
  /** Has no meaning beside these, which a flag therefore takes out of a configuration file. */
  readonly excludes?: readonly string[];
  readonly variants?: Partial<Record<CommandName, Partial<Told>>>;
}

/** Keeps the types of a row, from which those of the commands' options are made. */
export function row<const R extends OptionRow>(row: R): R {
  return row;
}

/** A flag without a value. */
export function isSwitch({ value }: OptionRow): boolean {
  return value instanceof z.ZodBoolean;
}

export function choicesOf({ value, choices }: OptionRow): readonly string[] | null {
  if (choices !== undefined) return choices;
  return value instanceof z.ZodEnum ? value.options.map(String) : null;
}

/** Whether the command is given the default where the option is omitted: `start` must see what was really given, for a resume. */
export function setsDefault(row: OptionRow, command: CommandName): boolean {
  return row.default !== undefined && command !== 'start' && !isNegation(row);
}

/** `--no-flip`: the flag takes no value and says false. */
export function isNegation({ flags }: OptionRow): boolean {
  return /--no-/.test(flags);
}

/** What a run starts with plays no part when it is resumed. */
export const startsWith: readonly string[] = ['weights', 'weightsKey', 'restorePath'];

/** The default in words; null: there is none worth a word. */
export function defaultToldOf(row: OptionRow): string | null {
  if (row.default !== undefined) return isSwitch(row) ? null : (row.defaultTold ?? String(row.default));
  return row.defaultTold ?? null;
}

/** Whether the command needs it, in words; null: it does not. */
export function demandOf({ requiredBy, neededFor }: OptionRow, command: CommandName): string | null {
  if (requiredBy?.includes(command)) return 'required';
  const when = neededFor?.[command];
  return when === undefined ? null : `required for ${when}`;
}

/** The hint of an error about an option. */
export function hintOf(command: CommandName): string {
  const flag = withRare.has(command) ? '--help-all' : '--help';
  return `See \`coordinator ${command} ${flag}\` for every option with its default.`;
}

/** Commands with rare options, which only --help-all shows. */
const withRare: ReadonlySet<CommandName> = new Set(['start', 'validate', 'test', 'predict', 'data']);
