/** What goes into the worker's state machine, and what comes out of it. */
import type {
  BatchResult,
  BlobRef,
  CarrierName,
  DownBody,
  DownMessage,
  Era,
  FetchCarrier,
  Job,
  TcpServer,
  UpBody,
} from '../../shared/wire/protocol.ts';

export type Reduce = DownBody & { type: 'reduce' };
export type Apply = DownBody & { type: 'apply' };

/** What a piece of work was started for. It is valid while the member is still there. */
export interface Ticket {
  /** Goes up whenever the state is thrown away or replaced. */
  life: number;
  step: number;
  /** Exchanges belong to one generation; a vector to none (null). */
  generation: number | null;
}

export interface ShardResult {
  loss: number | null;
  top1: number;
  top5: number;
  count: number;
}

export type MemberEvent =
  | { type: 'message'; message: DownMessage }
  /** A job was taken from the queue; `token` comes back in `answer`. */
  | { type: 'job'; job: Job; token: string }
  | {
      type: 'computed';
      ticket: Ticket;
      lane: number;
      result: ShardResult;
      ref: BlobRef | null;
      token: string;
    }
  /** The other lanes' parts of the slice are here. */
  | { type: 'vectors-fetched'; ticket: Ticket; missing: number | null }
  | { type: 'reduced'; ticket: Ticket; ref: BlobRef | null; bad: string | null }
  | { type: 'slices-fetched'; ticket: Ticket; complete: boolean }
  | { type: 'applied'; ticket: Ticket }
  | { type: 'snapshot-published'; ticket: Ticket; ref: BlobRef }
  | { type: 'loaded'; ticket: Ticket; ok: boolean }
  /** The batch of a `validate` or `features` job is done; null: the ticket was not valid any more. */
  | { type: 'batch-done'; ticket: Ticket; batch: number; result: BatchResult | null; token: string }
  /** Whether blobs of these workers can be fetched over TCP; `why` not, as part of a sentence. */
  | { type: 'peers-tried'; peers: { worker: string; why: string | null }[] }
  /** Redis is another one than before (the era key says so). */
  | { type: 'era'; era: Era };

export type MemberAction =
  | { type: 'send'; worker: string; era: Era; n: number; body: UpBody }
  /** Compute the vector of a lane, or take it from the cache; publish it if asked. */
  | { type: 'compute'; ticket: Ticket; lane: number; publish: CarrierName | null; token: string }
  | { type: 'fetch-vectors'; ticket: Ticket; begin: number; end: number; vectors: Reduce['vectors'] }
  /** Sum the fetched parts; publish the slice if asked. */
  | { type: 'reduce'; ticket: Ticket; publish: CarrierName | null }
  | { type: 'fetch-slices'; ticket: Ticket; slices: Apply['slices'] }
  /** From here on the state of t + 1 is determined. */
  | { type: 'apply'; ticket: Ticket; learningRate: number }
  | { type: 'publish-snapshot'; ticket: Ticket; carrier: FetchCarrier }
  | { type: 'load'; ticket: Ticket; ref: BlobRef }
  | { type: 'evaluate'; ticket: Ticket; batch: number; token: string }
  /** Read the features of a batch and publish them. */
  | { type: 'extract'; ticket: Ticket; batch: number; publish: FetchCarrier; token: string }
  /** Try to reach what these workers serve over TCP, answer with `peers-tried`, and again whenever an outcome changes. */
  | { type: 'try-peers'; peers: { worker: string; server: TcpServer }[] }
  /** These lanes' images will be wanted from this step on. */
  | { type: 'prefetch'; step: number; lanes: number[] }
  /** The job is done with, whether it was worked on or not. */
  | { type: 'answer'; token: string }
  /** The worker goes by a new id now: a new queue, a new hello. */
  | { type: 'renamed'; worker: string; reason: string | null }
  | {
      type: 'leave';
      error: { code: string; message: string; hint?: string | undefined } | null;
      reason: string;
    };
