/** The optimizer, the schedule of its learning rate, and the loss: from the options of `coordinator start`. */
import { adamwRecipe, plainRecipe, recipes } from '../../shared/defaults.ts';
import { CornetError } from '../../shared/errors.ts';
import { type NetworkOptions, networkOf } from '../../shared/models/family.ts';
import { parametersNamed } from '../../shared/models/freeze.ts';
import { isPublished, type OptimizerName } from '../../shared/models/model.ts';
import type { ResultOptions } from '../../shared/run-config.ts';
import { readScales } from '../../shared/util/scales.ts';
import { defaultOf, type StartOptions } from '../options/table.ts';

type Recipe = Pick<
  ResultOptions,
  'learningRate' | 'stepSize' | 'momentum' | 'weightDecay' | keyof typeof plainRecipe
>;

/** @throws CornetError OPTION_INVALID for what PyTorch would refuse, what would have no effect, and names of no parameter */
export function chooseRecipe(
  options: StartOptions,
  network: Pick<NetworkOptions, 'model' | 'custom' | 'times'>,
): Recipe {
  const usual = usualRecipe(options, network.model);
  const optimizer = options.optimizer ?? plainRecipe.optimizer;
  refuseOthersOptions(options, optimizer);
  const { learningRate: rate, weightDecay } =
    optimizer === 'adamw' ? adamwRecipe : { ...usual, weightDecay: defaultOf('weightDecay') };
  const epochs = options.epochs ?? usual.epochs;
  const schedule = options.schedule ?? plainRecipe.schedule;
  const ends = schedule === 'cosine' || schedule === 'poly';
  const recipe: Recipe = {
    optimizer,
    betas: options.betas ?? plainRecipe.betas,
    clipNorm: options.clipNorm ?? plainRecipe.clipNorm,
    learningRate: options.learningRate ?? rate,
    stepSize: options.stepSize ?? usual.stepSize,
    momentum: options.momentum ?? defaultOf('momentum'),
    weightDecay: options.weightDecay ?? weightDecay,
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
  const scaled = readScales(recipe.lrScale)?.keys() ?? [];
  parametersNamed(networkOf({ ...network, head: 1 }), [...scaled], '--lr-scale');
  return recipe;
}

/** That of the model's authors; of a custom model without one, what most of the four take. */
export function usualRecipe(
  { own }: Pick<StartOptions, 'own'>,
  model: string,
): { learningRate: number; epochs: number; stepSize: number } {
  return isPublished(model) ? recipes[model] : (own?.recipe ?? recipes.R);
}

/** What one optimizer has and the other does not. */
function refuseOthersOptions(options: StartOptions, optimizer: OptimizerName): void {
  const others =
    optimizer === 'sgd'
      ? [['--betas', options.betas] as const]
      : ([
          ['--momentum', options.momentum],
          ['--nesterov', options.nesterov],
        ] as const);
  const given = others.find(([, value]) => value !== undefined && value !== false);
  if (given === undefined) return;
  const [name] = given;
  throw new CornetError('OPTION_INVALID', `${name} has no meaning with --optimizer ${optimizer}.`, {
    hint: optimizer === 'sgd' ? 'Use --optimizer adamw, or omit it.' : 'Use --betas, or omit it.',
  });
}
