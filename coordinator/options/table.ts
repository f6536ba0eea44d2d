/** Every option of every command: flags, bounds, defaults, help, resume and docs/cli.md are made from this table. */
import type { z } from 'zod';
import type { SplitName } from '../../shared/data/dataset-index.ts';
import type { Recorded } from '../../shared/models/record.ts';
import { augmentationRows } from './augmentation-rows.ts';
import { checkpointRows } from './checkpoint-rows.ts';
import { dataRows } from './data-rows.ts';
import { featureRows } from './feature-rows.ts';
import { modelRows } from './model-rows.ts';
import { outputRows } from './output-rows.ts';
import { recipeRows } from './recipe-rows.ts';
import { type CommandName, groups, type OptionRow } from './row.ts';
import { runRows } from './run-rows.ts';

const optionTable = {
  ...runRows,
  ...outputRows,
  ...checkpointRows,
  ...modelRows,
  ...dataRows,
  ...recipeRows,
  ...augmentationRows,
  ...featureRows,
} as const;

type Table = typeof optionTable;
export type OptionName = keyof Table;
type ValueOf<N extends OptionName> = z.output<Table[N]['value']>;
type OptionsOf<C extends CommandName> = {
  [N in OptionName]: C extends Table[N]['commands'][number] ? N : never;
}[OptionName];

/** What a command is given. An option that is omitted is not there. */
type Given<C extends CommandName> = { [N in OptionsOf<C>]?: ValueOf<N> };
/** The same, where commander or the demand for it makes sure of some. */
type With<G, N extends keyof G> = Omit<G, N> & Required<Pick<G, N>>;

/** Undefined: not given, so the default holds, or what a resumed run was started with. */
export type StartOptions = With<Given<'start'>, 'outputPath'> & WithRecorded;

export type InferenceOptions = With<
  Given<'validate'>,
  'weights' | 'seed' | 'dataPath' | 'outputPath' | 'precision' | 'backend' | 'skipUnreadable'
> &
  WithRecorded;

/** Of a command whose `model` was a file: what that has said (`withOwnModel`). */
interface WithRecorded {
  readonly own?: Recorded | undefined;
}

export type ReportOptions = With<Given<'report'>, 'output'>;

export type DataOptions = Omit<
  With<Given<'data'>, 'dataPath' | 'seed' | 'imageSize' | 'sample' | 'duplicates' | 'json'>,
  'splits'
> & { readonly splits: readonly SplitName[] };

export type FeatureOptions = InferenceOptions &
  With<
    Pick<Given<'test'>, keyof typeof featureRows | 'recursive'>,
    'format' | 'dtype' | 'recursive' | 'frames'
  >;

export type PredictOptions = Omit<InferenceOptions, 'seed'> &
  With<Pick<Given<'predict'>, 'recursive' | 'topK'>, 'recursive' | 'topK'>;

export type ExportOptions = With<Given<'export'>, 'force' | 'onnx' | 'hub' | 'brainScore'>;

export interface NamedRow extends OptionRow {
  readonly attribute: OptionName;
  /** What sentences call it. */
  readonly name: string;
}

export const optionRows: readonly NamedRow[] = Object.entries<OptionRow>(optionTable).map(
  ([attribute, row]) => ({
    ...row,
    attribute: attribute as OptionName,
    name: row.name ?? row.flags.match(/--[\w-]+/)![0],
  }),
);

/** The options of one command as it tells them, group by group. */
export function rowsOf(command: CommandName): NamedRow[] {
  return optionRows
    .filter(({ commands }) => commands.includes(command))
    .map((row) => ({ ...row, ...row.variants?.[command] }))
    .sort((a, b) => groups.indexOf(a.group) - groups.indexOf(b.group));
}

/** What an option of `start` is when nobody gives it. */
export function defaultOf<N extends OptionName & keyof Defaults>(name: N): ValueOf<N> {
  return (optionTable[name] as unknown as { default: ValueOf<N> }).default;
}
type Defaults = { [N in OptionName as Table[N] extends { default: unknown } ? N : never]: true };

/** By its place in config.json: `seed`, `options.epochs`. */
export function nameOfSetting(setting: string): string | null {
  return optionRows.find((row) => row.setting === setting)?.name ?? null;
}
