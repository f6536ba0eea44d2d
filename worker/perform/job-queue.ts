/** This worker's own BullMQ queue: BullMQ carries jobs; who is alive and what is valid is decided elsewhere. */
import { type ConnectionOptions, ErrorCode, Queue, Worker } from 'bullmq';
import type { RedisOptions } from 'ioredis';
import { jobLock, jobsAtOnce } from '../../shared/defaults.ts';
import { type Job, job as jobSchema, names } from '../../shared/wire/protocol.ts';

export interface TakenJob {
  job: Job;
  /** The job is done with: BullMQ may forget it. */
  done: () => void;
}

const forgotten: readonly unknown[] = [
  ErrorCode.JobNotExist,
  ErrorCode.JobLockNotExist,
  ErrorCode.JobNotInState,
  ErrorCode.JobLockMismatch,
];

/** BullMQ wanted to note the end of a job that its Redis no longer has, or that is no longer this worker's. */
export function isForgottenJob(error: Error & { code?: unknown }): boolean {
  return forgotten.includes(error.code);
}

export class JobQueue {
  readonly #name: string;
  readonly #options: { connection: ConnectionOptions; prefix: string };
  readonly #take: (taken: TakenJob) => void;
  readonly #refused: (sentence: string) => void;
  readonly #failed: (error: Error) => void;
  readonly #queue: Queue;
  #worker: Worker;
  #atWork = 0;
  #idleWithWork = 0;
  readonly #open = new Set<() => void>();

  /**
   * @param worker the worker's id, which names the queue
   * @param take is called for every job that is well-formed
   * @param refused is called with a sentence for every other
   * @param failed is called with every error of the connections
   */
  constructor(
    { run, worker, connection }: { run: string; worker: string; connection: RedisOptions },
    take: (taken: TakenJob) => void,
    refused: (sentence: string) => void,
    failed: (error: Error) => void,
  ) {
    this.#name = names.queue(run, worker);
    this.#options = { connection: connection as ConnectionOptions, prefix: names.queuePrefix(run) };
    this.#take = take;
    this.#refused = refused;
    this.#failed = failed;
    this.#queue = new Queue(this.#name, { ...this.#options, skipMetasUpdate: true });
    this.#queue.on('error', failed);
    this.#worker = this.#newWorker();
  }

  /**
   * After an outage of Redis a BullMQ worker can look alive and take nothing. Called at every heartbeat: idle twice in
   * a row with jobs waiting means that this one is such a worker.
   */
  async watch(): Promise<boolean> {
    if (this.#atWork > 0 || (await this.#queue.getWaitingCount()) === 0) {
      this.#idleWithWork = 0;
      return false;
    }
    if (++this.#idleWithWork < 2) return false;
    this.#idleWithWork = 0;
    const stuck = this.#worker;
    this.#worker = this.#newWorker();
    await stuck.close(true);
    return true;
  }

  /** Fulfilled when each of its connections works; while one is refused, BullMQ goes on trying. */
  async connected(): Promise<void> {
    await Promise.all([this.#queue.waitUntilReady(), this.#worker.waitUntilReady()]);
  }

  async close(): Promise<void> {
    for (const done of this.#open) done();
    await Promise.allSettled([this.#worker.close(true), this.#queue.close()]);
  }

  #newWorker(): Worker {
    const worker = new Worker(this.#name, (job) => this.#process(job.data), {
      ...this.#options,
      concurrency: jobsAtOnce,
      lockDuration: jobLock,
      skipStalledCheck: true,
      removeOnComplete: { count: 0 },
      removeOnFail: { count: 0 },
    });
    worker.on('error', this.#failed);
    return worker;
  }

  async #process(data: unknown): Promise<void> {
    const parsed = jobSchema.safeParse(data);
    if (!parsed.success)
      return this.#refused(`A malformed job was refused: ${parsed.error.issues[0]?.message}.`);
    this.#atWork++;
    try {
      await new Promise<void>((resolve) => {
        const done = () => {
          this.#open.delete(done);
          resolve();
        };
        this.#open.add(done);
        this.#take({ job: parsed.data, done });
      });
    } finally {
      this.#atWork--;
    }
  }
}
