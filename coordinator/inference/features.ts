/** `coordinator test`: what the original's `run.py test` does, for any number of images. */
import { join, resolve } from 'node:path';
import { defaults } from '../../shared/defaults.ts';
import { bytesPerValue } from '../../shared/formats/feature-rows.ts';
import { imageNetClasses, modelOf } from '../../shared/models/family.ts';
import { elementCount, withOptionalHead } from '../../shared/models/model.ts';
import type { Notices } from '../../shared/process/notices.ts';
import type { FeaturesTask, InferenceResult } from '../../shared/run-config.ts';
import type { Settings } from '../options/changes.ts';
import type { FeatureOptions } from '../options/table.ts';
import { chooseNetwork } from './choose-network.ts';
import { type ChosenTap, chooseTaps, type TapChoice } from './choose-taps.ts';
import { conductInference, type Inference, type InferenceEnd } from './conduct-inference.ts';
import { FeatureFiles, type FeatureSpace, featureFileNames, featureSpace } from './feature-files.ts';
import { chooseBatchSize } from './folder-images.ts';
import type { InferenceFrontend } from './inference-news.ts';
import { findInferenceWeights } from './inference-weights.ts';
import {
  alreadyThere,
  originOf,
  tellNothingToDo,
  type UnreadableImage,
  unreadableBefore,
  writeDescription,
} from './results.ts';
import { listStimuli, type Stimuli } from './stimuli.ts';

/** Where features were written. */
export interface FeatureReport {
  /** Arrays, and the JSON that says of each how it was made and what its rows are; absolute paths. */
  readonly files: readonly { readonly data: string; readonly description: string }[];
  /** Of each array. */
  readonly rows: number;
  /** Their rows are NaN. */
  readonly unreadable: readonly UnreadableImage[];
}

/** @throws CornetError that refused or ended it */
export async function extractFeatures(
  options: FeatureOptions,
  frontend: InferenceFrontend,
): Promise<InferenceEnd<FeatureReport>> {
  const { recursive, frames, dtype, format } = options;
  const network = await chooseNetwork(options);
  const { model: name, custom, times, imageSize, normalize } = network;
  const head = network.head ?? imageNetClasses;
  const model = modelOf({ model: name, custom, times, head });
  const choice = chooseTaps(model, imageSize, options);
  const stimuli = await listStimuli(options, model, times, frontend.progress);
  const { rows, clips } = stimuli;
  const rowBytes = bytesPerValue[dtype] * sum(choice.taps.map(({ shape }) => elementCount(shape)));
  const clipBytes = frames ? times * 3 * imageSize ** 2 : 0;
  const batchSize = chooseBatchSize(options.batchSize, defaults.featureBatch, rowBytes, clipBytes);
  const taps = choice.taps.map(({ tap }) => tap);
  const needsHead = taps.some((tap) => tap.startsWith('decoder.output'));
  const weights = await findInferenceWeights(options, needsHead ? model : withOptionalHead(model), frontend);
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
    ...(custom === undefined ? {} : { custom }),
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
  const report = (unreadable: readonly UnreadableImage[]): FeatureReport => ({
    files: results.map(({ data, description }) => ({
      data: resolve(data),
      description: resolve(description),
    })),
    rows: rows.size,
    unreadable,
  });
  if (there.every(Boolean)) {
    tellNothingToDo(
      results.map(({ data }) => data),
      frontend,
    );
    return { outcome: 'complete', result: report(await unreadableBefore(results[0]!.description)) };
  }
  remark(options, choice, stimuli, frontend);
  const inference: Inference<FeatureReport> = {
    options,
    network,
    result,
    weights,
    files: rows,
    name: `CORnet-${name}_features`,
    title: `features of ${taps.length === 1 ? taps[0] : `${taps.length} outputs`}`,
    batchBytes: batchSize * rowBytes,
    openFeatures: (path, state) => FeatureFiles.open(path, space, state),
    complete: async ({ config, unreadable, features, say }) => {
      for (const { description, settings, arrays } of results) {
        const classes = needsHead && network.names !== null ? { classes: network.names.names } : {};
        const head = { settings, arrays, ...classes, ...originOf(config), unreadable };
        await writeDescription(description, head, rows, clips);
      }
      await features?.finish(resolve(options.outputPath));
      for (const { data } of results) say(`Wrote ${data}`);
      return report(unreadable);
    },
  };
  return conductInference(inference, frontend);
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
function remark(
  options: FeatureOptions,
  { warnings, taps }: TapChoice,
  { notes }: Stimuli,
  { note, warn }: Notices,
): void {
  for (const warning of warnings) warn(warning);
  const [only] = taps;
  if (
    options.timeStep === undefined &&
    taps.length === 1 &&
    only!.tap.toLowerCase() !== options.tap?.toLowerCase() &&
    /-t\d+$/.test(only!.tap)
  ) {
    note(
      `Extracting the last time step, ${only!.tap} (run.py's default is the first; choose with --time-step).`,
    );
  }
  for (const sentence of notes) note(sentence);
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0);
}
