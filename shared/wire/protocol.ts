/**
 * Everything that passes between coordinator and workers: two Redis streams, one BullMQ queue per worker, blobs.
 *
 * `down` (coordinator → all) and `up` (workers → coordinator) carry JSON messages, `era` and number first. An era is
 * one coordinator on one Redis: it changes when a coordinator starts (`term`) and when Redis turns out to be another
 * one than before (`boot`). Messages of an older era are ignored on both sides; numbers are gapless within an era.
 */
import { z } from 'zod';
import { errorCodes } from '../errors.ts';

/** Where a blob lies. Only names travel through streams and jobs, never the bytes. */
const blobRef = z.strictObject({
  name: z.string().min(1).max(200),
  bytes: z.int().nonnegative(),
  digest: z.string().max(128),
  /**
   * In Redis; in the memory of the process with a socket in this folder, which is one of ours; in that of the process
   * whose blob server has this id; or in memory that can be mapped: `MemoryPlace`.
   */
  at: z
    .string()
    .regex(
      /^(redis|unix:cornet-blobs-[\w-]{1,64}|tcp:[\w-]{1,64}|memory:\d{1,10}:\d{1,10}:[\w-]{1,64}:\d{1,16})$/,
    ),
});
export type BlobRef = z.infer<typeof blobRef>;

/** A process that serves its blobs over TCP. */
const tcpServer = z.object({
  /** New for each process: whoever listens at an address by now need not be the one that was announced. */
  id: z.string().regex(/^[\w-]{1,64}$/),
  /** `host:port`, `[address]:port`: where it may be reached, the likeliest first. */
  addresses: z
    .array(
      z
        .string()
        .max(300)
        .regex(/^(\[[\da-fA-F:.]+\]|[\w.-]+):\d{1,5}$/),
    )
    .min(1)
    .max(8),
  encrypted: z.boolean(),
});
export type TcpServer = z.infer<typeof tcpServer>;

const id = z.string().min(1).max(64);
const count = z.int().nonnegative();
const workerError = z.object({
  code: z.enum(errorCodes).catch('INTERNAL'), // a worker of another version may know others
  message: z.string().max(16_384),
  hint: z.string().max(4_096).optional(),
});

/**
 * How a blob travels: not at all, because readers map its maker's memory (vectors and slices only); out of that memory
 * over a socket on this host (`local`) or from host to host (`tcp`); or through Redis, which always works and keeps the
 * blob when its maker dies.
 */
export const carrierNames = ['memory', 'local', 'tcp', 'redis'] as const;
const carrierName = z.enum(carrierNames);
export type CarrierName = z.infer<typeof carrierName>;
/** Of blobs that are fetched. */
const fetchCarrier = carrierName.exclude(['memory']);
export type FetchCarrier = z.infer<typeof fetchCarrier>;

/** How a blob is read. */
export function carrierOf({ at }: BlobRef): CarrierName {
  if (at === 'redis') return 'redis';
  if (at.startsWith('tcp:')) return 'tcp';
  return at.startsWith('memory:') ? 'memory' : 'local';
}

export const era = z.strictObject({ term: count, boot: count });
export type Era = z.infer<typeof era>;

/** Negative, zero or positive as `a` is older than, equal to or newer than `b`. */
export function compareEras(a: Era, b: Era): number {
  return a.term - b.term || a.boot - b.boot;
}

/** What the bits of a result depend on besides the run's options: see docs/reproducibility.md. */
export const numerics = z.object({
  backend: z.string(),
  /** The library's version and a fingerprint of its build. */
  version: z.string(),
  device: z.enum(['cpu', 'cuda']),
  /** Kind of processor: the CPU's model and the instruction set in use, or the GPU's name. */
  processor: z.string(),
  /** Threads that one operator may use. */
  threads: z.int().positive(),
});
export type Numerics = z.infer<typeof numerics>;

/** Of the images of one class (`label`, its position): those whose label is the likeliest, or among the five likeliest. */
const classScore = z.object({ label: count, top1: count, top5: count, count });
export type ClassScore = z.infer<typeof classScore>;

/** An image that could not be decoded, by its position in the batch. */
const unreadable = z.object({ position: count, reason: z.string().max(4_096) });
export type Unreadable = z.infer<typeof unreadable>;

/** What a member made of one batch of a round of jobs. */
export const batchResult = z.discriminatedUnion('type', [
  /** Of a `validate` job: sums over the batch. */
  z.object({
    type: z.literal('scores'),
    /** null where it is not a finite number (JSON has none). */
    loss: z.number().nullable(),
    top1: count,
    top5: count,
    count,
    /** The same by class, those of the batch only. */
    classes: z.array(classScore),
    unreadable: z.array(unreadable),
  }),
  /** Of a `features` job: the rows of each tap, one tap after the other. */
  z.object({ type: z.literal('features'), ref: blobRef, unreadable: z.array(unreadable) }),
]);
export type BatchResult = z.infer<typeof batchResult>;

const downBody = z.discriminatedUnion('type', [
  /** First message of an era: everybody says `hello` with the step it holds. */
  z.object({ type: z.literal('rollcall') }),
  /** A new generation: who counts, who serves which lanes, who was dropped and why. */
  z.object({
    type: z.literal('members'),
    generation: count,
    step: count,
    members: z.array(z.object({ worker: id, lanes: z.array(count) })),
    dropped: z.array(z.object({ worker: id, reason: z.string() })),
  }),
  /** All vectors of the step are there: participant i sums slice i over the lanes, in lane order. */
  z.object({
    type: z.literal('reduce'),
    generation: count,
    step: count,
    participants: z.array(id).min(1),
    /** How the slices are published; null: one member alone needs none. */
    carrier: carrierName.nullable(),
    /** Participants whose blobs not all others can fetch over TCP: their slices go through Redis. */
    unreached: z.array(id),
    vectors: z
      .array(z.object({ lane: count, weight: z.number(), worker: id, ref: blobRef.nullable() }))
      .min(1),
  }),
  /** The commit of the step: members of this generation that are at it collect the slices and update. */
  z.object({
    type: z.literal('apply'),
    generation: count,
    step: count,
    learningRate: z.number(),
    slices: z.array(z.object({ worker: id, ref: blobRef.nullable() })).min(1),
  }),
  /** One member is asked to publish the snapshot of the step. */
  z.object({ type: z.literal('publish-snapshot'), step: count, worker: id, carrier: fetchCarrier }),
  /** Workers that serve blobs over TCP: whoever reads this tries to reach all others and says `reached`. */
  z.object({ type: z.literal('peers'), peers: z.array(z.object({ worker: id, server: tcpServer })) }),
  /** Newcomers are asked to load the snapshot of the step. */
  z.object({ type: z.literal('load'), step: count, workers: z.array(id), ref: blobRef }),
  /** This worker can never serve the run: it leaves with the error. */
  z.object({ type: z.literal('refuse'), worker: id, error: workerError }),
  /** This worker is not needed any more: it leaves. It is no member from the next generation on. */
  z.object({ type: z.literal('leave'), worker: id, reason: z.string() }),
  /** Whoever speaks and is not known is told so: it comes again as somebody else. */
  z.object({ type: z.literal('unknown'), worker: id }),
  z.object({ type: z.literal('stop'), reason: z.string() }),
]);
export type DownBody = z.infer<typeof downBody>;

const hello = z.object({
  type: z.literal('hello'),
  host: z.string().max(256),
  pid: count,
  /** Processes of the same place can reach each other's sockets. */
  place: z.string().max(256),
  /** Those of the same place that name this alike can map each other's memory; absent: it shares none. */
  memory: z.string().max(256).optional(),
  version: z.string().max(64),
  fingerprint: z.string().max(128),
  numerics,
  probe: z.string().max(128),
  /** What its images are made of: `pixelProbe`. */
  pixels: z.string().max(128),
  vectorLength: z.int().positive(),
  /** Where it serves blobs over TCP; absent: it does not. */
  tcp: tcpServer.optional(),
  /** `host:port` of its metrics, as it listens; absent: it has none. */
  metrics: z
    .string()
    .max(300)
    .regex(/^(\[[\da-fA-F:.]+\]|[\w.-]+):\d{1,5}$/)
    .optional(),
  /** The step whose state this worker holds, or null. */
  step: count.nullable(),
});
export type Hello = z.infer<typeof hello>;

/** How a GPU does. Each is null where the GPU does not tell. */
const gpuFigures = z.object({
  /** Part of the time in which some kernel ran on it, lately. */
  utilization: z.number().nonnegative().nullable(),
  /** Bytes in use, by any process, and those that it has. */
  memoryUsed: count.nullable(),
  memoryTotal: count.nullable(),
  /** Degrees Celsius. */
  temperature: z.number().nullable(),
});
export type GpuFigures = z.infer<typeof gpuFigures>;

/** How a worker does: to be shown, nothing is decided by it. */
const workerFigures = z.object({
  /** Over the last seconds, or its last shards; null: not known yet. */
  imagesPerSecond: z.number().nonnegative().nullable(),
  /** Null: it computes on a CPU, or nothing is known of its GPU. */
  gpu: gpuFigures.nullable(),
});
export type WorkerFigures = z.infer<typeof workerFigures>;

const upBody = z.discriminatedUnion('type', [
  hello,
  z.object({ type: z.literal('beat'), doing: z.string().max(200), figures: workerFigures.optional() }),
  z.object({
    type: z.literal('vector'),
    step: count,
    lane: count,
    /** null: kept by this worker alone, which is the only member. */
    ref: blobRef.nullable(),
    /** Mean loss over the shard; null where it is not a finite number (JSON has none). */
    loss: z.number().nullable(),
    top1: count,
    top5: count,
    count,
  }),
  z.object({
    type: z.literal('slice'),
    step: count,
    generation: count,
    ref: blobRef.nullable(),
    /** Name of the first entry that is not finite, or null. */
    bad: z.string().max(200).nullable(),
  }),
  z.object({ type: z.literal('applied'), step: count }),
  /** Whether this worker can fetch blobs of those over TCP; `why` not, as part of a sentence, or null: it can. */
  z.object({
    type: z.literal('reached'),
    peers: z.array(z.object({ worker: id, why: z.string().max(300).nullable() })),
  }),
  z.object({ type: z.literal('snapshot-published'), step: count, ref: blobRef }),
  z.object({ type: z.literal('loaded'), step: count }),
  /** A blob that a message named is not there any more. */
  z.object({
    type: z.literal('missing'),
    step: count,
    generation: count,
    what: z.enum(['vector', 'slice', 'snapshot']),
    lane: count.nullable(),
  }),
  /** What came of a `validate` or `features` job. */
  z.object({ type: z.literal('result'), step: count, batch: count, result: batchResult }),
  /** Something no other worker would do better: the run ends with this error. */
  z.object({ type: z.literal('failed'), step: count.nullable(), lane: count.nullable(), error: workerError }),
  /** A gap in the numbers of `down`: messages were lost. */
  z.object({ type: z.literal('gap') }),
  /** This worker is asked to leave, and stays until the state that it holds is needed no more: `leave` answers. */
  z.object({ type: z.literal('wish'), reason: z.string().max(1_000) }),
  /** `error`: what failed on its host alone, perhaps because of what it was given; null: it was asked to leave. */
  z.object({ type: z.literal('bye'), reason: z.string().max(1_000), error: workerError.nullable() }),
]);
export type UpBody = z.infer<typeof upBody>;

const envelope = z.object({ era, n: count });
export const downMessage = envelope.and(downBody);
export type DownMessage = { era: Era; n: number } & DownBody;
/** The coordinator hears itself: no more than a heartbeat, in `up`. */
export const echo = z.strictObject({ echo: era });
/** What a worker says for the run's log, in `up`: without a number, so nothing depends on whether it arrives. */
export const remark = z.strictObject({
  remark: z.strictObject({
    era,
    worker: id,
    host: z.string().max(256),
    at: z.iso.datetime(),
    level: z.enum(['info', 'warn', 'error', 'fatal']),
    message: z.string().max(2_000),
  }),
});
export type Remark = z.infer<typeof remark>['remark'];
export const upMessage = envelope.extend({ worker: id }).and(upBody);
export type UpMessage = { era: Era; n: number; worker: string } & UpBody;

export const job = z.discriminatedUnion('type', [
  z.object({ type: z.literal('shard'), era, step: count, lane: count, publish: carrierName.nullable() }),
  z.object({ type: z.literal('validate'), era, step: count, batch: count }),
  z.object({ type: z.literal('features'), era, step: count, batch: count, publish: fetchCarrier }),
]);
export type Job = z.infer<typeof job>;

/** What somebody else wrote: null where it is not JSON. */
export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

/** Element range [begin, end) of slice `index` of `slices`; cut at multiples of 16 elements (one cache line). */
export function sliceRange(index: number, slices: number, length: number): { begin: number; end: number } {
  const cut = (i: number) => (i === slices ? length : Math.floor((length * i) / slices / 16) * 16);
  return { begin: cut(index), end: cut(index + 1) };
}

/** Names in Redis: everything of a run stands under one prefix. */
export const names = {
  prefix: (run: string) => `cornet:${run}`,
  term: (run: string) => `cornet:${run}:term`,
  era: (run: string) => `cornet:${run}:era`,
  config: (run: string) => `cornet:${run}:config`,
  token: (run: string) => `cornet:${run}:token`,
  status: (run: string) => `cornet:${run}:status`,
  runs: 'cornet:runs',
  /** Not among the run's own keys, which go when it ends: whoever gave the order may still be reading. */
  answer: (order: string) => `cornet:answer:${order}`,
  down: (run: string) => `cornet:${run}:down`,
  up: (run: string) => `cornet:${run}:up`,
  queue: (run: string, worker: string) => `${run}-${worker}`,
  queuePrefix: (run: string) => `cornet:${run}:queue`,
  blob: (run: string) => `cornet:${run}:blob`,
  vector: (era: Era, step: number, lane: number, worker: string) =>
    `vector:${era.term}:${step}:${lane}:${worker}`,
  slice: (era: Era, step: number, generation: number, worker: string) =>
    `slice:${era.term}:${step}:${generation}:${worker}`,
  features: (era: Era, batch: number, worker: string) => `features:${era.term}:${batch}:${worker}`,
  snapshot: (era: Era, step: number, by: string) => `snapshot:${era.term}:${step}:${by}`,
} as const;

/** What a local worker tells the process that started it: the id by which it goes, and that it has loaded a snapshot. */
export type NoteToParent = { worker: string } | { joined: true };

/** What a parent process (a coordinator, or the command that started itself again) says to its worker. */
export type NoteToWorker = { leave: 'wish' | 'order'; reason: string };
