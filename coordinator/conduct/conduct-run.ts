/** Conducts a run: Redis, local workers, log and signals, from the first look to the end. Whatever the run is for. */
import { availableParallelism } from 'node:os';
import type { Queue } from 'bullmq';
import type { Redis } from 'ioredis';
import { nanoid } from 'nanoid';
import type { Logger } from 'pino';
import { redisConnections, timeouts } from '../../shared/defaults.ts';
import { CornetError, describeError } from '../../shared/errors.ts';
import { stateLayout } from '../../shared/formats/state-layout.ts';
import { modelOf } from '../../shared/models/family.ts';
import { Faults, faultMarkerVariable } from '../../shared/process/faults.ts';
import type { HttpServer } from '../../shared/process/http-server.ts';
import { calledAs } from '../../shared/process/own-command.ts';
import { version } from '../../shared/process/version.ts';
import {
  backendEnvironment,
  readByCoordinator,
  workerEnvironment,
} from '../../shared/process/worker-environment.ts';
import { OutageLog } from '../../shared/redis/outages.ts';
import type { PatientRedis } from '../../shared/redis/patient-redis.ts';
import { waitInQueues } from '../../shared/redis/queue-connections.ts';
import { awaitRedis, connectRedis, fromRedis, redactUrl, redisOptions } from '../../shared/redis/redis.ts';
import { type AnyConfig, purposeOf } from '../../shared/run-config.ts';
import type { PortRange } from '../../shared/util/port-range.ts';
import { withReleasers } from '../../shared/util/releasers.ts';
import { BlobClient } from '../../shared/wire/blob-client.ts';
import { BlobServer } from '../../shared/wire/blob-server.ts';
import { RedisBlobs } from '../../shared/wire/blobs.ts';
import { Carriers } from '../../shared/wire/carriers.ts';
import { names } from '../../shared/wire/protocol.ts';
import { socketNamespace } from '../../shared/wire/socket-folder.ts';
import { PatientDisk } from '../disk/patient-disk.ts';
import { Fleet } from '../host/fleet.ts';
import { joinHint } from '../host/join-command.ts';
import { PrivateRedis, shutDownLeftover } from '../host/redis-server.ts';
import { Run } from '../protocol/run.ts';
import type { Plan, RunEvent } from '../protocol/run-events.ts';
import type { RunFolder } from '../run-folder/run-folder.ts';
import { RunLog } from '../run-folder/run-log.ts';
import type { JoinHint } from '../view/run-view.ts';
import { Conductor, type Outcome } from './conductor.ts';
import type { Interruption } from './interruption.ts';
import { JoinReminder, type JoinReminderOptions } from './join-reminder.ts';
import type { RunObserver, RunOutput, RunReporter } from './ports.ts';
import { refuseIfRunning } from './refuse-if-running.ts';
import { takeTerm } from './run-keys.ts';

export interface RunSetup {
  config: AnyConfig;
  /** Local workers, one each: `cpu`, `cuda:0`, … */
  devices: string[];
  folder: RunFolder;
  interruption: Interruption;
  /** The user's Redis; undefined: a private one. */
  redisUrl: string | undefined;
  /** Milliseconds to wait until it is there. */
  redisPatience: number;
  /** Milliseconds that the end of the run waits for a disk that would not take its result. */
  diskPatience: number;
  /** What Redis must have room for. */
  bytesNeeded: number;
  /** Opens the port of the live page and the metrics; null: the run has none. */
  openHttp: (() => Promise<HttpServer>) | null;
  /** Where local workers serve their metrics; undefined: for this machine only. */
  metricsHost: string | undefined;
  /** Where they serve gradients to other hosts, and on which ports; undefined: as the workers choose. */
  blobHost: string | undefined;
  blobPorts: PortRange | undefined;
}

/** What `prepare` gets to make a `RunKind` with. */
export interface RunContext {
  log: Logger;
  faults: Faults<'coordinator'>;
  http: HttpServer | null;
  disk: PatientDisk;
  /** Where Redis is, for the user to read. */
  redisName: string;
  /** How a worker is added from elsewhere; null: nobody else reaches its Redis. */
  join: JoinHint | null;
}

/** What makes one kind of run differ from another. */
export interface RunKind<R> {
  plan: Plan;
  output: RunOutput;
  reporter: RunReporter;
  describeShard: (step: number, lane: number) => string;
  describeBatch: (batch: number) => string;
  /** What the wish to stop brings about, as a sentence without its end. */
  whenStopped: string;
  /** How to go on after the run was cut off. */
  howToGoOn: string;
  /** Null: nobody counts. */
  observe: ((observed: Observed) => RunObserver) | null;
  /** What the end of the run means for the user. */
  report: (outcome: Outcome) => Promise<R>;
}

/** What can be counted of a run. */
export interface Observed {
  run: Run;
  redis: Redis;
  blobs: Carriers;
  queues: () => Iterable<Queue>;
  /** Tells the run something from outside. */
  tell: (event: RunEvent) => void;
  outages: OutageLog;
}

/**
 * Conducts a run to its end. Everything that can be refused is looked at before the folder holds a run.
 * @throws CornetError that ended the run
 */
export function conductRun<R>(
  setup: RunSetup,
  prepare: (context: RunContext) => Promise<RunKind<R>>,
): Promise<R> {
  const { config, folder, interruption } = setup;
  return withReleasers(async (release) => {
    interruption.throwIfAsked();
    const redis = await openRedis(setup, release);
    const connections = await awaitRedis(setup.redisPatience, () => begin(redis, setup));
    release(() => disconnectAll(connections));
    interruption.throwIfAsked();
    const http = (await setup.openHttp?.()) ?? null;
    release(() => http?.close());
    await folder.writeConfig(config);
    const log = new RunLog(folder.logPath);
    release(() => log.close());
    try {
      return await runToItsEnd(setup, { redis, connections, log, http, prepare });
    } catch (error) {
      const { code, message } = describeError(fromRedis(error));
      log.main.fatal({ code }, message);
      throw error;
    }
  });
}

interface RunRedis {
  url: string;
  /** Null: the user's own. */
  server: PrivateRedis | null;
}

interface Connections {
  redis: PatientRedis;
  blobRedis: PatientRedis;
  readerRedis: PatientRedis;
}

interface Parts<R> {
  redis: RunRedis;
  connections: Connections;
  log: RunLog;
  http: HttpServer | null;
  prepare: (context: RunContext) => Promise<RunKind<R>>;
}

/** The user's Redis, or a private one that ends with the run. */
async function openRedis(
  { folder, redisUrl }: RunSetup,
  release: (releaser: () => unknown) => void,
): Promise<RunRedis> {
  const leftover = await folder.rememberedRedis();
  if (leftover !== null) await shutDownLeftover(leftover);
  if (redisUrl !== undefined) return { url: redisUrl, server: null };
  const server = await PrivateRedis.start();
  release(async () => {
    await server.stop();
    await folder.forgetRedis();
  });
  await folder.rememberRedis(server.socket);
  return { url: server.url, server };
}

/** Connects and takes the run's next term. */
async function begin({ url, server }: RunRedis, setup: RunSetup): Promise<Connections> {
  const { config, interruption } = setup;
  interruption.throwIfAsked();
  const connections = await connectAll(url, setup);
  try {
    if (server === null) await refuseIfRunning(connections.redis, config.run, redactUrl(url));
    config.term = await takeTerm(connections.redis, config.run, config.term);
    return connections;
  } catch (error) {
    disconnectAll(connections);
    throw error;
  }
}

async function connectAll(url: string, { bytesNeeded, devices }: RunSetup): Promise<Connections> {
  const made: Partial<Connections> = {};
  const connect = (purpose: string, connectionsNeeded = 0) =>
    connectRedis(url, { name: `cornet-coordinator-${purpose}`, bytesNeeded, connectionsNeeded });
  const local = devices.length * (redisConnections.worker + redisConnections.queue);
  try {
    made.redis = await connect('main', redisConnections.coordinator - 1 + local);
    made.blobRedis = await connect('blobs');
    made.readerRedis = await connect('reader');
    return made as Connections;
  } catch (error) {
    disconnectAll(made);
    throw error;
  }
}

function disconnectAll(connections: Partial<Connections>): void {
  for (const connection of Object.values(connections)) connection.disconnect();
}

function remindingOf(hint: JoinHint, parts: Omit<JoinReminderOptions, 'hint' | 'now'>): RunReporter {
  return new JoinReminder({ ...parts, hint, now: () => performance.now() });
}

async function runToItsEnd<R>(
  { config, devices, folder, interruption, metricsHost, blobHost, blobPorts, diskPatience }: RunSetup,
  { redis: { url, server }, connections, log: runLog, http, prepare }: Parts<R>,
): Promise<R> {
  const { main: log, ofWorker, remark } = runLog;
  const { redis, blobRedis, readerRedis } = connections;
  const faults = new Faults<'coordinator'>({
    ...process.env,
    [faultMarkerVariable]: folder.faultMarkerPath,
  });
  const redisName = server === null ? redactUrl(url) : 'a private redis-server';
  const join = server === null ? joinHint(config, url) : null;
  log.info({ config }, 'Starting.');
  const disk = new PatientDisk({ patience: diskPatience, now: () => performance.now() });
  const kind = await prepare({ log, faults, http, disk, redisName, join });
  const { plan, output, reporter, describeShard, describeBatch } = kind;
  runLog.onWarning = (message) => output.steps?.workerWarned(message);
  const tell = (level: 'info' | 'warn' | 'error', sentence: string) => {
    log[level](sentence);
    reporter.say(sentence, level);
  };
  disk.onTrouble(tell);
  server?.reportTo((sentence) => tell('warn', sentence));
  const outages = new OutageLog(url, tell, () => performance.now());
  for (const connection of Object.values(connections)) outages.watch(connection);
  waitInQueues(outages);
  const token = await folder.token(nanoid);

  const run = new Run({
    plan,
    limits: {
      member: timeouts.member,
      step: timeouts.step,
      lastCheckpoint: timeouts.lastCheckpoint,
      join: config.options.joinTimeout,
      worker: config.options.workerTimeout,
    },
    era: { term: config.term, boot: 0 },
    common: {
      version,
      fingerprint: config.result.fingerprint,
      place: socketNamespace(),
      carrier: config.options.carrier,
      numerics: config.numerics,
    },
    fleetSize: devices.length,
    describeShard,
    describeBatch,
  });
  const blobs = new Carriers(
    new RedisBlobs(blobRedis, names.blob(config.run)),
    new BlobClient(token, { encrypted: redisOptions(url).tls !== undefined }),
    server === null
      ? null
      : await BlobServer.open({ token }, (why) =>
          tell(
            'warn',
            `Snapshots go through Redis, because no socket can be made in the temporary folder (TMPDIR): ${why}`,
          ),
        ),
  );
  const conductor = new Conductor({
    config,
    run,
    folder,
    disk,
    output,
    reporter: join === null ? reporter : remindingOf(join, { reporter, run, localWorkers: devices.length }),
    redis,
    blobs,
    token,
    snapshotBytes: stateLayout(modelOf(config.result), purposeOf(config)).bytes,
    readerRedis,
    queueConnection: redisOptions(url),
    outages,
    faults,
    log,
    remark,
  });
  const observer =
    kind.observe?.({
      run,
      redis,
      blobs,
      queues: () => conductor.queues,
      tell: (event) => conductor.tell(event),
      outages,
    }) ?? null;
  if (observer !== null) conductor.observe(observer);
  const fleet = new Fleet({
    run: config.run,
    devices,
    metricsHost,
    blobHost,
    blobPorts,
    environment: (device) => ({
      ...workerEnvironment(process.env, {
        threads: config.threads,
        workers: devices.length,
        cores: availableParallelism(),
        decodeThreads: config.options.decodeThreads,
      }),
      ...calledAs,
      CORNET_REDIS_URL: url,
      [readByCoordinator]: '1',
      ...backendEnvironment(process.env, { ...config, device }),
      CORNET_CONTROL_TOKEN: undefined, // workers take no orders
      [faultMarkerVariable]: folder.faultMarkerPath,
    }),
    line: ofWorker,
    nobodyCanJoin: () => outages.sentence !== null,
    exited: (worker, reason) => {
      if (worker !== null) conductor.tell({ type: 'exited', worker, reason });
    },
    endedEarly: (device, lastWords) =>
      tell('warn', `The worker on ${device} ended before it could join: ${lastWords}`),
    givenUp: (post) => conductor.tell({ type: 'device-given-up', ...post }),
  });
  conductor.onDismissed((worker) => fleet.retire(worker));
  server?.failed.then(({ message }) =>
    conductor.abort(new CornetError('REDIS_SERVER_FAILED', message, { hint: kind.howToGoOn })),
  );
  interruption.onAsked(({ announce, reason }) => {
    reporter.say(announce(kind.whenStopped));
    conductor.tell({ type: 'stop', reason });
  });
  interruption.onEnd(() => {
    fleet.kill();
    server?.kill();
  });
  try {
    const conducting = conductor.conduct();
    fleet.start();
    const outcome = await conducting;
    reporter.end();
    log.info({ outcome: outcome.outcome }, outcome.outcome === 'complete' ? 'Finished.' : 'Stopped.');
    const result = await kind.report(outcome);
    await fleet.stop();
    await observer?.ended();
    return result;
  } catch (error) {
    await fleet.stop();
    await observer?.failed(describeError(error));
    throw error;
  } finally {
    reporter.end();
    await fleet.stop();
  }
}
