/** `coordinator validate`: how right a model is on ImageNet's validation images, by the code that training validates with. */
import { join, resolve } from 'node:path';
import { outputsOf } from '../../shared/data/class-outputs.ts';
import { type DataChoice, everyImage } from '../../shared/data/data-choice.ts';
import type { DatasetIndex } from '../../shared/data/dataset-index.ts';
import { cachedIndex, userIndexCache } from '../../shared/data/index-cache.ts';
import { defaults } from '../../shared/defaults.ts';
import { CornetError } from '../../shared/errors.ts';
import { imageNetClasses, modelOf } from '../../shared/models/family.ts';
import { unreached } from '../../shared/models/reach.ts';
import type { Notices } from '../../shared/process/notices.ts';
import type { InferenceResult } from '../../shared/run-config.ts';
import { csvLine } from '../../shared/util/csv.ts';
import { quoteName } from '../../shared/util/printable.ts';
import { writeDurably } from '../disk/durable-file.ts';
import { chooseFiles } from '../options/chosen-images.ts';
import type { InferenceOptions } from '../options/table.ts';
import type { ValidationSummary } from '../protocol/validation-summary.ts';
import { grouped, percent } from '../view/format.ts';
import { someOf } from '../weights/own-network.ts';
import { chooseNetwork, type Network } from './choose-network.ts';
import { conductInference, type Inference, type InferenceEnd } from './conduct-inference.ts';
import type { InferenceFrontend } from './inference-news.ts';
import { findInferenceWeights } from './inference-weights.ts';
import { alreadyThere, type UnreadableImage } from './results.ts';

/** How right a model is. */
export interface ValidationReport {
  /** Fractions of right answers, and the mean loss, over all images that can be read. */
  readonly top1: number;
  readonly top5: number;
  readonly loss: number;
  readonly images: number;
  /** In the order of the data set. */
  readonly classes: readonly ClassReport[];
  readonly unreadable: readonly UnreadableImage[];
  /** The same as CSV by class and as JSON: absolute paths. */
  readonly files: { readonly classes: string; readonly description: string };
}

/** How right it is on the images of one class. */
export interface ClassReport {
  readonly name: string;
  /** The output that stands for it. */
  readonly label: number;
  readonly images: number;
  /** Of them, how many were right. */
  readonly top1: number;
  readonly top5: number;
}

/** @throws CornetError that refused or ended it */
export async function validate(
  options: InferenceOptions,
  frontend: InferenceFrontend,
): Promise<InferenceEnd<ValidationReport>> {
  const { outputPath } = options;
  const network = await chooseNetwork(options);
  const { model: name, custom, times, imageSize, normalize } = network;
  const blind = unreached(network);
  if (blind !== null) frontend.warn(blind.sentence);
  const cache = userIndexCache(process.env, frontend.note, frontend.progress);
  const { part, ...choice } = chooseImages(options);
  const index = await cachedIndex(options.dataPath, ['val'], cache, choice);
  // Untrained weights are those that a training on these classes would begin with.
  const head = network.head ?? (options.weights === 'untrained' ? index.classes.length : imageNetClasses);
  const classNames = chooseClasses(network, head, index, options.weights, frontend);
  const weights = await findInferenceWeights(
    options,
    modelOf({ model: name, custom, times, head }),
    frontend,
  );
  const result: InferenceResult = {
    model: name,
    ...(custom === undefined ? {} : { custom }),
    times,
    head,
    imageSize,
    normalize,
    precision: options.precision,
    weights: weights.identity,
    fingerprint: index.fingerprint,
    images: index.val.size,
    batchSize: options.batchSize ?? defaults.validationBatch,
    task: { type: 'validation', classNames, valSplit: part },
  };
  const prefix = join(outputPath, `CORnet-${name}_validation`);
  const [table, description] = [`${prefix}_classes.csv`, `${prefix}.json`];
  const { task: _, ...settings } = result;
  await alreadyThere(table, description, settings); // what was made with these settings is replaced
  const inference: Inference<ValidationReport> = {
    options,
    network,
    result,
    weights,
    files: index.val,
    name: `CORnet-${name}_validation`,
    title: `validation, ${index.classes.length} classes`,
    batchBytes: 0,
    openFeatures: null,
    complete: async ({ config, summary, unreadable, say }) => {
      const { loss, top1, top5, count, classes: scores } = summary!;
      if (count === 0) throw new CornetError('DATA_INVALID', 'None of the images can be read.');
      const { version, threads, numerics } = config;
      const described = { settings, top1, top5, loss, images: count, unreadable, version, threads, numerics };
      const classes = classReports(index, classNames, scores);
      await writeDurably(table, [Buffer.from(classesCsv(classes))]);
      await writeDurably(description, [Buffer.from(`${JSON.stringify(described, null, 2)}\n`)]);
      say(`top-1 ${percent(top1)}  top-5 ${percent(top5)}  loss ${loss.toFixed(4)}  (${count} images)`);
      say(`Wrote ${description} and ${table}`);
      const files = { classes: resolve(table), description: resolve(description) };
      return { top1, top5, loss, images: count, classes, unreadable, files };
    },
  };
  return conductInference(inference, frontend);
}

/** Which images are validated with. */
function chooseImages(
  options: InferenceOptions,
): DataChoice & { part: { part: number; seed: number } | null } {
  const { dataPath, seed, valSplit = 0 } = options;
  const { valList, classes, exclude } = chooseFiles(dataPath, options);
  const part = valSplit === 0 ? null : { part: valSplit, seed };
  return { ...everyImage, valList, classes, exclude, valSplit, seed: part?.seed ?? everyImage.seed, part };
}

/**
 * What the outputs stand for.
 * @returns empty: the classes of the data set, in their order
 * @throws CornetError DATA_INVALID when a class of the data set has no output
 */
function chooseClasses(
  { names: known }: Network,
  head: number,
  { root, classes, val }: DatasetIndex<'val'>,
  weights: string,
  { warn }: Notices,
): readonly string[] {
  const outputs = known === null ? null : outputsOf(classes, known.names);
  if (known !== null && outputs!.every((output) => output !== null)) return known.names;
  const kept = known !== null && !known.assumed;
  const outside = kept ? outputs!.indexOf(null) : head; // the first class without an output
  if (outside < classes.length) {
    const image = quoteName(join(root, val.path(val.labels.indexOf(outside))));
    const which = kept ? `outputs for ${someOf(known.names)}` : `${grouped(head)} outputs`;
    throw new CornetError(
      'DATA_INVALID',
      `${image} is of class ${outside}, ${quoteName(classes[outside]!)}, and ${quoteName(weights)} has ${which}.`,
      {
        hint: 'Validate with images of the classes that the weights were trained on, or train a head for these: `coordinator start` with --weights and --new-head or --extend-head.',
      },
    );
  }
  if (classes.length < head) {
    warn(
      `${quoteName(weights)} does not say what its ${grouped(head)} outputs stand for: the first are taken for the ${classes.length} classes of the data set, in their order.`,
    );
  }
  return [];
}

function classReports(
  { classes }: Pick<DatasetIndex, 'classes'>,
  classNames: readonly string[],
  scores: ValidationSummary['classes'],
): ClassReport[] {
  const byLabel = new Map(scores.map((score) => [score.label, score]));
  const outputs = outputsOf(classes, classNames);
  return classes.map((name, position) => {
    const label = outputs[position]!;
    const { top1, top5, count: images } = byLabel.get(label) ?? { top1: 0, top5: 0, count: 0 };
    return { name, label, images, top1, top5 };
  });
}

/** One line for each class. */
function classesCsv(classes: readonly ClassReport[]): string {
  const lines = classes.map(({ label, name, images, top1, top5 }) => {
    const share = (right: number) => (images === 0 ? '' : String(right / images));
    return csvLine([label, name, images, top1, top5, share(top1), share(top5)]);
  });
  return ['label,class,images,top1_right,top5_right,top1,top5\n', ...lines].join('');
}
