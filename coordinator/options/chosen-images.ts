/** Which images of a data folder count, as options and a run's configuration say. */
import { existsSync } from 'node:fs';
import { relative, resolve, sep } from 'node:path';
import { type ChoiceFile, choiceFlags } from '../../shared/data/data-choice.ts';
import type { RunConfig } from '../../shared/run-config.ts';

type ChoiceFiles = Readonly<Record<ChoiceFile, string | null>>;

export const choiceFiles = Object.keys(choiceFlags) as ChoiceFile[];

/**
 * The files of a choice as a configuration has them: relative to the data folder where they lie in it, so that each host
 * finds them in its own.
 * @param options paths as they were given: relative to the working directory, or else to the data folder
 * @param former what the run was started with, when it is resumed
 */
export function chooseFiles(
  dataPath: string,
  options: Partial<Record<ChoiceFile, string | undefined>>,
  former: ChoiceFiles | null = null,
): Record<ChoiceFile, string | null> {
  const chosen = choiceFiles.map((name) => {
    const given = options[name];
    return [name, given === undefined ? (former?.[name] ?? null) : placeOf(dataPath, given)] as const;
  });
  return Object.fromEntries(chosen) as Record<ChoiceFile, string | null>;
}

function placeOf(dataPath: string, file: string): string {
  const inFolder = resolve(dataPath, file);
  const path = !existsSync(resolve(file)) && existsSync(inFolder) ? inFolder : resolve(file);
  const below = relative(resolve(dataPath), path);
  return below === '..' || below.startsWith(`..${sep}`) ? path : below;
}

/** The options of `coordinator validate` for the validation images of a training. */
export function validationImages({ result, options }: Pick<RunConfig, 'result' | 'options'>): string[] {
  const { dataPath } = options;
  const files = (['valList', 'classes', 'exclude'] as const).flatMap((name) => {
    const file = options[name];
    return file === null ? [] : [choiceFlags[name], resolve(dataPath, file)];
  });
  const { valSplit, seed } = result;
  const held = valSplit === 0 ? [] : ['--val-split', String(valSplit), '--seed', String(seed)];
  return ['--data-path', dataPath, ...files, ...held];
}
