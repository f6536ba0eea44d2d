/** Workers that compute nothing, several in one process: everything of a worker but images and engine. */
import { hostname } from 'node:os';
import { pino } from 'pino';
import { indexDataset } from '../../shared/data/dataset-index.ts';
import { stateLayout } from '../../shared/formats/state-layout.ts';
import { buildModel, modelOf } from '../../shared/models/family.ts';
import { Faults } from '../../shared/process/faults.ts';
import { version } from '../../shared/process/version.ts';
import { OutageLog } from '../../shared/redis/outages.ts';
import { connectRedis, redisOptions } from '../../shared/redis/redis.ts';
import { purposeOf } from '../../shared/run-config.ts';
import { BlobClient } from '../../shared/wire/blob-client.ts';
import { BlobServer } from '../../shared/wire/blob-server.ts';
import { RedisBlobs } from '../../shared/wire/blobs.ts';
import { Carriers } from '../../shared/wire/carriers.ts';
import { era, names } from '../../shared/wire/protocol.ts';
import { socketNamespace } from '../../shared/wire/socket-folder.ts';
import { lastEntry, StreamReader } from '../../shared/wire/streams.ts';
import { findRun } from '../../worker/commands/find-run.ts';
import type { EngineMethods } from '../../worker/engine/engine-client.ts';
import { shareMemory } from '../../worker/memory/own-memory.ts';
import { Heartbeat } from '../../worker/perform/heartbeat.ts';
import type { EngineCalls } from '../../worker/perform/worker-parts.ts';
import { WorkerShell } from '../../worker/perform/worker-shell.ts';
import { Member } from '../../worker/protocol/member.ts';

const [url, count] = process.argv.slice(2) as [string, string];
/** Elements: a vector so small that only the protocol is left. */
const vectorLength = 64 * 16;

const scores = { loss: 1, top1: 0, top5: 0, count: 1, classes: [] };
const hollow: Omit<EngineMethods, 'features' | 'open' | 'vitals'> = {
  load: () => undefined,
  snapshot: () => new Uint8Array(stateLayout(buildModel('Z', 1)).bytes),
  stage: (_, images) => images as Uint8Array<ArrayBuffer>,
  unstage: () => undefined,
  computeShard: () => ({ ...scores, seconds: { upload: 0, forward: 0, backward: 0, queued: 0 }, digest: '' }),
  vectorBytes: () => new Uint8Array(4 * vectorLength),
  offerVector: () => 'digest',
  reduce: () => ({ firstBad: null, missing: null }),
  sliceBytes: (begin, end) => new Uint8Array(4 * (end - begin)),
  gather: () => true,
  apply: () => undefined,
  evaluate: () => scores,
};
const methods = hollow as Record<string, (...args: never[]) => unknown>;
const engine = {
  exclusively: (work: () => Promise<unknown>) => work(),
  call: async (method: string, args: never[]) => methods[method]!(...args),
} as unknown as EngineCalls;
const metrics = {
  timing: <T>(_: string, work: Promise<T>) => work,
  askingRedis: <T>(question: Promise<T>) => question,
  computed: () => undefined,
  tried: () => undefined,
  exchanged: () => undefined,
  named: () => undefined,
};
const voice = {
  named: () => undefined,
  joined: () => undefined,
  serves: () => undefined,
  beat: () => undefined,
  leaving: () => undefined,
  takeRemarks: () => [],
};
const batch = { images: new Uint8Array(1), labels: new Int32Array(1), unreadable: [] };
const loader = { announce: () => false, next: null, get: async () => batch, reuse: () => undefined };
const loadBatch = async () => batch;

const config = await findRun(url, undefined);
const index = await indexDataset(config.options.dataPath, ['train', 'val']);
const numerics = { backend: 'none', version: '0', device: 'cpu', processor: 'none', threads: 1 } as const;
await Promise.all(
  Array.from({ length: Number(count) }, async (_, i) => {
    const connect = () => connectRedis(url, { name: 'cornet-bench', bytesNeeded: 0 });
    const [redis, blobRedis, readerRedis] = await Promise.all([connect(), connect(), connect()]);
    const token = (await redis.get(names.token(config.run))) ?? '';
    const from = await lastEntry(redis, names.down(config.run));
    const memory = shareMemory((sentence) => console.warn(sentence));
    const greeting = {
      host: hostname(),
      pid: process.pid,
      place: socketNamespace(),
      ...(memory === null ? {} : { memory: memory.namespace }),
      version,
      fingerprint: index.fingerprint,
      numerics,
      probe: 'none',
      pixels: 'pixels',
      vectorLength,
    };
    const member = new Member(
      () => `hollow-${i}`,
      era.parse(JSON.parse((await redis.get(names.era(config.run)))!)),
      greeting,
    );
    const server = await BlobServer.open({ token: token }, console.error);
    const shell = new WorkerShell({
      config,
      member,
      engine,
      vectorLength,
      loader,
      loadBatch,
      redis,
      snapshotBytes: stateLayout(modelOf(config.result), purposeOf(config)).bytes,
      batches: Number.POSITIVE_INFINITY,
      heartbeat: new Heartbeat(config, redis, metrics, () => performance.now()),
      blobs: new Carriers(new RedisBlobs(blobRedis, names.blob(config.run)), new BlobClient(token), server),
      memory: memory?.own ?? null,
      reader: new StreamReader(readerRedis, names.down(config.run), from),
      queueConnection: redisOptions(url),
      outages: new OutageLog(
        url,
        () => undefined,
        () => performance.now(),
      ),
      log: pino({ level: 'silent' }),
      voice,
      faults: new Faults({}),
      metrics,
      figures: () => ({ imagesPerSecond: null, gpu: null }),
      tellParent: () => undefined,
    });
    await shell.work({ onWish: () => undefined, onOrder: () => undefined });
  }),
);
// Stays until it is killed: its CPU time is read before.
setInterval(() => undefined, 60_000);
