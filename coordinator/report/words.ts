/** What a picture says in words. */
import { resolve, sep } from 'node:path';
import { totalSteps } from '../../shared/run-config.ts';
import { quoteName } from '../../shared/util/printable.ts';
import { plainNumber } from '../view/axis.ts';
import { count, grouped } from '../view/format.ts';
import { bandWords, lastEpoch, type Smoothing, windowOf } from './curves.ts';
import { type Group, groupRuns, seedsOf } from './groups.ts';
import type { ReportRun } from './read-runs.ts';

/** What is to be seen, for those who cannot see it. */
export function describeRuns(runs: readonly ReportRun[]): string {
  return `${titleOf(runs)}: loss and accuracy over epochs`;
}

export function titleOf(runs: readonly ReportRun[]): string {
  const models = [...new Set(runs.map(({ config }) => config.result.model))].join(', ');
  const images = new Set(runs.map(({ config }) => config.result.trainImages));
  const data = images.size === 1 ? `, ${grouped([...images][0]!)} training images` : '';
  return `CORnet-${models}${data}, ${epochsOf(runs)}`;
}

/** `14 epochs`, or `3.2 of 14 epochs` */
function epochsOf(runs: readonly ReportRun[]): string {
  const done = plainNumber(Number(lastEpoch(runs).toFixed(2)));
  const planned = Math.max(...runs.map(({ config, stepsPerEpoch }) => totalSteps(config) / stepsPerEpoch));
  return Number(done) < planned ? `${done} of ${planned} epochs` : count(Number(done), 'epoch', 'epochs');
}

/** Characters of a name that a line has room for. */
const longestName = 56;

export function subtitleOf(runs: readonly ReportRun[]): string {
  const groups = groupRuns(runs);
  if (groups.length > 1) return `${runs.length} runs of ${groups.length} configurations`;
  const [{ config, path }] = runs as [ReportRun];
  const { batchSize, learningRate, imageSize } = config.result;
  const which = runs.length === 1 ? `Run ${shortName(folderWords(path))}` : `${runs.length} runs`;
  return `${which} · ${seedsOf(runs)} · batch ${batchSize}, lr ${learningRate}, ${imageSize} px`;
}

/** A folder and the one that it is in: `runs/z`. */
function folderWords(path: string): string {
  return quoteName(resolve(path).split(sep).slice(-2).join(sep));
}

/** The end of a long name tells more than its beginning. */
export function shortName(name: string): string {
  return name.length > longestName ? `…${name.slice(-longestName)}` : name;
}

/** How lines came to be. */
export function notesOf(groups: readonly Group[], smoothing: Smoothing): string[] {
  const windows = groups.map(({ runs }) => windowOf(runs[0]!, smoothing));
  const [least, most] = [Math.min(...windows), Math.max(...windows)];
  const steps = least === most ? grouped(most) : `${grouped(least)} to ${grouped(most)}`;
  const bands = groups.filter(({ runs }) => runs.length > 1);
  const short = bands.flatMap(({ key, runs }) => {
    const ends = runs.map(({ training, stepsPerEpoch }) => (training.at(-1)?.step ?? 0) / stepsPerEpoch);
    const [first, last] = [Math.min(...ends), Math.max(...ends)];
    const name = key === '' ? 'The mean' : `The mean of ${key}`;
    return first < last
      ? [`${name} ends at epoch ${plainNumber(Number(first.toFixed(2)))}, with its shortest run.`]
      : [];
  });
  return [
    ...(most > 1 ? [`Training: running mean over ${steps} steps.`] : []),
    ...bandNotes(bands),
    ...short,
  ];
}

/** What a line and its band are, where they are of several runs: a sentence for each number of runs. */
function bandNotes(groups: readonly Group[]): string[] {
  const numbers = [...new Set(groups.map(({ runs }) => runs.length))];
  return numbers.map((n) => {
    const keys = groups.filter(({ runs }) => runs.length === n).map(({ key }) => key);
    const which = keys[0] === '' ? 'Lines' : keys.join(', ');
    return `${which}: mean of ${n} runs that differ only in their seed; band: ${bandWords(n)}.`;
  });
}
