/** `coordinator validate`: how right a model is on ImageNet's validation images, by the code that training validates with. */
import { join } from 'node:path';
import { outputsOf } from '../../shared/data/class-outputs.ts';
import { type DataChoice, everyImage } from '../../shared/data/data-choice.ts';
import type { DatasetIndex } from '../../shared/data/dataset-index.ts';
import { cachedIndex, userIndexCache } from '../../shared/data/index-cache.ts';
import { defaults } from '../../shared/defaults.ts';
import { CornetError } from '../../shared/errors.ts';
import { imageNetClasses, modelOf } from '../../shared/models/family.ts';
import { unreached } from '../../shared/models/reach.ts';
import { progressOnStderr } from '../../shared/process/progress-line.ts';
import { say } from '../../shared/process/say.ts';
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
import { conductInference, type Inference } from './conduct-inference.ts';
import { findInferenceWeights } from './inference-weights.ts';
import { alreadyThere } from './results.ts';

/** Returns the exit code. */
export async function validate(options: InferenceOptions): Promise<number> {
  const { outputPath } = options;
  const network = await chooseNetwork(options);
  const { model: name, times, imageSize, normalize } = network;
  const blind = unreached(name, times);
  if (blind !== null) say(`warning: ${blind.sentence}`);
  const cache = userIndexCache(process.env, say, progressOnStderr());
  const { part, ...choice } = chooseImages(options);
  const index = await cachedIndex(options.dataPath, ['val'], cache, choice);
  // Untrained weights are those that a training on these classes would begin with.
  const head = network.head ?? (options.weights === 'untrained' ? index.classes.length : imageNetClasses);
  const classNames = chooseClasses(network, head, index, options.weights);
  const weights = await findInferenceWeights(options, modelOf({ model: name, times, head }));
  const result: InferenceResult = {
    model: name,
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
  const inference: Inference = {
    options,
    network,
    result,
    weights,
    files: index.val,
    name: `CORnet-${name}_validation`,
    title: `validation, ${index.classes.length} classes`,
    batchBytes: 0,
    openFeatures: null,
    complete: async ({ config, summary, unreadable }) => {
      const { loss, top1, top5, count, classes } = summary!;
      if (count === 0) throw new CornetError('DATA_INVALID', 'None of the images can be read.');
      const { version, threads, numerics } = config;
      const described = { settings, top1, top5, loss, images: count, unreadable, version, threads, numerics };
      await writeDurably(table, [Buffer.from(classesCsv(index, classNames, classes))]);
      await writeDurably(description, [Buffer.from(`${JSON.stringify(described, null, 2)}\n`)]);
      return [
        `top-1 ${percent(top1)}  top-5 ${percent(top5)}  loss ${loss.toFixed(4)}  (${count} images)`,
        `Wrote ${description} and ${table}`,
      ];
    },
  };
  return conductInference(inference);
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
    say(
      `warning: ${quoteName(weights)} does not say what its ${grouped(head)} outputs stand for: the first are taken for the ${classes.length} classes of the data set, in their order.`,
    );
  }
  return [];
}

/** One line for each class, in the order of the data set; the label is the output that stands for it. */
function classesCsv(
  { classes }: Pick<DatasetIndex, 'classes'>,
  classNames: readonly string[],
  scores: ValidationSummary['classes'],
): string {
  const byLabel = new Map(scores.map((score) => [score.label, score]));
  const outputs = outputsOf(classes, classNames);
  const lines = classes.map((name, position) => {
    const label = outputs[position]!;
    const { top1, top5, count } = byLabel.get(label) ?? { top1: 0, top5: 0, count: 0 };
    const share = (right: number) => (count === 0 ? '' : String(right / count));
    return csvLine([label, name, count, top1, top5, share(top1), share(top5)]);
  });
  return ['label,class,images,top1_right,top5_right,top1,top5\n', ...lines].join('');
}
