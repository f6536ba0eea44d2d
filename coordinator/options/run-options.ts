/** The options that a run was started with, from its config.json. */
import { resolve } from 'node:path';
import { CornetError } from '../../shared/errors.ts';
import { checkFormat } from '../../shared/process/check-format.ts';
import { anyConfig, isInference, type RunConfig, type StartingWeights } from '../../shared/run-config.ts';
import { quoteName } from '../../shared/util/printable.ts';
import { choiceFiles } from './chosen-images.ts';
import type { CommandName } from './row.ts';
import { type OptionName, rowsOf } from './table.ts';

/** A training's options that mean something else, or nothing, to a command that only uses its weights. */
const ofTrainingAlone: ReadonlySet<string> = new Set(['batchSize', 'weights', 'weightsKey']);

/** Commands whose images lie in a folder of their own, without the layout of a data set. */
const overFolder: ReadonlySet<CommandName> = new Set(['test', 'predict']);

/** Whether this is what a run folder's config.json holds, rather than options by their names. */
export function isRunConfig(content: object): boolean {
  return 'result' in content && 'options' in content;
}

/** @throws CornetError OPTION_INVALID, RUN_FORMAT */
export function optionsOfRun(content: unknown, path: string, command: CommandName): Map<OptionName, unknown> {
  checkFormat(content, path);
  const parsed = anyConfig.safeParse(content);
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    throw new CornetError(
      'OPTION_INVALID',
      `${quoteName(path)} is not a run's configuration of this version: ${issue?.path.join('.')}: ${issue?.message}.`,
    );
  }
  const config = parsed.data;
  if (isInference(config)) {
    throw new CornetError(
      'OPTION_INVALID',
      `${quoteName(path)} is the configuration of an inference run, which does not say where its weights are.`,
      { hint: "Use a training's config.json, or a file of options." },
    );
  }
  const values = valuesOf(config);
  const options = new Map<OptionName, unknown>();
  for (const { attribute, setting = attribute } of rowsOf(command)) {
    if (command !== 'start' && ofTrainingAlone.has(attribute)) continue;
    if (overFolder.has(command) && attribute === 'dataPath') continue;
    const value = values[setting];
    if (value !== undefined && value !== null) options.set(attribute, value);
  }
  const { model, custom } = config.result;
  // No file is needed: the run has what it says.
  if (custom !== undefined) options.set('own' as OptionName, { name: model, graph: custom, recipe: null });
  return options;
}

function valuesOf(config: RunConfig): Record<string, unknown> {
  const { result, options, backend, threads } = config;
  const { localWorkers, startingFile } = options;
  const free = Object.entries(options).map(([name, value]) => [`options.${name}`, value]);
  const { momentum, nesterov, betas, normalize, ...common } = result;
  return {
    ...common,
    ...normalize, // as --mean and --std
    ...(result.optimizer === 'adamw' ? { betas } : { momentum, nesterov }), // the others' are refused
    backend,
    threads,
    ...Object.fromEntries(free),
    ...filesOf(options),
    'options.joinTimeout': options.joinTimeout / 1000,
    'options.workerTimeout': options.workerTimeout / 1000,
    [localWorkers.device === 'cuda' ? 'ngpus' : 'cpuWorkers']: localWorkers.count,
    ...(startingFile === null ? {} : startOf(result.startingWeights, startingFile)),
  };
}

/** The files that choose images, as a command line has them. */
function filesOf(options: RunConfig['options']): Record<string, string> {
  const files = choiceFiles.flatMap((name) => {
    const file = options[name];
    return file === null ? [] : [[`options.${name}`, resolve(options.dataPath, file)]];
  });
  return Object.fromEntries(files) as Record<string, string>;
}

/** The options that let a run start with that file. */
function startOf(starting: StartingWeights, file: string): Record<string, unknown> {
  if (starting.from === 'seed') return {};
  const { from, key, head } = starting;
  return {
    [from === 'weights' ? 'weights' : 'restorePath']: file,
    weightsKey: key,
    ...(head === 'new' ? { newHead: true } : {}),
    ...(head === 'extended' ? { extendHead: true } : {}),
  };
}
