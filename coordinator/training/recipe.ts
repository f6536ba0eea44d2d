/** The optimizer, the schedule of its learning rate, and the loss: from the options of `coordinator start`. */
import { plainRecipe, recipes } from '../../shared/defaults.ts';
import { CornetError } from '../../shared/errors.ts';
import { buildModel } from '../../shared/models/family.ts';
import type { ModelName } from '../../shared/models/model.ts';
import type { ResultOptions } from '../../shared/run-config.ts';
import { quoteName } from '../../shared/util/printable.ts';
import { readScales } from '../../shared/util/scales.ts';
import { defaultOf, type StartOptions } from '../options/table.ts';

type Recipe = Pick<
  ResultOptions,
  'learningRate' | 'stepSize' | 'momentum' | 'weightDecay' | keyof typeof plainRecipe
>;

/** @throws CornetError OPTION_INVALID for what PyTorch would refuse, or what would have no effect */
export function chooseRecipe(options: StartOptions, model: ModelName, times: number): Recipe {
  const usual = recipes[model];
  const epochs = options.epochs ?? usual.epochs;
  const schedule = options.schedule ?? plainRecipe.schedule;
  const ends = schedule === 'cosine' || schedule === 'poly';
  const recipe: Recipe = {
    learningRate: options.learningRate ?? usual.learningRate,
    stepSize: options.stepSize ?? usual.stepSize,
    momentum: options.momentum ?? defaultOf('momentum'),
    weightDecay: options.weightDecay ?? defaultOf('weightDecay'),
    schedule,
    scheduleEpochs: ends ? epochs : null,
    warmupEpochs: options.warmupEpochs ?? plainRecipe.warmupEpochs,
    minLr: options.minLr ?? plainRecipe.minLr,
    nesterov: options.nesterov ?? plainRecipe.nesterov,
    labelSmoothing: options.labelSmoothing ?? plainRecipe.labelSmoothing,
    lrScale: options.lrScale ?? plainRecipe.lrScale,
  };
  const { learningRate, warmupEpochs, minLr } = recipe;
  if (minLr > 0 && !ends) {
    throw new CornetError(
      'OPTION_INVALID',
      `--min-lr ${minLr} is where --schedule cosine and poly end; --schedule ${schedule} does not come to it.`,
      { hint: 'Use --schedule cosine, or omit --min-lr.' },
    );
  }
  if (minLr > learningRate) {
    throw new CornetError('OPTION_INVALID', `--min-lr ${minLr} is more than --lr ${learningRate}.`);
  }
  if (warmupEpochs > epochs) {
    throw new CornetError(
      'OPTION_INVALID',
      `--warmup-epochs ${warmupEpochs} is more than --epochs ${epochs}: the warm-up would not end.`,
    );
  }
  if (recipe.nesterov && recipe.momentum === 0) {
    throw new CornetError('OPTION_INVALID', '--nesterov needs a --momentum greater than 0.');
  }
  checkNames(recipe.lrScale, model, times);
  return recipe;
}

/** @throws CornetError OPTION_INVALID for a name that no parameter of the model begins with */
function checkNames(lrScale: string, model: ModelName, times: number): void {
  const parameters = buildModel(model, times)
    .entries.filter(({ kind }) => kind === 'parameter')
    .map(({ name }) => name);
  for (const name of readScales(lrScale)?.keys() ?? []) {
    if (parameters.some((parameter) => parameter.startsWith(name))) continue;
    const areas = [...new Set(parameters.map(areaOf))];
    const parts = parameters.filter((parameter) => areaOf(parameter) === areaOf(name));
    throw new CornetError(
      'OPTION_INVALID',
      `--lr-scale ${quoteName(name)}: no parameter of CORnet-${model} has a name that begins with it.`,
      {
        hint:
          parts.length > 0
            ? `Use the beginning of one of these: ${parts.join(', ')}.`
            : `Use an area, ${areas.join(', ')}, or the beginning of a parameter's name, such as ${parameters[0]}.`,
      },
    );
  }
}

function areaOf(parameter: string): string {
  return parameter.split('.')[0]!;
}
