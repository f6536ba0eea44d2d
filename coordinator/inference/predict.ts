/** `coordinator predict`: the likeliest classes of each image of a folder, by name and with their probabilities. */
import { join } from 'node:path';
import { listImageFolder } from '../../shared/data/image-folder.ts';
import { shortSideOf } from '../../shared/data/image-net.ts';
import { defaults } from '../../shared/defaults.ts';
import { CornetError } from '../../shared/errors.ts';
import { bytesPerValue } from '../../shared/formats/feature-rows.ts';
import { imageNetClasses, modelOf } from '../../shared/models/family.ts';
import { unreached } from '../../shared/models/reach.ts';
import { progressOnStderr } from '../../shared/process/progress-line.ts';
import { say } from '../../shared/process/say.ts';
import type { FeaturesTask, InferenceConfig, InferenceResult } from '../../shared/run-config.ts';
import { quoteName } from '../../shared/util/printable.ts';
import { writeDurably } from '../disk/durable-file.ts';
import { defaultOf, type PredictOptions } from '../options/table.ts';
import { count } from '../view/format.ts';
import { noteAssumed } from '../weights/own-network.ts';
import { chooseNetwork, type Network } from './choose-network.ts';
import { chooseTaps } from './choose-taps.ts';
import { conductInference, type Inference } from './conduct-inference.ts';
import { FeatureFiles, featureSpace } from './feature-files.ts';
import { chooseBatchSize, noteIgnored } from './folder-images.ts';
import type { UnreadableImage } from './inference-output.ts';
import { findInferenceWeights } from './inference-weights.ts';
import { writePredictions } from './prediction-files.ts';
import { alreadyThere, nothingToDo, originOf } from './results.ts';

/**
 * An extraction of the scores, which stay in the unfinished folder: the predictions are made from them.
 * @returns the exit code
 * @throws CornetError OPTION_INVALID for untrained weights
 */
export async function predict(options: PredictOptions): Promise<number> {
  refuseUntrained(options);
  const { recursive, outputPath } = options;
  const network = await chooseNetwork(options);
  const { model: name, times, imageSize, normalize } = network;
  const head = network.head ?? imageNetClasses;
  const model = modelOf({ model: name, times, head });
  const { taps } = chooseTaps(model, imageSize, { tap: 'decoder.output' });
  const folder = await listImageFolder(options.dataPath, recursive, progressOnStderr());
  const { files } = folder;
  const rowBytes = bytesPerValue.float32 * head;
  // As many as a validation has: the last bits may depend on it, and predictions are to be those that it counts.
  const batchSize = chooseBatchSize(options.batchSize, defaults.validationBatch, rowBytes);
  const weights = await findInferenceWeights({ ...options, seed: defaultOf('seed') }, model);
  const task: FeaturesTask = {
    type: 'features',
    taps: taps.map(({ tap }) => tap),
    dtype: 'float32',
    format: 'npy',
    recursive,
    transform: 'crop',
    frames: false,
  };
  const result: InferenceResult = {
    model: name,
    times,
    head,
    imageSize,
    normalize,
    precision: options.precision,
    weights: weights.identity,
    fingerprint: folder.fingerprint,
    images: files.size,
    batchSize,
    task,
  };
  const prefix = join(outputPath, `CORnet-${name}_predictions`);
  const [csv, jsonLines, description] = [`${prefix}.csv`, `${prefix}.jsonl`, `${prefix}.json`];
  const topK = chooseTopK(options, head);
  const { task: _, ...common } = result;
  const settings = { ...common, recursive, topK, transform: transformOf(result) };
  const there = [
    await alreadyThere(csv, description, settings),
    await alreadyThere(jsonLines, description, settings),
  ];
  if (there.every(Boolean)) return nothingToDo([csv, jsonLines]);
  for (const note of [...notesOn(options.weights, network, head), ...noteIgnored(folder.others)]) say(note);
  const space = featureSpace(result, task, taps);
  const inference: Inference = {
    options,
    network,
    result,
    weights,
    files,
    name: `CORnet-${name}_predictions`,
    title: `predictions, the ${topK} likeliest of ${count(head, 'class', 'classes')}`,
    batchBytes: batchSize * rowBytes,
    openFeatures: (path, state) => FeatureFiles.open(path, space, state),
    complete: async ({ config, unreadable, features }) => {
      // First: files without it are nobody's, and the same command would not go on.
      await writeDurably(description, [describe(settings, network, config, unreadable)]);
      const scores = { rows: () => features!.rows(), files, unreadable };
      const wanted = { topK, names: network.names?.names ?? [] };
      const without = await writePredictions({ csv, jsonLines }, scores, wanted);
      const silent = count(without, 'image has', 'images have');
      return [
        ...(without > 0 ? [`warning: ${silent} no predictions: their scores are not finite.`] : []),
        `Wrote ${csv} and ${jsonLines}`,
      ];
    },
  };
  return conductInference(inference);
}

function refuseUntrained({ weights }: PredictOptions): void {
  if (weights !== 'untrained') return;
  throw new CornetError('OPTION_INVALID', 'Untrained weights predict nothing.', {
    hint: 'Name trained ones: --weights with a run or a file, or --weights pretrained.',
  });
}

/** As a validation cuts images. */
function transformOf({ imageSize, normalize }: InferenceResult): object {
  return {
    resizeShortSide: shortSideOf(imageSize),
    centreCrop: [imageSize, imageSize],
    interpolation: 'bilinear, antialiased, as Pillow',
    ...normalize,
  };
}

/** How many outputs each image is given: at most all of them. */
function chooseTopK({ weights, topK }: PredictOptions, head: number): number {
  if (topK > head)
    say(`--top-k ${topK} is more than ${quoteName(weights)} has outputs: all ${head} are named.`);
  return Math.min(topK, head);
}

/** What the user may not expect. */
function notesOn(weights: string, { model, times, names }: Network, head: number): string[] {
  const blind = unreached(model, times);
  return [
    ...(blind === null ? [] : [`warning: ${blind.sentence}`]),
    ...(names === null
      ? [
          `${quoteName(weights)} does not say what its ${head} outputs stand for: predictions have only their numbers.`,
        ]
      : noteAssumed(weights, names)),
  ];
}

function describe(
  settings: object,
  { names }: Network,
  config: InferenceConfig,
  unreadable: readonly UnreadableImage[],
): Buffer {
  const classes = names === null ? {} : { classes: names.names, classesAssumed: names.assumed };
  const described = { settings, ...classes, ...originOf(config), unreadable };
  return Buffer.from(`${JSON.stringify(described, null, 2)}\n`);
}
