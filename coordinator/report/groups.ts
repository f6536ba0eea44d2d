/** Runs that differ in nothing but their seed belong together; what tells the others apart is said in words. */

import { digestOf } from '../../shared/models/graph.ts';
import { headWords, type RunConfig } from '../../shared/run-config.ts';
import { normalizationWords } from '../options/normalization.ts';
import { augmentationWords } from '../view/augmentation-words.ts';
import { grouped } from '../view/format.ts';
import { freezingWords, kindWords, momentumWords } from '../view/recipe-words.ts';
import type { ReportRun } from './read-runs.ts';

export interface Group {
  /** `A`, `B`, …; empty for the only group. */
  readonly key: string;
  /** What it differs in from the other groups: `CORnet-Z, lr 0.1`; empty for the only group. */
  readonly label: string;
  /** At least one. */
  readonly runs: readonly ReportRun[];
}

/** In the order in which their first runs were given. */
export function groupRuns(runs: readonly ReportRun[]): Group[] {
  const byConfiguration = new Map<string, ReportRun[]>();
  for (const run of runs) {
    const configuration = JSON.stringify(Object.values(wordsOf).map((words) => words(run.config)));
    const others = byConfiguration.get(configuration);
    if (others === undefined) byConfiguration.set(configuration, [run]);
    else others.push(run);
  }
  const groups = [...byConfiguration.values()];
  if (groups.length === 1) return [{ key: '', label: '', runs: groups[0]! }];
  const labels = differences(groups.map(([first]) => first!.config));
  return groups.map((members, i) => ({
    key: String.fromCodePoint(65 + i),
    label: labels[i]!,
    runs: members,
  }));
}

/**
 * Everything that shapes a run's curves, as a reader would say it. The seed is not among it, nor is what only changes
 * how sums are rounded (threads, the kind of machine).
 */
const wordsOf: Record<string, (config: RunConfig) => string> = {
  model: ({ result: { model, custom } }) =>
    custom === undefined ? `CORnet-${model}` : `CORnet-${model} (${digestOf(custom)})`,
  // CORnet-Z has no time steps.
  times: ({ result }) => (result.model === 'Z' ? '' : `${result.times} time steps`),
  head: ({ result }) => `${result.head} outputs`,
  frozen: ({ result }) => freezingWords(result),
  learningRate: ({ result }) => `lr ${result.learningRate}`,
  schedule: ({ result }) => kindWords(result),
  warmupEpochs: ({ result }) => (result.warmupEpochs === 0 ? 'no warm-up' : `warm-up ${result.warmupEpochs}`),
  lrScale: ({ result }) => (result.lrScale === '' ? 'no lr scale' : `lr scale ${result.lrScale}`),
  batchSize: ({ result }) => `batch ${result.batchSize}`,
  momentum: ({ result }) => momentumWords(result),
  weightDecay: ({ result }) => `weight decay ${result.weightDecay}`,
  clipNorm: ({ result }) => (result.clipNorm === 0 ? 'no clipping' : `norm clipped at ${result.clipNorm}`),
  labelSmoothing: ({ result }) =>
    result.labelSmoothing === 0 ? 'no label smoothing' : `label smoothing ${result.labelSmoothing}`,
  imageSize: ({ result }) => `${result.imageSize} px`,
  augmentation: ({ result }) => augmentationWords(result) || 'plain augmentation',
  normalization: ({ result }) => `normalised by ${normalizationWords(result.normalize)}`,
  lanes: ({ result }) => (result.lanes === 1 ? '1 lane' : `${result.lanes} lanes`),
  precision: ({ result }) => result.precision,
  backend: ({ backend }) => backend,
  startingWeights: ({ result: { startingWeights: start } }) =>
    start.from === 'seed'
      ? 'drawn weights'
      : `${start.from} ${start.sha256.slice(0, 8)}${headWords[start.head]}`,
  // Where it lies may differ from machine to machine; and which images are drawn, from seed to seed.
  data: ({ result }) => {
    const { fingerprint, trainImages, imagesPerClass, valSplit } = result;
    const drawn = [
      ...(imagesPerClass === null ? [] : [`${grouped(imagesPerClass)} of each class`]),
      ...(valSplit === 0 ? [] : [`${valSplit} held out`]),
    ];
    const images = [`${grouped(trainImages)} images`, ...drawn].join(', ');
    return drawn.length > 0 ? `data (${images})` : `data ${fingerprint.slice(0, 8)} (${images})`;
  },
};

/** For each of several configurations, what not all of them share. */
function differences(configs: readonly RunConfig[]): string[] {
  const differing = Object.values(wordsOf).filter((words) => {
    const values = configs.map(words).filter((value) => value !== '');
    return new Set(values).size > 1;
  });
  return configs.map((config) =>
    differing
      .map((words) => words(config))
      .filter((words) => words !== '')
      .join(', '),
  );
}

/** `seed 1`, `seeds 0, 1, 2` */
export function seedsOf(runs: readonly ReportRun[]): string {
  const seeds = runs.map(({ config }) => config.result.seed);
  return `${seeds.length === 1 ? 'seed' : 'seeds'} ${seeds.join(', ')}`;
}
