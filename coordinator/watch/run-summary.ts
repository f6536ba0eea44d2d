import { isDeepStrictEqual } from 'node:util';
import { normalizations } from '../../shared/defaults.ts';
import { vectorLayout } from '../../shared/formats/vector-layout.ts';
import { modelOf } from '../../shared/models/family.ts';
import { elementCount } from '../../shared/models/model.ts';
import { headWords, type RunConfig, stepsPerEpoch, totalSteps } from '../../shared/run-config.ts';
import { gigabytes } from '../../shared/util/gigabytes.ts';
import { quoteName } from '../../shared/util/printable.ts';
import { normalizationWords } from '../options/normalization.ts';
import { augmentationWords } from '../view/augmentation-words.ts';
import { count, grouped } from '../view/format.ts';
import { optimizerWords, scheduleWords } from '../view/recipe-words.ts';
import type { JoinHint } from '../view/run-view.ts';
import type { StartInfo } from './news.ts';
import { wrap } from './wrap.ts';

/** `2 × cuda` */
export function describeDevices(devices: readonly string[]): string {
  const [first] = devices;
  return first === undefined ? 'no local workers; others join' : `${devices.length} × ${first.split(':')[0]}`;
}

/** Digits of a SHA-256 that tell files apart well enough for a line on a terminal. */
const shortHash = 8;

/**
 * What a run is, as names and sentences.
 * @param hashDigits of a SHA-256
 */
export function factsOf(
  { config, redis, devices, page, join }: StartInfo,
  hashDigits = shortHash,
): [string, string][] {
  const { result, options } = config;
  const workers = describeDevices(devices);
  const images = `${result.trainImages} training and ${count(result.valImages, 'validation image', 'validation images')}`;
  const steps = count(totalSteps(config), 'step', 'steps');
  const { trainImages, batchSize } = result;
  const batch = count(Math.min(batchSize, trainImages), 'image', 'images');
  const rest = trainImages > batchSize ? trainImages % batchSize : 0;
  const last = rest === 0 ? '' : `, ${rest} in the last of an epoch`;
  const epochs = Number((totalSteps(config) / stepsPerEpoch(config)).toFixed(2));
  return [
    ['data', `${quoteName(options.dataPath)}: ${images}, ${classesOf(result)}`],
    ['weights', weightsOf(config, hashDigits)],
    ...frozenOf(result),
    ['schedule', `${steps} of ${batch}${last} (${count(epochs, 'epoch', 'epochs')})`],
    ['optimizer', `${scheduleWords(result)}, ${optimizerWords(result)}`],
    ...imagesOf(result),
    [
      'result',
      `${count(result.lanes, 'lane', 'lanes')}, ${count(config.threads, 'thread', 'threads')} each, seed ${result.seed}, ${result.precision}, ${result.imageSize} px`,
    ],
    ...(result.deterministic
      ? []
      : ([['bits', 'NOT the same when repeated: --no-deterministic']] satisfies [string, string][])),
    ['workers', `${workers} over ${redis}`],
    ...(join === null || result.lanes === 1
      ? []
      : ([['exchange', exchangeOf(config)]] satisfies [string, string][])),
    ...(page === null ? [] : ([['page', page]] satisfies [string, string][])),
    ...(options.note === undefined ? [] : ([['note', options.note]] satisfies [string, string][])),
  ];
}

/** What the run began with: when it is resumed, that is not where it goes on. */
function weightsOf({ term, result, options: { startingFile } }: RunConfig, hashDigits: number): string {
  const { startingWeights, seed } = result;
  const when = term > 1 ? 'at first ' : '';
  if (startingWeights.from === 'seed') return `${when}drawn with the seed ${seed}`;
  const { from, sha256, key, head } = startingWeights;
  const kind = from === 'checkpoint' ? 'of the checkpoint ' : '';
  const file = startingFile === null ? '' : `${quoteName(startingFile)}, `;
  const hash = sha256.length > hashDigits ? `${sha256.slice(0, hashDigits)}…` : sha256;
  return `${when}${kind}${file}SHA-256 ${hash}${key === null ? '' : `, at ${key}`}${headWords[head]}`;
}

function classesOf({ classes, head }: Pick<RunConfig['result'], 'classes' | 'head'>): string {
  const told = count(classes, 'class', 'classes');
  return classes < head ? `${told} (of ${head} outputs)` : told;
}

/** What is left to train where something is frozen. */
function frozenOf(result: RunConfig['result']): [string, string][] {
  const { entries, norms } = modelOf(result);
  const parameters = entries.filter(({ kind }) => kind === 'parameter');
  const trained = parameters.filter(({ frozen = false }) => !frozen);
  if (trained.length === parameters.length) return [];
  const [some, all] = [trained, parameters].map((list) =>
    list.reduce((sum, { shape }) => sum + elementCount(shape), 0),
  );
  const areas = [...new Set(trained.map(({ name }) => name.slice(0, name.indexOf('.'))))];
  const frozenNorms = norms.filter((norm) => trained.every(({ name }) => name !== `${norm}.weight`)).length;
  const atRest = result.freezeNorms ? 'at rest' : 'following the batches (--freeze-norms: at rest)';
  const told =
    frozenNorms === 0 ? '' : `; ${count(frozenNorms, 'frozen norm is', 'frozen norms are')} ${atRest}`;
  return [['trained', `${grouped(some!)} of ${grouped(all!)} parameters, in ${areas.join(', ')}${told}`]];
}

/** What becomes of images, where that is not the default. */
function imagesOf(result: RunConfig['result']): [string, string][] {
  const training = augmentationWords(result);
  const all = isDeepStrictEqual(result.normalize, normalizations.imagenet)
    ? []
    : [`normalised by ${normalizationWords(result.normalize)}`];
  const words = [...(training === '' ? [] : [training]), ...all];
  return words.length === 0 ? [] : [['images', words.join(', ')]];
}

/** Bytes that a network of 10 Gbit/s carries in a second. */
const tenGigabit = 1.25e9;

/** What Redis has to send for a step with one worker per lane, as docs/scaling.md counts: all but its own, twice. */
function exchangeOf({ result }: RunConfig): string {
  const vector = 4 * vectorLayout(modelOf(result), result.imageSize).length;
  const sent = 2 * vector * (result.lanes - 1);
  return (
    `${gigabytes(vector)} of gradients per lane and step. With workers on several hosts Redis sends ` +
    `${gigabytes(sent)} a step: ${(sent / tenGigabit).toPrecision(2)} s at 10 Gbit/s`
  );
}

/** Columns of the names of facts, with what stands before and after them. */
const indent = 12;

/**
 * The same as lines, below a title.
 * @param columns that a line may have; what does not fit goes on below
 */
export function announcement(start: StartInfo, columns = Number.POSITIVE_INFINITY): string[] {
  const { config, name, folder, join } = start;
  const facts = factsOf(start).flatMap(([name, text]) =>
    wrap(text, columns - indent).map((line, i) => `  ${(i === 0 ? name : '').padEnd(indent - 3)} ${line}`),
  );
  return [
    `CORnet-${config.result.model} run ${config.run}${name === null ? '' : ` (${name})`} in ${quoteName(folder)}`,
    ...facts,
    ...joinLines(join),
  ];
}

/** The command has a line of its own, to be copied as a whole. */
export function joinLines(join: JoinHint | null): string[] {
  return join === null ? [] : [join.how, `  ${join.command}`];
}
