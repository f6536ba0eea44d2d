/** `coordinator test`: what the original's `run.py test` does, for any number of images. */
import { join, resolve } from 'node:path';
import { defaults } from '../../shared/defaults.ts';
import { bytesPerValue } from '../../shared/formats/feature-rows.ts';
import { imageNetClasses, modelOf } from '../../shared/models/family.ts';
import { elementCount, withOptionalHead } from '../../shared/models/model.ts';
import { say } from '../../shared/process/say.ts';
import type { FeaturesTask, InferenceResult } from '../../shared/run-config.ts';
import type { Settings } from '../options/changes.ts';
import type { FeatureOptions } from '../options/table.ts';
import { chooseNetwork } from './choose-network.ts';
import { type ChosenTap, chooseTaps, type TapChoice } from './choose-taps.ts';
import { conductInference, type Inference } from './conduct-inference.ts';
import { FeatureFiles, type FeatureSpace, featureFileNames, featureSpace } from './feature-files.ts';
import { chooseBatchSize } from './folder-images.ts';
import { findInferenceWeights } from './inference-weights.ts';
import { alreadyThere, nothingToDo, originOf, writeDescription } from './results.ts';
import { listStimuli, type Stimuli } from './stimuli.ts';

/** Returns the exit code. */
export async function extractFeatures(options: FeatureOptions): Promise<number> {
  const { recursive, frames, dtype, format } = options;
  const network = await chooseNetwork(options);
  const { model: name, times, imageSize, normalize } = network;
  const head = network.head ?? imageNetClasses;
  const model = modelOf({ model: name, times, head });
  const choice = chooseTaps(model, imageSize, options);
  const stimuli = await listStimuli(options, model, times);
  const { rows, clips } = stimuli;
  const rowBytes = bytesPerValue[dtype] * sum(choice.taps.map(({ shape }) => elementCount(shape)));
  const clipBytes = frames ? times * 3 * imageSize ** 2 : 0;
  const batchSize = chooseBatchSize(options.batchSize, defaults.featureBatch, rowBytes, clipBytes);
  const taps = choice.taps.map(({ tap }) => tap);
  const needsHead = taps.some((tap) => tap.startsWith('decoder.output'));
  const weights = await findInferenceWeights(options, needsHead ? model : withOptionalHead(model));
  const task: FeaturesTask = {
    type: 'features',
    taps,
    dtype,
    format,
    recursive,
    transform: 'squash',
    frames,
  };
  const result: InferenceResult = {
    model: name,
    times,
    head,
    imageSize,
    normalize,
    precision: options.precision,
    weights: weights.identity,
    fingerprint: stimuli.fingerprint,
    images: rows.size,
    batchSize,
    task,
  };
  const space = featureSpace(result, task, choice.taps);
  const results = resultsOf(options, result, choice, space);
  const there = await Promise.all(
    results.map(({ data, description, settings }) => alreadyThere(data, description, settings)),
  );
  if (there.every(Boolean)) return nothingToDo(results.map(({ data }) => data));
  remark(options, choice, stimuli);
  const inference: Inference = {
    options,
    network,
    result,
    weights,
    files: rows,
    name: `CORnet-${name}_features`,
    title: `features of ${taps.length === 1 ? taps[0] : `${taps.length} outputs`}`,
    batchBytes: batchSize * rowBytes,
    openFeatures: (path, state) => FeatureFiles.open(path, space, state),
    complete: async ({ config, unreadable, features }) => {
      for (const { description, settings, arrays } of results) {
        const classes = needsHead && network.names !== null ? { classes: network.names.names } : {};
        const head = { settings, arrays, ...classes, ...originOf(config), unreadable };
        await writeDescription(description, head, rows, clips);
      }
      await features?.finish(resolve(options.outputPath));
      return results.map(({ data }) => `Wrote ${data}`);
    },
  };
  return conductInference(inference);
}

interface ResultFile {
  data: string;
  description: string;
  settings: Settings;
  arrays: object[];
}

/** The files to be written, each with what is said about it. */
function resultsOf(
  options: FeatureOptions,
  result: InferenceResult,
  { taps }: TapChoice,
  space: FeatureSpace,
): ResultFile[] {
  const { task, ...common } = result;
  const { dtype, recursive, frames } = task as FeaturesTask;
  const transform = {
    resize: [result.imageSize, result.imageSize],
    interpolation: 'bilinear, antialiased, as Pillow',
    ...result.normalize,
  };
  const ofClips = frames ? { frames } : {}; // as descriptions were before there were clips
  return featureFileNames(space).map((file, index) => {
    const mine = space.format === 'npz' ? taps : [taps[index]!];
    const data = join(options.outputPath, file);
    return {
      data,
      description: data.replace(/\.np[yz]$/, '.json'),
      settings: { ...common, taps: mine.map(({ tap }) => tap), dtype, recursive, ...ofClips, transform },
      arrays: mine.map((tap) => describeArray(tap, result)),
    };
  });
}

function describeArray({ tap, call, fileName, shape }: ChosenTap, { images }: InferenceResult): object {
  const [, layer, sublayer, timeStep] = /^(\w+)\.(\w+?)(?:-t(\d+))?$/.exec(tap)!;
  return {
    name: fileName,
    tap,
    layer,
    sublayer,
    time_step: timeStep === undefined ? null : Number(timeStep),
    call,
    array_shape: [images, elementCount(shape)],
    image_shape: shape,
  };
}

/** What the user may not expect. */
function remark(options: FeatureOptions, { warnings, taps }: TapChoice, { notes }: Stimuli): void {
  for (const warning of warnings) say(`warning: ${warning}`);
  const [only] = taps;
  if (
    options.timeStep === undefined &&
    taps.length === 1 &&
    only!.tap.toLowerCase() !== options.tap?.toLowerCase() &&
    /-t\d+$/.test(only!.tap)
  ) {
    say(
      `Extracting the last time step, ${only!.tap} (run.py's default is the first; choose with --time-step).`,
    );
  }
  for (const note of notes) say(note);
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0);
}
