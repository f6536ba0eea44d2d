/** What reading features and validating have in common: a run of one round of jobs, in a folder of its own until it is done. */
import { hostname } from 'node:os';
import { join, resolve } from 'node:path';
import { nanoid } from 'nanoid';
import type { Logger } from 'pino';
import type { FileList } from '../../shared/data/file-list.ts';
import { defaults, progressEvery, timeouts } from '../../shared/defaults.ts';
import { CornetError, exitCodes } from '../../shared/errors.ts';
import { stateLayout } from '../../shared/formats/state-layout.ts';
import { buildModel } from '../../shared/models/family.ts';
import { say } from '../../shared/process/say.ts';
import { version } from '../../shared/process/version.ts';
import {
  configFormat,
  type ReadoutConfig,
  type ReadoutResult,
  readoutConfig,
} from '../../shared/run-config.ts';
import { canonicalJson } from '../../shared/util/canonical-json.ts';
import { quoteName } from '../../shared/util/printable.ts';
import type { BatchResult } from '../../shared/wire/protocol.ts';
import { Interruption } from '../conduct/interruption.ts';
import { chooseBackend, chooseLocalWorkers, chooseThreads } from '../conduct/local-options.ts';
import type { RunObserver } from '../conduct/ports.ts';
import { type Course, type Service, serveRun } from '../conduct/service.ts';
import { chooseDevices } from '../host/gpus.ts';
import { jobsPerMember } from '../protocol/job-round.ts';
import type { ValidationSummary } from '../protocol/validation-summary.ts';
import { RunFolder } from '../run-folder/run-folder.ts';
import type { FeatureFiles } from './feature-files.ts';
import type { Journal } from './journal.ts';
import type { ReadoutOptions } from './options.ts';
import { openJournal, ReadoutOutput, type UnreadablePicture, unreadablePictures } from './readout-output.ts';
import { ReadoutProgress } from './readout-progress.ts';
import type { ReadoutWeights } from './readout-weights.ts';

export interface Readout {
  options: ReadoutOptions;
  result: ReadoutResult;
  weights: ReadoutWeights;
  files: FileList;
  /** What the work is called in its folder's name: `CORnet-S_features`. */
  name: string;
  /** What is done, for the first line on the terminal. */
  title: string;
  /** Bytes that one job yields. */
  batchBytes: number;
  /** Opens the files that rows go to; null: there are no rows. */
  openFeatures: ((folder: string, state: 'new' | 'begun' | 'full') => Promise<FeatureFiles>) | null;
  /** All batches are stored: writes what the user asked for, and returns what is to be said. */
  complete: (finished: FinishedReadout) => Promise<string[]>;
}

export interface FinishedReadout {
  config: ReadoutConfig;
  unreadable: UnreadablePicture[];
  features: FeatureFiles | null;
  /** Of a validation. */
  summary: ValidationSummary | null;
}

/**
 * Begins or goes on with a read-out and conducts it to its end; its folder is removed then.
 * @returns the exit code
 * @throws CornetError READOUT_UNFINISHED, and whatever ended it
 */
export async function serveReadout(readout: Readout): Promise<number> {
  const interruption = new Interruption();
  try {
    const path = join(resolve(readout.options.outputPath), `${readout.name}.unfinished`);
    const begun = await RunFolder.holdsRun(path);
    const folder = begun ? await RunFolder.open(path, hostname()) : await RunFolder.create(path, hostname());
    try {
      const config = begun ? await resumedConfig(readout, folder) : newConfig(readout);
      return await serveInFolder(readout, { config, folder, interruption });
    } finally {
      await folder.release();
    }
  } finally {
    interruption.release();
  }
}

interface Held {
  config: ReadoutConfig;
  folder: RunFolder;
  interruption: Interruption;
}

async function serveInFolder(readout: Readout, held: Held): Promise<number> {
  const { config, folder } = held;
  const { options, result, batchBytes } = readout;
  const { devices, notes } = await chooseDevices(chooseLocalWorkers(options, null), process.env);
  for (const note of notes) say(note);
  const snapshotBytes = stateLayout(buildModel(result.model, result.times), 'inference').bytes;
  const service: Service = {
    ...held,
    devices,
    redisUrl: options.redis,
    redisPatience: (options.wait ?? 0) * 1000,
    diskPatience: (options.waitForDisk ?? defaults.waitForDisk) * 1000,
    bytesNeeded: snapshotBytes + jobsPerMember * (devices.length + 1) * batchBytes,
    openHttp: null,
    metricsHost: undefined,
  };
  const opened: { close(): Promise<void> }[] = [];
  try {
    return await serveRun(service, async (surroundings) => {
      const { journal, finished } = await openJournal(folder.path, (sentence) => {
        surroundings.log.warn(sentence);
        say(sentence);
      });
      opened.push(journal);
      const batches = Math.ceil(readout.files.size / result.batchSize);
      const state = finished.size === 0 ? 'new' : finished.size < batches ? 'begun' : 'full';
      const features = (await readout.openFeatures?.(folder.path, state)) ?? null;
      if (features !== null) opened.push(features);
      announce(readout, { config, folder, devices, redisName: surroundings.redisName });
      return courseOf(readout, { config, folder, journal, finished, features, log: surroundings.log });
    });
  } finally {
    for (const one of opened) await one.close();
  }
}

interface Stored {
  config: ReadoutConfig;
  folder: RunFolder;
  journal: Journal;
  finished: Map<number, BatchResult>;
  features: FeatureFiles | null;
  log: Logger;
}

function courseOf(readout: Readout, stored: Stored): Course<number> {
  const { result, files, weights } = readout;
  const { folder, finished, features, config } = stored;
  const progress = new ReadoutProgress({
    out: process.stdout,
    images: files.size,
    before: imagesOf(finished, readout),
    now: () => performance.now(),
    every: progressEvery,
  });
  const output = new ReadoutOutput({ ...stored, weights, files, progress });
  return {
    plan: {
      ...noSteps,
      round: {
        job: result.task.type === 'features' ? 'features' : 'validate',
        batches: Math.ceil(files.size / result.batchSize),
        finished,
      },
    },
    output,
    display: progress,
    describeShard: (step, lane) => `step ${step}, lane ${lane}`,
    describeBatch: (batch) => describeBatch(readout, batch),
    whenStopped: 'stopping; what is stored stays',
    howToGoOn: 'Give the same command again: what is stored stays.',
    observe: () => nobody,
    report: async (outcome) => {
      if (outcome.outcome === 'failed') throw CornetError.fromJSON(outcome.failure);
      if (outcome.outcome === 'interrupted') {
        const images = imagesOf(finished, readout);
        progress.say(`Stopped: ${images} of ${files.size} images are done. Go on with the same command.`);
        return exitCodes.resumable;
      }
      const unreadable = unreadablePictures(finished, files, result.batchSize);
      const { summary } = output;
      for (const line of await readout.complete({ config, unreadable, features, summary }))
        progress.say(line);
      folder.discard();
      return exitCodes.complete;
    },
  };
}

/** A run that is at its end, but for its round. */
const noSteps = {
  lanes: 0,
  totalSteps: 0,
  shares: () => [],
  learningRate: () => 0,
  deterministic: true,
  roundDue: () => true,
  checkpointDue: () => false,
  audited: () => [],
};

/** Nobody counts. */
const nobody: RunObserver = {
  saw: () => undefined,
  recomputed: () => undefined,
  redisAnswered: () => undefined,
  failed: async () => undefined,
};

function newConfig({ options, result }: Readout): ReadoutConfig {
  return {
    format: configFormat,
    run: nanoid(10),
    version,
    term: 1,
    result,
    backend: chooseBackend(options.backend, options.precision),
    threads: chooseThreads(options, chooseLocalWorkers(options, null)),
    numerics: null,
    options: freeOptions(options),
  };
}

/** The configuration that the folder's read-out was begun with, which must be the same but for where and by whom. */
async function resumedConfig(readout: Readout, folder: RunFolder): Promise<ReadoutConfig> {
  const { options, result } = readout;
  const parsed = readoutConfig.safeParse(await folder.readConfig());
  if (!parsed.success) {
    throw new CornetError(
      'RUN_DAMAGED',
      `${quoteName(folder.configPath)} is not a read-out's configuration.`,
      {
        hint: `Remove ${quoteName(folder.path)} and start again.`,
      },
    );
  }
  const former = parsed.data;
  const changed = changedSettings(former.result, result);
  if (options.threads !== undefined && options.threads !== former.threads) changed.push('--threads');
  if (options.backend !== former.backend) changed.push('--backend');
  if (changed.length === 0) {
    return { ...former, version, term: former.term + 1, options: freeOptions(options) };
  }
  throw new CornetError(
    'READOUT_UNFINISHED',
    `${folder.path} holds an unfinished read-out with another value of ${changed.join(', ')}.`,
  );
}

function freeOptions({ dataPath, workers, skipUnreadable }: ReadoutOptions): ReadoutConfig['options'] {
  return {
    dataPath: resolve(dataPath),
    decodeThreads: workers ?? defaults.decodeThreads,
    skipUnreadable,
    joinTimeout: timeouts.join,
    workerTimeout: timeouts.worker,
  };
}

const settingNames: Record<string, string> = {
  imageSize: '--imsize',
  batchSize: '--batch-size',
  fingerprint: '--data-path (other images)',
  taps: '--layer, --sublayer, --tap or --time-step',
};

/** What differs between two read-outs, by the names of the options. */
export function changedSettings(former: ReadoutResult, now: ReadoutResult): string[] {
  const flat = ({ task, ...rest }: ReadoutResult): Record<string, unknown> => ({ ...rest, ...task });
  const [a, b] = [flat(former), flat(now)];
  const { images: _, ...keys } = { ...a, ...b }; // the fingerprint tells more
  return Object.keys(keys)
    .filter((key) => canonicalJson(a[key] ?? null) !== canonicalJson(b[key] ?? null))
    .map((key) => settingNames[key] ?? `--${key}`);
}

function imagesOf(finished: ReadonlyMap<number, BatchResult>, { files, result }: Readout): number {
  const { batchSize } = result;
  let images = 0;
  for (const batch of finished.keys()) images += Math.min(batchSize, files.size - batch * batchSize);
  return images;
}

function describeBatch({ files, result }: Readout, batch: number): string {
  const first = batch * result.batchSize;
  const last = Math.min(first + result.batchSize, files.size) - 1;
  return `batch ${batch} (images ${first} to ${last}: ${quoteName(files.path(first))} to ${quoteName(files.path(last))})`;
}

function announce(
  { title, files, result, options }: Readout,
  held: { config: ReadoutConfig; folder: RunFolder; devices: string[]; redisName: string },
): void {
  const { config, folder, devices, redisName } = held;
  const workers =
    devices.length === 0 ? 'no local workers' : `${devices.length} × ${devices[0]?.split(':')[0]}`;
  process.stdout.write(
    [
      `CORnet-${result.model}: ${title} (run ${config.run} in ${quoteName(folder.path)})`,
      `  images    ${files.size} in ${quoteName(config.options.dataPath)}, ${result.imageSize} px, ${result.batchSize} at once`,
      `  weights   ${quoteName(options.weights)} (SHA-256 ${result.weights.slice(0, 8)}…)`,
      `  workers   ${workers}, ${config.threads} threads each, ${result.precision}, over ${redisName}`,
      '',
    ].join('\n'),
  );
}
