/** Which network an inference run computes: what its options say, else what its weights say of themselves. */
import { isDeepStrictEqual } from 'node:util';
import { defaults, type Normalization, normalizations } from '../../shared/defaults.ts';
import { CornetError } from '../../shared/errors.ts';
import type { ModelGraph } from '../../shared/models/graph.ts';
import { quoteName } from '../../shared/util/printable.ts';
import { refuseOtherTimes, withOwnModel } from '../custom-model/load.ts';
import { exists } from '../disk/durable-file.ts';
import { chooseNormalization, normalizationWords } from '../options/normalization.ts';
import type { InferenceOptions } from '../options/table.ts';
import { namesOfHead, ownNetwork, publishedHead } from '../weights/own-network.ts';
import { noPublished } from '../weights/read-weights.ts';
import { compareNetworks, type OwnNetwork } from '../weights/said-network.ts';

export interface Network {
  readonly model: string;
  /** What a custom one computes. */
  readonly custom?: ModelGraph;
  readonly times: number;
  readonly imageSize: number;
  readonly normalize: Normalization;
  /** Outputs of the decoder; null: there are no weights that would say it. */
  readonly head: number | null;
  /** What the first of them stand for, and whether that is only assumed (`namesOfHead`); null: they do not say. */
  readonly names: ReturnType<typeof namesOfHead>;
  /** `CORnet-RT, 3 time steps, 64 px, as runs/rt says`. */
  readonly description: string;
  /** Sentences about options that differ from what the weights say of themselves. */
  readonly warnings: readonly string[];
}

/** Sources of weights that say nothing of themselves. */
const silent: readonly string[] = ['pretrained', 'untrained'];

type Asked = Pick<
  InferenceOptions,
  'weights' | 'model' | 'own' | 'times' | 'imageSize' | 'normalize' | 'mean' | 'std'
> & {
  /** Undefined: nothing is computed. */
  readonly precision?: InferenceOptions['precision'];
};

/** @throws CornetError OPTION_INVALID when neither says which model it is; as `ownNetwork` */
export async function chooseNetwork(given: Asked): Promise<Network> {
  const { weights } = given;
  const own = await saidBy(weights);
  const asked = await withOwnModel(given, given.times ?? own.times ?? defaults.times);
  const model = asked.model ?? own.model;
  if (model === undefined) throw await unknownModel(weights);
  const custom = asked.own?.graph ?? (model === own.model ? own.custom : undefined);
  const times = asked.times ?? custom?.times ?? own.times ?? defaults.times;
  if (custom !== undefined) refuseOtherTimes(model, custom, times);
  if (custom !== undefined && weights === 'pretrained') throw noPublished(model);
  const imageSize = asked.imageSize ?? own.imageSize ?? defaults.imageSize;
  const ownNormalize = own.normalize ?? normalizations.imagenet;
  const normalize = chooseNormalization(asked, ownNormalize);
  const { said, used, differ } = compareNetworks(own, { model, custom, times, imageSize });
  const source = said.length > 0 && !differ ? `, as ${quoteName(weights)} says` : '';
  return {
    model,
    ...(custom === undefined ? {} : { custom }),
    times,
    imageSize,
    normalize,
    head: own.head ?? null,
    names: namesOfHead({ head: own.head, classNames: own.classNames }),
    description: `${used.join(', ')}${source}`,
    warnings: [
      ...(differ
        ? [
            `${quoteName(weights)} is of ${said.join(', ')}; the options ask for ${used.join(', ')}. Omit them to compute as it was trained.`,
          ]
        : []),
      ...(own.normalize === undefined || isDeepStrictEqual(normalize, ownNormalize)
        ? []
        : [
            `${quoteName(weights)} was trained on images normalised by ${normalizationWords(ownNormalize)}; the options ask for ${normalizationWords(normalize)}.`,
          ]),
      ...(own.precision === undefined || asked.precision === undefined || own.precision === asked.precision
        ? []
        : [
            `${quoteName(weights)} was trained in ${own.precision}; this computes in ${asked.precision} (--precision ${own.precision} computes as its own validation did).`,
          ]),
    ],
  };
}

async function saidBy(weights: string): Promise<Partial<OwnNetwork>> {
  if (weights === 'pretrained') return publishedHead;
  return weights === 'untrained' ? {} : ownNetwork(weights);
}

async function unknownModel(weights: string): Promise<CornetError> {
  if (!silent.includes(weights) && !(await exists(weights))) {
    return new CornetError('WEIGHTS_MISSING', `${quoteName(weights)} does not exist.`);
  }
  const why = silent.includes(weights)
    ? `With --weights ${weights} a model must be named.`
    : `${quoteName(weights)} does not say which model its weights are of.`;
  return new CornetError('OPTION_INVALID', why, { hint: 'Use --model Z, R, RT or S.' });
}
