/** `coordinator predict`: the likeliest classes of each image of a folder, by name and with their probabilities. */
import { join, resolve } from 'node:path';
import { listImageFolder } from '../../shared/data/image-folder.ts';
import { shortSideOf } from '../../shared/data/image-net.ts';
import { defaults } from '../../shared/defaults.ts';
import { CornetError } from '../../shared/errors.ts';
import { bytesPerValue } from '../../shared/formats/feature-rows.ts';
import { imageNetClasses, modelOf } from '../../shared/models/family.ts';
import { unreached } from '../../shared/models/reach.ts';
import type { Notices } from '../../shared/process/notices.ts';
import type { FeaturesTask, InferenceConfig, InferenceResult } from '../../shared/run-config.ts';
import { quoteName } from '../../shared/util/printable.ts';
import { writeDurably } from '../disk/durable-file.ts';
import { defaultOf, type PredictOptions } from '../options/table.ts';
import { count } from '../view/format.ts';
import { noteAssumed } from '../weights/own-network.ts';
import { chooseNetwork, type Network } from './choose-network.ts';
import { chooseTaps } from './choose-taps.ts';
import { conductInference, type Inference, type InferenceEnd } from './conduct-inference.ts';
import { FeatureFiles, featureSpace } from './feature-files.ts';
import { chooseBatchSize, noteIgnored } from './folder-images.ts';
import type { InferenceFrontend } from './inference-news.ts';
import { findInferenceWeights } from './inference-weights.ts';
import { writePredictions } from './prediction-files.ts';
import {
  alreadyThere,
  originOf,
  tellNothingToDo,
  type UnreadableImage,
  unreadableBefore,
} from './results.ts';

/** Where predictions were written. */
export interface PredictionReport {
  /** The same predictions twice, and the JSON that says how they were made; absolute paths. */
  readonly files: { readonly csv: string; readonly jsonLines: string; readonly description: string };
  readonly images: number;
  readonly unreadable: readonly UnreadableImage[];
}

/**
 * An extraction of the scores, which stay in the unfinished folder: the predictions are made from them.
 * @throws CornetError OPTION_INVALID for untrained weights; whatever else refused or ended it
 */
export async function predict(
  options: PredictOptions,
  frontend: InferenceFrontend,
): Promise<InferenceEnd<PredictionReport>> {
  refuseUntrained(options);
  const { recursive, outputPath } = options;
  const network = await chooseNetwork(options);
  const { model: name, custom, times, imageSize, normalize } = network;
  const head = network.head ?? imageNetClasses;
  const model = modelOf({ model: name, custom, times, head });
  const { taps } = chooseTaps(model, imageSize, { tap: 'decoder.output' });
  const folder = await listImageFolder(options.dataPath, recursive, frontend.progress);
  const { files } = folder;
  const rowBytes = bytesPerValue.float32 * head;
  // As many as a validation has: the last bits may depend on it, and predictions are to be those that it counts.
  const batchSize = chooseBatchSize(options.batchSize, defaults.validationBatch, rowBytes);
  const weights = await findInferenceWeights({ ...options, seed: defaultOf('seed') }, model, frontend);
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
    ...(custom === undefined ? {} : { custom }),
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
  const topK = chooseTopK(options, head, frontend);
  const { task: _, ...common } = result;
  const settings = { ...common, recursive, topK, transform: transformOf(result) };
  const there = [
    await alreadyThere(csv, description, settings),
    await alreadyThere(jsonLines, description, settings),
  ];
  const report = (unreadable: readonly UnreadableImage[]): PredictionReport => ({
    files: { csv: resolve(csv), jsonLines: resolve(jsonLines), description: resolve(description) },
    images: files.size,
    unreadable,
  });
  if (there.every(Boolean)) {
    tellNothingToDo([csv, jsonLines], frontend);
    return { outcome: 'complete', result: report(await unreadableBefore(description)) };
  }
  tellUnexpected(options.weights, network, head, frontend);
  for (const note of noteIgnored(folder.others)) frontend.note(note);
  const space = featureSpace(result, task, taps);
  const inference: Inference<PredictionReport> = {
    options,
    network,
    result,
    weights,
    files,
    name: `CORnet-${name}_predictions`,
    title: `predictions, the ${topK} likeliest of ${count(head, 'class', 'classes')}`,
    batchBytes: batchSize * rowBytes,
    openFeatures: (path, state) => FeatureFiles.open(path, space, state),
    complete: async ({ config, unreadable, features, say }) => {
      // First: files without it are nobody's, and the same command would not go on.
      await writeDurably(description, [describe(settings, network, config, unreadable)]);
      const scores = { rows: () => features!.rows(), files, unreadable };
      const wanted = { topK, names: network.names?.names ?? [] };
      const without = await writePredictions({ csv, jsonLines }, scores, wanted);
      const silent = count(without, 'image has', 'images have');
      if (without > 0) say(`warning: ${silent} no predictions: their scores are not finite.`, 'warn');
      say(`Wrote ${csv} and ${jsonLines}`);
      return report(unreadable);
    },
  };
  return conductInference(inference, frontend);
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
function chooseTopK({ weights, topK }: PredictOptions, head: number, { note }: Notices): number {
  if (topK > head)
    note(`--top-k ${topK} is more than ${quoteName(weights)} has outputs: all ${head} are named.`);
  return Math.min(topK, head);
}

function tellUnexpected(weights: string, network: Network, head: number, { note, warn }: Notices): void {
  const { names } = network;
  const blind = unreached(network);
  if (blind !== null) warn(blind.sentence);
  const numbers = `${quoteName(weights)} does not say what its ${head} outputs stand for: predictions have only their numbers.`;
  for (const sentence of names === null ? [numbers] : noteAssumed(weights, names)) note(sentence);
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
