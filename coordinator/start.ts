/** `coordinator start`: from options to a run, and its end. */
import { availableParallelism, hostname } from 'node:os';
import type { Redis } from 'ioredis';
import { nanoid } from 'nanoid';
import { RedisBlobs } from '../shared/blobs.ts';
import { Carriers, placeOfThisProcess } from '../shared/carriers.ts';
import { http as httpDefaults, progressEvery, timeouts } from '../shared/defaults.ts';
import { CornetError, describeError, exitCodes } from '../shared/errors.ts';
import { Faults, faultMarkerVariable } from '../shared/faults.ts';
import { HttpServer } from '../shared/http-server.ts';
import { Metrics, setTraffic } from '../shared/metrics.ts';
import { buildModel } from '../shared/models/family.ts';
import { names } from '../shared/protocol.ts';
import { connectRedis, OutageLog, redactUrl, redisOptions } from '../shared/redis.ts';
import { type RunConfig, totalSteps } from '../shared/run-config.ts';
import { BlobClient } from '../shared/socket-blobs.ts';
import { stateLayout } from '../shared/state-layout.ts';
import { vectorLayout } from '../shared/vector-layout.ts';
import { version } from '../shared/version.ts';
import { workerEnvironment } from '../shared/worker-environment.ts';
import { Checkpoints } from './checkpoints.ts';
import { Conductor, type Outcome } from './conductor.ts';
import { newConfig, resumedConfig } from './config.ts';
import { Fleet } from './fleet.ts';
import { Interruption } from './interruption.ts';
import { readRedis } from './metrics/redis-metrics.ts';
import { RunMetrics } from './metrics/run-metrics.ts';
import { serviceDiscovery } from './metrics/service-discovery.ts';
import { localDevices, type StartOptions } from './options.ts';
import { planOf, scheduleOf } from './plan.ts';
import { duration, Progress } from './progress.ts';
import { PrivateRedis, shutDownLeftover } from './redis-server.ts';
import { Run } from './run.ts';
import { RunFolder } from './run-folder.ts';
import { RunLog } from './run-log.ts';
import { startingState } from './starting-point.ts';
import { refuseIfServed } from './status.ts';

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
  const interruption = new Interruption();
  try {
    const folder = options.resume
      ? await RunFolder.open(options.outputPath, hostname())
      : await RunFolder.create(options.outputPath, hostname());
    try {
      const config = options.resume
        ? await resumedConfig(options, folder)
        : await newConfig(options, devices.length);
      interruption.throwIfAsked();
      return await withRedis(options, folder, (redis) =>
        serveRun({ options, config, devices, folder, interruption, redis }),
      );
    } finally {
      await folder.release();
    }
  } finally {
    interruption.release();
  }
}

interface RunRedis {
  url: string;
  /** Null: the user's own. */
  server: PrivateRedis | null;
}

async function withRedis<T>(
  options: StartOptions,
  folder: RunFolder,
  use: (redis: RunRedis) => Promise<T>,
): Promise<T> {
  const leftover = options.resume ? await folder.rememberedRedis() : null;
  if (leftover !== null) await shutDownLeftover(leftover);
  if (options.redis !== undefined) return use({ url: options.redis, server: null });
  const server = await PrivateRedis.start();
  try {
    await folder.rememberRedis(server.socket);
    return await use({ url: server.url, server });
  } finally {
    await server.stop();
    await folder.forgetRedis();
  }
}

interface RunParts {
  options: StartOptions;
  config: RunConfig;
  devices: string[];
  folder: RunFolder;
  interruption: Interruption;
  redis: RunRedis;
}

interface Connections {
  redis: Redis;
  blobRedis: Redis;
  readerRedis: Redis;
}

/** Looks at everything that can be refused before the folder holds a run. */
async function serveRun(parts: RunParts): Promise<RunReport> {
  const { config, folder, interruption } = parts;
  const { url, server } = parts.redis;
  const model = buildModel(config.result.model, config.result.times);
  const vectorBytes = 4 * vectorLayout(model, config.result.imageSize).length;
  const bytesNeeded = 2 * (config.result.lanes + 1) * vectorBytes + 2 * stateLayout(model).bytes;
  const connect = (purpose: string) =>
    connectRedis(url, { name: `cornet-coordinator-${purpose}`, bytesNeeded });
  const redis = await connect('main');
  const connections: Connections = {
    redis,
    blobRedis: await connect('blobs'),
    readerRedis: await connect('reader'),
  };
  try {
    if (server === null) await refuseIfServed(redis, config.run, redactUrl(url));
    interruption.throwIfAsked();
    const http = await openHttp(parts.options);
    try {
      await folder.writeConfig(config);
      const log = new RunLog(folder.logPath);
      try {
        return await conductRun(parts, connections, log, http);
      } catch (error) {
        const { code, message } = describeError(error);
        log.main.fatal({ code }, message);
        throw error;
      } finally {
        log.close();
      }
    } finally {
      await http.close();
    }
  } finally {
    for (const connection of Object.values(connections)) connection.disconnect();
  }
}

/** Without --metrics-port a second run on this machine takes whatever port is free. */
async function openHttp({ metricsHost, metricsPort }: StartOptions): Promise<HttpServer> {
  const host = metricsHost ?? httpDefaults.host;
  if (metricsPort !== undefined) return HttpServer.listen(host, metricsPort);
  return HttpServer.listen(host, httpDefaults.port).catch(() => HttpServer.listen(host, 0));
}

async function conductRun(
  { options, config, devices, folder, interruption, redis: { url, server } }: RunParts,
  { redis, blobRedis, readerRedis }: Connections,
  { main: log, ofWorker }: RunLog,
  http: HttpServer,
): Promise<RunReport> {
  const { result } = config;
  const model = buildModel(result.model, result.times);
  const keep = config.options.keepCheckpoints;
  const checkpoints = await Checkpoints.open(folder.checkpointsPath, stateLayout(model).slots, keep);
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
  const redisName = server === null ? redactUrl(url) : 'a private redis-server';
  announce(config, folder.path, redisName, devices, http.address);
  const outages = new OutageLog(
    url,
    (level, sentence) => {
      log[level](sentence);
      progress.say(sentence);
    },
    () => performance.now(),
  );
  for (const connection of [redis, blobRedis, readerRedis]) outages.watch(connection);
  // Workers of a former term that are still there know the former token.
  const token = (await redis.get(names.token(config.run))) ?? nanoid();

  const run = new Run({
    plan,
    limits: {
      member: timeouts.member,
      step: timeouts.step,
      join: config.options.joinTimeout,
      worker: config.options.workerTimeout,
    },
    era: { term: config.term, boot: 0 },
    common: {
      version,
      fingerprint: result.fingerprint,
      place: placeOfThisProcess(),
      probe: config.numerics?.probe ?? null,
    },
    fleetSize: devices.length,
    describeShard: (step, lane) => {
      const { epoch, samples } = schedule.shard(step, lane);
      return `step ${step}, lane ${lane} (epoch ${epoch}, samples ${describeSamples(samples)})`;
    },
  });
  const metrics = new Metrics(() => performance.now());
  const runMetrics = new RunMetrics({
    ...{ metrics, config, run },
    now: () => performance.now(),
    clock: () => Date.now(),
  });
  const blobs = new Carriers(new RedisBlobs(blobRedis, names.blob(config.run)), new BlobClient(token), null);
  const conductor = new Conductor({
    config,
    run,
    schedule,
    folder,
    checkpoints,
    initialState: () => startingState(config, model),
    restorePath: options.resume ? (options.restorePath ?? null) : null,
    redis,
    blobs,
    token,
    readerRedis,
    queueConnection: redisOptions(url),
    faults: new Faults({ ...process.env, [faultMarkerVariable]: folder.faultMarkerPath }),
    log,
    progress,
    metrics: runMetrics,
  });
  readRedis(metrics, runMetrics, { redis, queues: () => conductor.queues });
  metrics.beforeReading(() => setTraffic(runMetrics.all.exchange_bytes_total, blobs));
  http.serve([metrics.route, serviceDiscovery(http.address, config.run, () => run.workers)], (path, error) =>
    log.warn({ path, error: describeError(error).message }, 'A request over HTTP failed.'),
  );
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
      [faultMarkerVariable]: folder.faultMarkerPath,
    },
    line: ofWorker,
    exited: (worker, reason) => {
      if (worker !== null) conductor.tell({ type: 'exited', worker, reason });
    },
    hopeless: (words) =>
      conductor.abort(new CornetError('WORKER_FAILED', `A local worker cannot start: ${words}`)),
  });
  server?.exited.then((how) => {
    conductor.abort(
      new CornetError('REDIS_SERVER_FAILED', `The private redis-server is gone: ${how}.`, {
        hint: 'Start again with --resume: the last checkpoint is untouched.',
      }),
    );
  });
  interruption.onAsked((signal) => {
    progress.say(`${signal}: stopping after a checkpoint; a second signal stops at once.`);
    conductor.tell({ type: 'stop', reason: `received ${signal}` });
  });
  interruption.onEnd(() => {
    fleet.kill();
    server?.kill();
  });
  try {
    const conducting = conductor.conduct();
    fleet.start();
    const outcome = await conducting;
    progress.end();
    log.info({ outcome: outcome.outcome }, 'Finished.');
    return report({ outcome, config, folder, checkpoints, conductor, progress });
  } finally {
    progress.end();
    await fleet.stop();
  }
}

/** What the end of a run means for the user. */
function report({
  outcome,
  config,
  folder,
  checkpoints,
  conductor,
  progress,
}: {
  outcome: Outcome;
  config: RunConfig;
  folder: RunFolder;
  checkpoints: Checkpoints;
  conductor: Conductor;
  progress: Progress;
}): RunReport {
  if (outcome.outcome === 'failed') throw CornetError.fromJSON(outcome.failure);
  if (conductor.diskError !== null) throw conductor.diskError;
  const { latest } = checkpoints;
  const { images, seconds } = progress.totals;
  const complete = outcome.outcome === 'complete';
  if (complete) {
    progress.say(
      `Done: ${totalSteps(config)} steps, last checkpoint ${folder.checkpointsPath}/${latest?.file} (${duration(seconds)} in steps).`,
    );
  } else {
    const at =
      latest === null ? 'before its first checkpoint' : `at step ${latest.step} of ${totalSteps(config)}`;
    progress.say(`Stopped ${at}. Continue with: coordinator start --resume --output-path ${folder.path}`);
  }
  return {
    exitCode: complete ? exitCodes.complete : exitCodes.resumable,
    config,
    folder: folder.path,
    checkpoint: latest?.file ?? null,
    validation: progress.latest.validation,
    imagesPerSecond: seconds > 0 ? images / seconds : null,
  };
}

function announce(
  config: RunConfig,
  folder: string,
  redis: string,
  devices: string[],
  address: string,
): void {
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
      `  metrics   http://${address}/metrics`,
      '',
    ].join('\n'),
  );
}

function describeSamples(samples: ArrayLike<number>): string {
  const shown = Array.from(samples).slice(0, 8).join(', ');
  return samples.length > 8 ? `${shown}, … (${samples.length} in all)` : shown;
}
