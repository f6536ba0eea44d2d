/** What a worker's performer is made of, and what its parts share. */
import type { Redis, RedisOptions } from 'ioredis';
import type { Logger } from 'pino';
import type { Faults } from '../../shared/process/faults.ts';
import type { OutageLog } from '../../shared/redis/outages.ts';
import type { AnyConfig } from '../../shared/run-config.ts';
import type { Carriers } from '../../shared/wire/carriers.ts';
import type { NoteToParent, WorkerFigures } from '../../shared/wire/protocol.ts';
import type { StreamReader } from '../../shared/wire/streams.ts';
import type { Batch, ShardLoader } from '../data/prefetch.ts';
import type { EngineClient } from '../engine/engine-client.ts';
import type { OwnMemory } from '../memory/own-memory.ts';
import type { Member } from '../protocol/member.ts';
import type { MemberAction, Ticket } from '../protocol/member-events.ts';
import type { Heartbeat } from './heartbeat.ts';
import type { WorkerMetrics } from './metrics.ts';
import type { Voice } from './voice.ts';

/** What `Member` decided, of one kind. */
export type Action<T extends MemberAction['type']> = MemberAction & { type: T };

/** Runs work on the engine when its turn has come and the ticket is still valid; otherwise gives null. */
export type OnEngine = <T>(ticket: Ticket, work: (engine: EngineCalls) => Promise<T>) => Promise<T | null>;

/** What the worker asks of the thread that the engine lives in. */
export type EngineCalls = Pick<EngineClient, 'call' | 'exclusively'>;

export interface WorkerParts {
  config: AnyConfig;
  member: Member;
  engine: EngineCalls;
  vectorLength: number;
  /** Bytes of a snapshot. */
  snapshotBytes: number;
  /** Batches of one round over the images. */
  batches: number;
  loader: Pick<ShardLoader, 'announce' | 'get' | 'next' | 'reuse'>;
  /** The images of a batch of a round. */
  loadBatch: (batch: number) => Promise<Batch>;
  /** Messages and keys. Blobs and the stream `down` have connections of their own: none waits behind another. */
  redis: Redis;
  blobs: Carriers;
  /** Null: this process shares none. */
  memory: OwnMemory | null;
  reader: StreamReader;
  heartbeat: Heartbeat;
  queueConnection: RedisOptions;
  outages: OutageLog;
  log: Logger;
  voice: Pick<Voice, 'named' | 'joined' | 'serves' | 'beat' | 'leaving' | 'takeRemarks'>;
  faults: Faults<'worker'>;
  metrics: Pick<WorkerMetrics, 'timing' | 'computed' | 'tried' | 'named' | 'exchanged'>;
  /** How this worker does, for its heartbeats. */
  figures: () => WorkerFigures;
  /** Tells the parent process, if there is one. */
  tellParent: (note: NoteToParent) => void;
}
