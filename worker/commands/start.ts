/** From the command's options to a worker at work. */
import { hostname } from 'node:os';
import { resolve } from 'node:path';
import type { Redis } from 'ioredis';
import type { Logger } from 'pino';
import { userIndexCache } from '../../shared/data/index-cache.ts';
import { http as httpDefaults, plainRecipe, progressEvery, redisConnections } from '../../shared/defaults.ts';
import { CornetError, describeError, exitCodes } from '../../shared/errors.ts';
import { stateLayout } from '../../shared/formats/state-layout.ts';
import { modelOf } from '../../shared/models/family.ts';
import { freezingOf } from '../../shared/models/freeze.ts';
import { Faults } from '../../shared/process/faults.ts';
import { HttpServer } from '../../shared/process/http-server.ts';
import { Metrics } from '../../shared/process/metrics.ts';
import { onUnexpectedEnd } from '../../shared/process/unexpected-end.ts';
import { version } from '../../shared/process/version.ts';
import { readByCoordinator, readOnTerminal } from '../../shared/process/worker-environment.ts';
import { OutageLog } from '../../shared/redis/outages.ts';
import { isLoopback, ownAddress } from '../../shared/redis/own-address.ts';
import { waitInQueues } from '../../shared/redis/queue-connections.ts';
import { awaitRedis, connectRedis, redactUrl, redisOptions } from '../../shared/redis/redis.ts';
import { type AnyConfig, isInference, purposeOf } from '../../shared/run-config.ts';
import { newId } from '../../shared/util/new-id.ts';
import type { PortRange } from '../../shared/util/port-range.ts';
import { quoteName } from '../../shared/util/printable.ts';
import { names } from '../../shared/wire/protocol.ts';
import { lastEntry, StreamReader } from '../../shared/wire/streams.ts';
import { openDecoder } from '../data/decode.ts';
import { findImages, openLoader } from '../data/open-data.ts';
import { pixelProbe } from '../data/pixel-probe.ts';
import type { EngineOptions } from '../engine/engine.ts';
import type { EngineClient } from '../engine/engine-client.ts';
import { GpuWatch } from '../perform/gpu-watch.ts';
import { Heartbeat } from '../perform/heartbeat.ts';
import type { LeaveRequests } from '../perform/leave-requests.ts';
import { WorkerMetrics } from '../perform/metrics.ts';
import { openBlobs } from '../perform/open-blobs.ts';
import { Remarks } from '../perform/remarks.ts';
import { Voice } from '../perform/voice.ts';
import { WorkerLog } from '../perform/worker-log.ts';
import { WorkerShell } from '../perform/worker-shell.ts';
import { Member } from '../protocol/member.ts';
import { awaitRun, waitForEra } from './find-run.ts';

export interface WorkerOptions {
  /** Seconds that it waits for Redis and the run. */
  wait: number;
  redis: string;
  run?: string;
  device: string;
  dataPath?: string;
  workers?: number;
  threads?: number;
  metricsPort?: number;
  metricsHost?: string;
  /** Where it serves gradients to other hosts, and on which of these ports: the first that is free. */
  blobHost?: string;
  blobPorts?: PortRange;
}

/**
 * Serves a run to its end. An error on the way there ends the process, and with it the engine and all connections: to
 * close them one by one could only take longer.
 * @param engine not opened yet
 * @returns the exit code
 */
export async function startWorker(
  options: WorkerOptions,
  engine: EngineClient,
  requests: LeaveRequests,
): Promise<number> {
  const patience = options.wait * 1000;
  const config = await awaitRun(options.redis, options.run, patience);
  const now = () => performance.now();
  const remarks = process.env[readByCoordinator] === undefined ? new Remarks(now) : null;
  const workerLog = new WorkerLog({
    out: process.stdout,
    forPeople: process.stdout.isTTY || process.env[readOnTerminal] !== undefined,
    device: options.device,
    remarks,
  });
  const log = workerLog.main;
  log.info(`${describeRun(config, redactUrl(options.redis))}: preparing to serve it on ${options.device}.`);
  onUnexpectedEnd(({ code, message }) => log.fatal({ code }, message));
  const http = await openHttp(options, log);
  const dataPath = resolve(options.dataPath ?? config.options.dataPath);
  const say = (sentence: string) => log.info(sentence);
  const cache = userIndexCache(process.env, say, { every: 2 * progressEvery.plain, show: say });
  const images = await findImages(config, dataPath, cache);
  const { fingerprint } = images;
  if (fingerprint !== config.result.fingerprint) {
    throw new CornetError(
      'DATA_DIFFERS',
      `The data set at ${quoteName(images.index.root)} has the fingerprint ${fingerprint}, the run's is ${config.result.fingerprint}.`,
    );
  }
  const engineOptions = engineOptionsOf(config, options.device, options.threads ?? config.threads);
  const opened = await engine.call('open', [engineOptions, warmUpImages(config, options.device)]);
  const { numerics, vectorLength, probe } = opened;
  for (const note of opened.notes) log.warn(note);
  const decodeThreads = options.workers ?? config.options.decodeThreads;
  const decoder = openDecoder(decodeThreads);
  log.info({ decodeThreads }, `Images are decoded by ${decoder.description}.`);
  const pixels = await pixelProbe(decoder);

  const outages = new OutageLog(options.redis, (level, sentence) => log[level](sentence), now);
  waitInQueues(outages);
  const connect = async (purpose: string, connectionsNeeded = 0): Promise<Redis> => {
    const name = `cornet-worker-${purpose}`;
    const wanted = { name, bytesNeeded: 0, connectionsNeeded };
    const redis = await awaitRedis(patience, () => connectRedis(options.redis, wanted));
    outages.watch(redis);
    return redis;
  };
  const redis = await connect('main', redisConnections.worker - 1 + redisConnections.queue);
  const [blobRedis, readerRedis] = await Promise.all([connect('blobs'), connect('reader')]);
  const from = await lastEntry(redis, names.down(config.run));
  const { era, token } = await waitForEra(redis, config.run);
  const { blobs, memory, greeting } = await openBlobs(
    config,
    options,
    { redis, blobRedis, token },
    (sentence) => log.warn(sentence),
  );
  const member = new Member(newId, era, {
    host: hostname(),
    pid: process.pid,
    ...greeting,
    version,
    fingerprint,
    numerics,
    probe,
    pixels,
    vectorLength,
    ...(http === null ? {} : { metrics: http.addressFor(seenAs(redis)) }),
  });
  const metrics = new Metrics(now);
  const { run } = config;
  const { device } = options;
  const about = { run, host: hostname(), device, trains: !isInference(config) };
  const workerMetrics = new WorkerMetrics({ metrics, ...about, numerics, now });
  const gpu = new GpuWatch(device, process.env);
  const { loader, loadBatch } = openLoader(images, decoder, config.result.imageSize);
  const shell = new WorkerShell({
    config,
    member,
    engine,
    vectorLength,
    snapshotBytes: stateLayout(modelOf(config.result), purposeOf(config)).bytes,
    batches: Math.ceil(images.round.files.size / images.round.batchSize),
    heartbeat: new Heartbeat(config, redis, workerMetrics, now),
    loader,
    loadBatch,
    redis,
    blobs,
    memory,
    reader: new StreamReader(readerRedis, names.down(config.run), from),
    queueConnection: redisOptions(options.redis),
    outages,
    log,
    voice: new Voice({ log: workerLog, remarks, run, device, images: () => workerMetrics.images, now }),
    faults: new Faults(process.env),
    metrics: workerMetrics,
    figures: () => ({ imagesPerSecond: workerMetrics.imagesPerSecond, gpu: gpu.figures }),
    tellParent: (note) => process.send?.(note),
  });
  workerMetrics.readFrom({
    blobs,
    loader,
    step: () => member.step,
    vitals: () => engine.call('vitals', []),
    utilization: () => gpu.utilization,
  });
  http?.serve([metrics.route], (path, error) =>
    log.warn({ path, error: describeError(error).message }, 'A request over HTTP failed.'),
  );
  const { error } = await shell.work(requests);
  gpu.close();
  await Promise.allSettled([loader.close(), engine.close(), blobs.close(), http?.close()]);
  for (const connection of [redis, blobRedis, readerRedis]) connection.disconnect();
  if (error !== null) throw error;
  return exitCodes.complete;
}

/** The address by which this machine reaches Redis; others are likely to reach it by the same. */
function seenAs(redis: Redis): string {
  const address = ownAddress(redis);
  return address === undefined || isLoopback(address) ? hostname() : address;
}

/** Metrics are no reason not to work, unless somebody asked where they are to be. */
async function openHttp(
  { metricsHost, metricsPort }: WorkerOptions,
  log: Logger,
): Promise<HttpServer | null> {
  const listening = HttpServer.listen(metricsHost ?? httpDefaults.host, metricsPort ?? 0);
  if (metricsPort !== undefined || metricsHost !== undefined) return listening;
  return listening.catch((error: Error) => {
    log.warn(`There are no metrics of this worker: ${error.message}`);
    return null;
  });
}

function engineOptionsOf(config: AnyConfig, device: string, threads: number): EngineOptions {
  const { backend } = config;
  const { model, custom, times, head, imageSize, normalize, precision } = config.result;
  const freezing = isInference(config) ? {} : freezingOf(config.result);
  const deterministic = isInference(config) || config.result.deterministic;
  const { optimizer, betas, clipNorm, momentum, nesterov, weightDecay, labelSmoothing, lrScale } =
    isInference(config) ? { ...plainRecipe, momentum: 0, weightDecay: 0 } : config.result;
  const purpose = purposeOf(config);
  return {
    backend,
    device,
    threads,
    purpose,
    model,
    custom,
    times,
    head,
    ...freezing,
    imageSize,
    normalize,
    precision,
    deterministic,
    optimizer,
    betas,
    clipNorm,
    momentum,
    nesterov,
    weightDecay,
    labelSmoothing,
    lrScale,
  };
}

/** A CPU has its memory when it needs it, and takes seconds for what a GPU does at once. */
function warmUpImages(config: AnyConfig, device: string): number | null {
  if (device === 'cpu' || isInference(config)) return null;
  return Math.ceil(config.result.batchSize / config.result.lanes);
}

/** `Run azUnbXW1Ql (CORnet-Z, training) on the Redis at redis://host:6379` */
function describeRun(config: AnyConfig, redis: string): string {
  const task = isInference(config) ? config.result.task.type : 'training';
  return `Run ${config.run} (CORnet-${config.result.model}, ${task}) on the Redis at ${redis}`;
}
