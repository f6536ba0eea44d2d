/** `coordinator start`: from options to a run, and its end. */
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { availableParallelism, hostname } from 'node:os';
import { nanoid } from 'nanoid';
import { type Logger, pino } from 'pino';
import { type DatasetIndex, indexDataset } from '../shared/data/dataset-index.ts';
import { progressEvery, timeouts } from '../shared/defaults.ts';
import { CornetError, type ErrorCode, errorTable, exitCodes } from '../shared/errors.ts';
import { buildModel } from '../shared/models/family.ts';
import { initialBody } from '../shared/models/initial-weights.ts';
import { connectRedis, OutageLog, redactUrl, redisOptions } from '../shared/redis.ts';
import { checkTimeouts, type RunConfig, runConfig, totalSteps } from '../shared/run-config.ts';
import { stateLayout } from '../shared/state-layout.ts';
import { vectorLayout } from '../shared/vector-layout.ts';
import { version } from '../shared/version.ts';
import { workerEnvironment } from '../shared/worker-environment.ts';
import { Checkpoints } from './checkpoints.ts';
import { Conductor, type Outcome } from './conductor.ts';
import { Fleet } from './fleet.ts';
import {
  changedOptions,
  chooseFreeOptions,
  chooseOptions,
  chooseThreads,
  localDevices,
  type StartOptions,
} from './options.ts';
import { planOf, scheduleOf } from './plan.ts';
import { duration, Progress } from './progress.ts';
import { PrivateRedis, shutDownLeftover } from './redis-server.ts';
import { Run } from './run.ts';
import { RunFolder } from './run-folder.ts';

export interface RunReport {
  exitCode: number;
  config: RunConfig;
  folder: string;
  checkpoint: string | null;
  validation: { loss: number; top1: number; top5: number } | null;
  imagesPerSecond: number | null;
}

/** Starts or resumes a run and conducts it to its end. */
export async function startRun(options: StartOptions): Promise<RunReport> {
  const devices = localDevices(options);
  const folder = options.resume
    ? await RunFolder.open(options.outputPath, hostname())
    : await RunFolder.create(options.outputPath, hostname());
  const log = openLog(folder.logPath);
  try {
    const config = options.resume
      ? await resumedConfig(options, folder)
      : await newConfig(options, devices.length);
    const outcome = await conductWithServices(options, config, devices, folder, log);
    return outcome;
  } catch (error) {
    log.fatal({ code: error instanceof CornetError ? error.code : 'INTERNAL' }, String(error));
    throw error;
  } finally {
    log.flush();
    await folder.release();
  }
}

async function newConfig(options: StartOptions, localWorkers: number): Promise<RunConfig> {
  const chosen = chooseOptions(options, localWorkers);
  const free = chooseFreeOptions(options, chosen.model, null);
  const index = await indexDataset(free.dataPath, ['train', 'val']);
  return checked({
    format: 1,
    run: nanoid(10),
    version,
    term: 1,
    result: {
      ...chosen,
      startingWeights: await startingWeights(options, chosen.seed),
      ...describeData(index),
    },
    backend: options.backend ?? 'torch',
    threads: chooseThreads(options, localWorkers),
    numerics: null,
    options: free,
  });
}

async function resumedConfig(options: StartOptions, folder: RunFolder): Promise<RunConfig> {
  const parsed = runConfig.safeParse(await folder.readConfig());
  if (!parsed.success) {
    throw new CornetError(
      'RUN_DAMAGED',
      `${folder.configPath} is not a run's configuration: ${parsed.error.issues[0]?.message}.`,
    );
  }
  const former = parsed.data;
  const changed = changedOptions(options, former.result, former.threads);
  if (changed.length > 0) {
    throw new CornetError('RESULT_OPTION_CHANGED', `A resume cannot change ${changed.join(', ')}.`);
  }
  const free = chooseFreeOptions(options, former.result.model, former.options);
  const { fingerprint } = describeData(await indexDataset(free.dataPath, ['train', 'val']));
  if (fingerprint !== former.result.fingerprint) {
    throw new CornetError(
      'DATA_DIFFERS',
      `The data set at ${free.dataPath} has the fingerprint ${fingerprint}, the run's is ${former.result.fingerprint}.`,
    );
  }
  return checked({ ...former, version, term: former.term + 1, options: free });
}

function checked(config: RunConfig): RunConfig {
  const wrong = checkTimeouts(config.options);
  if (wrong !== null) throw new CornetError('OPTION_INVALID', wrong);
  return runConfig.parse(config);
}

async function startingWeights({ restorePath }: StartOptions, seed: number): Promise<string> {
  if (restorePath === undefined) return `seed ${seed}`;
  let bytes: Uint8Array;
  try {
    bytes = await readFile(restorePath);
  } catch (cause) {
    throw new CornetError(
      'CHECKPOINT_DAMAGED',
      `The checkpoint ${restorePath} cannot be read: ${(cause as Error).message}.`,
      {
        hint: 'Check --restore-path.',
        cause,
      },
    );
  }
  return `sha256 ${createHash('sha256').update(bytes).digest('hex')}`;
}

function describeData(index: DatasetIndex<'train' | 'val'>) {
  return {
    fingerprint: index.fingerprint,
    trainImages: index.train.size,
    valImages: index.val.size,
    classes: index.classes.length,
  };
}

async function conductWithServices(
  options: StartOptions,
  config: RunConfig,
  devices: string[],
  folder: RunFolder,
  log: Logger,
): Promise<RunReport> {
  const { result } = config;
  const model = buildModel(result.model, result.times);
  const layout = stateLayout(model);
  const checkpoints = await Checkpoints.open(
    folder.checkpointsPath,
    layout.slots,
    config.options.keepCheckpoints,
  );
  const leftover = options.resume ? await folder.rememberedRedis() : null;
  if (leftover !== null) await shutDownLeftover(leftover);

  const server = options.redis === undefined ? await PrivateRedis.start() : null;
  const url = options.redis ?? server!.url;
  try {
    if (server !== null) await folder.rememberRedis(server.socket);
    await folder.writeConfig(config);
    return await conductOn(url, server);
  } finally {
    if (server !== null) {
      await server.stop();
      await folder.forgetRedis();
    }
  }

  async function conductOn(url: string, server: PrivateRedis | null): Promise<RunReport> {
    const schedule = scheduleOf(config);
    const plan = planOf(config, schedule);
    const progress = new Progress({
      out: process.stdout,
      stepsPerEpoch: schedule.stepsPerEpoch,
      totalSteps: plan.totalSteps,
      now: () => performance.now(),
      every: progressEvery,
    });
    log.info({ config }, 'Starting.');
    announce(config, folder.path, server === null ? redactUrl(url) : 'a private redis-server', devices);

    const vectorBytes = 4 * vectorLayout(model, result.imageSize).length;
    const bytesNeeded = 2 * (result.lanes + 1) * vectorBytes + 2 * layout.bytes;
    const outages = new OutageLog(
      url,
      (level, sentence) => {
        log[level](sentence);
        progress.say(sentence);
      },
      () => performance.now(),
    );
    const connect = async (purpose: string) => {
      const redis = await connectRedis(url, { name: `cornet-coordinator-${purpose}`, bytesNeeded });
      outages.watch(redis);
      return redis;
    };
    const [redis, blobRedis, readerRedis] = await Promise.all([
      connect('main'),
      connect('blobs'),
      connect('reader'),
    ]);

    const run = new Run({
      plan,
      limits: {
        member: timeouts.member,
        step: timeouts.step,
        join: config.options.joinTimeout,
        worker: config.options.workerTimeout,
      },
      era: { term: config.term, boot: 0 },
      common: { version, fingerprint: result.fingerprint, probe: config.numerics?.probe ?? null },
      fleetSize: devices.length,
      describeShard: (step, lane) => {
        const { epoch, samples } = schedule.shard(step, lane);
        return `step ${step}, lane ${lane} (epoch ${epoch}, samples ${describeSamples(samples)})`;
      },
    });
    const conductor = new Conductor({
      config,
      run,
      schedule,
      folder,
      checkpoints,
      initialState: async () => ({ step: 0, body: initialBody(model, result.seed) }),
      restorePath: options.restorePath ?? null,
      redis,
      blobRedis,
      readerRedis,
      queueConnection: redisOptions(url),
      log,
      progress,
    });
    const fleet = new Fleet({
      run: config.run,
      devices,
      dataPath: config.options.dataPath,
      environment: {
        ...workerEnvironment(process.env, {
          threads: config.threads,
          workers: devices.length,
          cores: availableParallelism(),
          decodeThreads: config.options.decodeThreads,
        }),
        CORNET_REDIS_URL: url,
      },
      line: (text) => logWorkerLine(log, text),
      exited: (worker, reason) => {
        if (worker !== null) conductor.tell({ type: 'exited', worker, reason });
      },
      hopeless: (words) =>
        conductor.abort(new CornetError('WORKER_FAILED', `A local worker cannot start: ${words}`)),
    });
    const release = onSignals(
      (signal) => {
        progress.say(`${signal}: stopping after a checkpoint; a second ${signal} stops at once.`);
        conductor.tell({ type: 'stop', reason: `received ${signal}` });
      },
      () => fleet.kill(),
    );
    try {
      const conducting = conductor.conduct();
      fleet.start();
      const outcome = await conducting;
      progress.end();
      return report(outcome, conductor, progress);
    } finally {
      release();
      await fleet.stop();
      await conductor.forgetRun().catch((error) => log.warn(`Redis keeps leftovers of the run: ${error}`));
      for (const connection of [redis, blobRedis, readerRedis]) connection.disconnect();
    }
  }

  function report(outcome: Outcome, conductor: Conductor, progress: Progress): RunReport {
    if (outcome.outcome === 'failed') {
      const { code, message, hint } = outcome.failure;
      throw new CornetError(
        code in errorTable ? (code as ErrorCode) : 'INTERNAL',
        message,
        hint === undefined ? {} : { hint },
      );
    }
    const latest = checkpoints.latest;
    if (outcome.outcome === 'complete' && conductor.diskError !== null) throw conductor.diskError;
    const { images, seconds } = progress.totals;
    const summary: RunReport = {
      exitCode: outcome.outcome === 'complete' ? exitCodes.complete : exitCodes.resumable,
      config,
      folder: folder.path,
      checkpoint: latest?.file ?? null,
      validation: progress.latest.validation,
      imagesPerSecond: seconds > 0 ? images / seconds : null,
    };
    if (outcome.outcome === 'interrupted') {
      const at =
        latest === null ? 'before its first checkpoint' : `at step ${latest.step} of ${totalSteps(config)}`;
      process.stdout.write(
        `Stopped ${at}. Continue with: coordinator start --resume --output-path ${folder.path}\n`,
      );
    } else {
      process.stdout.write(
        `Done: ${totalSteps(config)} steps, last checkpoint ${folder.checkpointsPath}/${latest?.file} (${duration(seconds)} in steps).\n`,
      );
    }
    log.info({ outcome: outcome.outcome }, 'Finished.');
    return summary;
  }
}

function openLog(path: string): Logger {
  return pino(
    { base: { pid: process.pid }, timestamp: pino.stdTimeFunctions.isoTime },
    pino.destination({ dest: path, append: true, sync: true }),
  );
}

/** A worker's line is JSON already, or the last words of a library. */
function logWorkerLine(log: Logger, text: string): void {
  try {
    const { level, msg, time, ...rest } = JSON.parse(text) as { level: number; msg: string; time: number };
    const name = pino.levels.labels[level] ?? 'info';
    log[name as 'info'](rest, msg);
  } catch {
    log.info({ worker: 'output' }, text);
  }
}

function announce(config: RunConfig, folder: string, redis: string, devices: string[]): void {
  const { result, options } = config;
  const workers =
    devices.length === 0 ? 'no local workers' : `${devices.length} × ${devices[0]?.split(':')[0]}`;
  process.stdout.write(
    [
      `CORnet-${result.model} run ${config.run} in ${folder}`,
      `  data      ${options.dataPath}: ${result.trainImages} training and ${result.valImages} validation images, ${result.classes} classes`,
      `  schedule  ${totalSteps(config)} steps of ${result.batchSize} images (${options.epochs} epochs), lr ${result.learningRate}, step size ${result.stepSize}, momentum ${result.momentum}, weight decay ${result.weightDecay}`,
      `  result    ${result.lanes} lanes, ${config.threads} threads each, seed ${result.seed}, ${result.precision}, ${result.imageSize} px`,
      `  workers   ${workers} over ${redis}`,
      '',
    ].join('\n'),
  );
}

function describeSamples(samples: ArrayLike<number>): string {
  const shown = Array.from(samples).slice(0, 8).join(', ');
  return samples.length > 8 ? `${shown}, … (${samples.length} in all)` : shown;
}

/** The first signal asks the run to stop, the second ends everything at once. */
function onSignals(first: (signal: string) => void, second: () => void): () => void {
  let received = 0;
  const handle = (signal: NodeJS.Signals) => {
    if (++received === 1) return first(signal);
    second();
    process.exit(exitCodes.resumable);
  };
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, handle);
  return () => {
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.off(signal, handle);
  };
}
