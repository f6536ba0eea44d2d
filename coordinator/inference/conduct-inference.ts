/** What reading features and validating have in common: a run of one round of jobs, in a folder of its own until it is done. */
import { hostname } from 'node:os';
import { join, resolve } from 'node:path';
import type { Logger } from 'pino';
import { timeouts } from '../../shared/defaults.ts';
import { CornetError } from '../../shared/errors.ts';
import { stateLayout } from '../../shared/formats/state-layout.ts';
import { modelOf } from '../../shared/models/family.ts';
import { chooseDevices } from '../../shared/process/gpus.ts';
import { version } from '../../shared/process/version.ts';
import {
  configFormat,
  type InferenceConfig,
  type InferenceResult,
  inferenceConfig,
} from '../../shared/run-config.ts';
import { newId } from '../../shared/util/new-id.ts';
import { quoteName } from '../../shared/util/printable.ts';
import { withReleasers } from '../../shared/util/releasers.ts';
import type { BatchResult } from '../../shared/wire/protocol.ts';
import { conductRun, type RunKind, type RunSetup } from '../conduct/conduct-run.ts';
import type { Interruption } from '../conduct/interruption.ts';
import { changedSettings, type Settings } from '../options/changes.ts';
import { chooseFiles } from '../options/chosen-images.ts';
import {
  chooseBackend,
  chooseLocalWorkers,
  chooseThreads,
  refuseUnreachable,
} from '../options/local-workers.ts';
import { defaultOf, type InferenceOptions } from '../options/table.ts';
import { jobsPerMember } from '../protocol/job-round.ts';
import type { ValidationSummary } from '../protocol/validation-summary.ts';
import { RunFolder } from '../run-folder/run-folder.ts';
import type { Network } from './choose-network.ts';
import type { FeatureFiles } from './feature-files.ts';
import type { InferenceFrontend, InferenceStart } from './inference-news.ts';
import { InferenceOutput, openJournal, unreadableImages } from './inference-output.ts';
import { InferenceWatch } from './inference-watch.ts';
import { describeWeights, type InferenceWeights } from './inference-weights.ts';
import type { Journal } from './journal.ts';
import type { Rows, UnreadableImage } from './results.ts';

/** Nothing is drawn here. */
type Options = Omit<InferenceOptions, 'seed'>;

export interface Inference<R> {
  options: Options;
  network: Network;
  result: InferenceResult;
  weights: InferenceWeights;
  /** What the rows are of. */
  files: Rows;
  /** What the work is called in its folder's name: `CORnet-S_features`. */
  name: string;
  /** What is done, for the first line on the terminal. */
  title: string;
  /** Bytes that one job yields. */
  batchBytes: number;
  /** Opens the files that rows go to; null: there are no rows. */
  openFeatures: ((folder: string, state: 'new' | 'begun' | 'full') => Promise<FeatureFiles>) | null;
  /** All batches are stored: writes what the user asked for. */
  complete: (finished: FinishedInference) => Promise<R>;
}

/** How an inference run has ended: with its result, or stopped, so that the same command continues it. */
export type InferenceEnd<R> =
  | { readonly outcome: 'complete'; readonly result: R }
  | { readonly outcome: 'interrupted'; readonly message: string };

interface FinishedInference {
  config: InferenceConfig;
  unreadable: UnreadableImage[];
  features: FeatureFiles | null;
  /** Of a validation. */
  summary: ValidationSummary | null;
  say: (sentence: string, level?: 'info' | 'warn') => void;
}

/**
 * Begins or goes on with an inference run and conducts it to its end; its folder is removed then.
 * @throws CornetError INFERENCE_UNFINISHED, and whatever ended it
 */
export function conductInference<R>(
  inference: Inference<R>,
  frontend: InferenceFrontend,
): Promise<InferenceEnd<R>> {
  return withReleasers(async (release) => {
    const interruption = frontend.interruption();
    release(interruption.release);
    refuseUnreachable(chooseLocalWorkers(inference.options, null), inference.options.redis);
    const path = join(resolve(inference.options.outputPath), `${inference.name}.unfinished`);
    const begun = await RunFolder.holdsRun(path);
    const folder = begun
      ? await RunFolder.open(path, hostname(), frontend.note)
      : await RunFolder.create(path, hostname(), frontend.note);
    release(() => folder.release());
    const config = begun ? await resumedConfig(inference, folder) : newConfig(inference);
    return conductInFolder(inference, { config, folder, interruption }, frontend);
  });
}

interface Held {
  config: InferenceConfig;
  folder: RunFolder;
  interruption: Interruption;
}

async function conductInFolder<R>(
  inference: Inference<R>,
  held: Held,
  frontend: InferenceFrontend,
): Promise<InferenceEnd<R>> {
  const { config, folder } = held;
  const { options, result, batchBytes } = inference;
  for (const warning of inference.network.warnings) frontend.warn(warning);
  const { devices, notes } = await chooseDevices(chooseLocalWorkers(options, null), process.env);
  for (const note of notes) frontend.note(note);
  const snapshotBytes = stateLayout(modelOf(result), 'inference').bytes;
  const setup: RunSetup = {
    ...held,
    devices,
    redisUrl: options.redis,
    redisPatience: (options.wait ?? defaultOf('wait')) * 1000,
    diskPatience: (options.waitForDisk ?? defaultOf('waitForDisk')) * 1000,
    bytesNeeded: snapshotBytes + jobsPerMember * (devices.length + 1) * batchBytes,
    openHttp: null,
    metricsHost: undefined,
    blobHost: undefined,
    blobPorts: undefined,
  };
  return withReleasers((release) =>
    conductRun(setup, async (context) => {
      const { journal, finished } = await openJournal(folder.path, (sentence) => {
        context.log.warn(sentence);
        frontend.note(sentence);
      });
      release(() => journal.close());
      const batches = Math.ceil(inference.files.size / result.batchSize);
      const state = finished.size === 0 ? 'new' : finished.size < batches ? 'begun' : 'full';
      const features = (await inference.openFeatures?.(folder.path, state)) ?? null;
      if (features !== null) release(() => features.close());
      const { redisName: redis, join, log } = context;
      const watch = new InferenceWatch({
        viewer: frontend.viewer(),
        start: startOf(inference, { config, folder: folder.path, devices, redis, join }),
        before: imagesOf(finished, inference),
        now: () => performance.now(),
        clock: () => new Date(),
      });
      return inferenceKind(inference, { config, folder, journal, finished, features, watch, log });
    }),
  );
}

interface Stored {
  config: InferenceConfig;
  folder: RunFolder;
  journal: Journal;
  finished: Map<number, BatchResult>;
  features: FeatureFiles | null;
  watch: InferenceWatch;
  log: Logger;
}

function inferenceKind<R>(inference: Inference<R>, stored: Stored): RunKind<InferenceEnd<R>> {
  const { result, files, weights } = inference;
  const { folder, finished, features, watch, config } = stored;
  const output = new InferenceOutput({ ...stored, weights, files });
  return {
    plan: {
      steps: null,
      round: {
        job: result.task.type === 'features' ? 'features' : 'validate',
        batches: Math.ceil(files.size / result.batchSize),
        finished,
      },
    },
    output,
    reporter: watch,
    describeShard: (step, lane) => `step ${step}, lane ${lane}`,
    describeBatch: (batch) => describeBatch(inference, batch),
    whenStopped: 'stopping; what is stored stays',
    howToGoOn: 'Give the same command again: what is stored stays.',
    observe: null,
    report: async (outcome) => {
      if (outcome.outcome === 'failed') throw CornetError.fromJSON(outcome.failure);
      if (outcome.outcome === 'interrupted') {
        const images = imagesOf(finished, inference);
        const message = `Stopped: ${images} of ${files.size} ${unitOf(result)} are done. Continue with the same command.`;
        watch.say(message);
        return { outcome: 'interrupted', message };
      }
      const unreadable = unreadableImages(finished, files, result.batchSize);
      const { summary } = output;
      const say = (sentence: string, level?: 'info' | 'warn') => watch.say(sentence, level);
      const ended = await inference.complete({ config, unreadable, features, summary, say });
      folder.discard();
      return { outcome: 'complete', result: ended };
    },
  };
}

function newConfig({ options, result }: Inference<unknown>): InferenceConfig {
  return {
    format: configFormat,
    run: newId(),
    version,
    term: 1,
    result,
    backend: chooseBackend(options.backend, options.precision),
    threads: chooseThreads(options, chooseLocalWorkers(options, null)),
    numerics: null,
    options: freeOptions(options),
  };
}

/** The configuration that the folder's inference run was begun with, which must be the same but for where and by whom. */
async function resumedConfig(inference: Inference<unknown>, folder: RunFolder): Promise<InferenceConfig> {
  const { options, result } = inference;
  const parsed = inferenceConfig.safeParse(await folder.readConfig());
  if (!parsed.success) {
    throw new CornetError(
      'RUN_DAMAGED',
      `${quoteName(folder.configPath)} is not an inference run's configuration.`,
      {
        hint: `Remove ${quoteName(folder.path)} and start again.`,
      },
    );
  }
  const former = parsed.data;
  const passed = { ...settingsOf(result), threads: options.threads, backend: options.backend };
  const changed = changedSettings({ ...former, ...settingsOf(former.result) }, passed);
  if (changed.length === 0) {
    return { ...former, version, term: former.term + 1, options: freeOptions(options) };
  }
  throw new CornetError(
    'INFERENCE_UNFINISHED',
    `${folder.path} holds an unfinished inference run. ${changed.join(' ')}`,
  );
}

function freeOptions(options: Options): InferenceConfig['options'] {
  const { dataPath, workers, skipUnreadable } = options;
  const { valList, classes, exclude } = chooseFiles(dataPath, options);
  return {
    dataPath: resolve(dataPath),
    valList,
    classes,
    exclude,
    decodeThreads: workers ?? defaultOf('workers'),
    skipUnreadable,
    joinTimeout: timeouts.join,
    workerTimeout: timeouts.worker,
    carrier: 'auto',
  };
}

/** What the rows depend on, by the names of the options. */
function settingsOf({ task, images: _, ...rest }: InferenceResult): Settings {
  return { ...rest, ...task }; // the fingerprint tells more than the number of images
}

/** What the rows are of. */
function unitOf({ task }: InferenceResult): 'images' | 'clips' {
  return task.type === 'features' && task.frames ? 'clips' : 'images';
}

function imagesOf(finished: ReadonlyMap<number, BatchResult>, { files, result }: Inference<unknown>): number {
  const { batchSize } = result;
  let images = 0;
  for (const batch of finished.keys()) images += Math.min(batchSize, files.size - batch * batchSize);
  return images;
}

function describeBatch({ files, result }: Inference<unknown>, batch: number): string {
  const first = batch * result.batchSize;
  const last = Math.min(first + result.batchSize, files.size) - 1;
  return `batch ${batch} (${unitOf(result)} ${first} to ${last}: ${quoteName(files.path(first))} to ${quoteName(files.path(last))})`;
}

function startOf(
  { title, files, network, result, options, weights }: Inference<unknown>,
  held: Pick<InferenceStart, 'config' | 'folder' | 'devices' | 'redis' | 'join'>,
): InferenceStart {
  return {
    ...held,
    run: held.config.run,
    title,
    network: network.description,
    weights: describeWeights(options.weights, weights.identity),
    unit: unitOf(result),
    total: files.size,
  };
}
