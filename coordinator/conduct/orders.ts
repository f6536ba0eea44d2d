/** The coordinator's side of orders from outside (`coordinator stop RUN`): takes each once, and answers. */
import type { Redis } from 'ioredis';
import type { Logger } from 'pino';
import { orders as limits, namesInSentence } from '../../shared/defaults.ts';
import { CornetError } from '../../shared/errors.ts';
import { type AnyConfig, isInference } from '../../shared/run-config.ts';
import { oneLine } from '../../shared/util/printable.ts';
import { type Answer, type Order, readAnswer } from '../../shared/wire/orders.ts';
import { names } from '../../shared/wire/protocol.ts';
import type { PatientDisk } from '../disk/patient-disk.ts';
import type { Run } from '../protocol/run.ts';
import type { Failure, RunAction, RunEvent } from '../protocol/run-events.ts';
import type { RunReporter } from './ports.ts';

export interface OrderParts {
  config: AnyConfig;
  run: Pick<Run, 'phase' | 'step' | 'workers'>;
  redis: Redis;
  disk: Pick<PatientDisk, 'trouble'>;
  log: Pick<Logger, 'info' | 'warn'>;
  reporter: Pick<RunReporter, 'say' | 'latest'>;
}

/** What is to be told to the run, and what will then be true. */
type Pending =
  | { type: 'checkpoint' /** Of this step or a later one. */; from: number }
  | { type: 'drain'; worker: string }
  | { type: 'stop' };

export class Orders {
  readonly #parts: OrderParts;
  readonly #tell: (event: RunEvent) => void;
  readonly #pending = new Map<string, Pending>();
  /** The last orders, so that none is obeyed twice, and none forgotten by a Redis that comes back empty. */
  readonly #answers = new Map<string, Answer>();
  /** The step whose state was written or read last. */
  #onDisk: number | null = null;
  #end: { error: Failure | null } | null = null;
  #writing: Promise<unknown> = Promise.resolve();

  /** @param tell tells the run */
  constructor(parts: OrderParts, tell: (event: RunEvent) => void) {
    this.#parts = parts;
    this.#tell = tell;
  }

  /** One stands in `up`. A stream that is read again, from its beginning, has those that were taken, too. */
  async take(order: Order): Promise<void> {
    const { id } = order;
    const host = oneLine(order.host);
    if (this.#answers.has(id)) return;
    this.#remember(id, { state: 'taken' });
    const { log } = this.#parts;
    try {
      if (!(await this.#claim(id))) return;
    } catch (error) {
      return log.warn({ order, error: String(error) }, 'An order could not be taken.');
    }
    log.info({ order }, `\`coordinator ${order.type}\` was run on host ${host}.`);
    try {
      this.#obey(order);
    } catch (error) {
      if (!(error instanceof CornetError)) throw error;
      this.#answer(id, { state: 'failed', error: error.toJSON() });
    }
  }

  /** False: it was withdrawn. */
  async #claim(id: string): Promise<boolean> {
    const { redis } = this.#parts;
    const taken = JSON.stringify({ state: 'taken' } satisfies Answer);
    if ((await redis.set(names.answer(id), taken, 'PX', limits.timeToLive, 'NX')) === 'OK') return true;
    // After an outage the command may have been sent twice, and find what it has written itself.
    return readAnswer(await redis.get(names.answer(id)))?.state === 'taken';
  }

  #obey(order: Order): void {
    const { config, run, reporter } = this.#parts;
    const { id } = order;
    if (this.#end !== null) {
      this.#pending.set(id, order.type === 'checkpoint' ? { type: 'checkpoint', from: run.step } : order);
      return this.#answerEnd(this.#end.error);
    }
    switch (order.type) {
      case 'checkpoint': {
        if (isInference(config)) {
          throw refusal('An inference run has no checkpoints: it stores each result when it comes.');
        }
        const idle = run.phase === 'waiting' || run.phase === 'restoring';
        if (idle && run.step === this.#onDisk) {
          throw refusal(
            `No worker serves the run at the moment: it has no newer state than that of step ${run.step}.`,
          );
        }
        this.#pending.set(id, { type: 'checkpoint', from: run.step });
        return this.#tell({ type: 'save-due' });
      }
      case 'drain': {
        const worker = this.#workerOf(order.worker);
        this.#pending.set(id, { type: 'drain', worker });
        return this.#tell({ type: 'drain', worker });
      }
      case 'stop':
        this.#pending.set(id, { type: 'stop' });
        reporter.say(`Stopping: \`coordinator stop\` was run on host ${oneLine(order.host)}.`);
        return this.#tell({ type: 'stop', reason: 'asked to by `coordinator stop`' });
    }
  }

  /**
   * The one whose id begins like that.
   * @throws CornetError ORDER_FAILED
   */
  #workerOf(beginning: string): string {
    const { workers } = this.#parts.run;
    const exact = workers.filter(({ id }) => id === beginning);
    const found = exact.length > 0 ? exact : workers.filter(({ id }) => id.startsWith(beginning));
    const [worker] = found;
    if (worker === undefined) {
      throw refusal(`The run has no worker ${beginning} (any more).`, `Its workers: ${listOf(workers)}.`);
    }
    if (found.length > 1) {
      throw refusal(`Several workers have ids that begin with ${beginning}: ${listOf(found)}.`);
    }
    if (!workers.some(({ id, draining }) => id !== worker.id && !draining)) {
      const sentence = `Worker ${worker.id} is the last one of the run, and cannot be drained.`;
      throw refusal(sentence, 'Start another worker first, or stop the run: `coordinator stop <run>`.');
    }
    return worker.id;
  }

  /** The run was told of an event, and decided this. */
  saw(event: RunEvent, actions: readonly RunAction[]): void {
    const read = event.type === 'restored';
    if (read || (event.type === 'saved' && event.outcome === 'written')) this.#onDisk = event.step;
    if (actions.some(({ type }) => type === 'new-era')) {
      for (const [id, answer] of this.#answers) this.#write(id, answer);
    }
    for (const [id, order] of this.#pending) {
      if (order.type === 'drain') this.#lookForWorker(id, order.worker);
      if (order.type !== 'checkpoint') continue;
      if (read) order.from = Math.min(order.from, event.step); // it has gone back
      if (event.type !== 'saved' || event.step < order.from || event.outcome === 'lost') continue;
      if (event.outcome === 'written') this.#answer(id, { state: 'done', worker: null, step: event.step });
      else this.#answer(id, { state: 'failed', error: this.#diskFailure() });
    }
  }

  #lookForWorker(id: string, worker: string): void {
    const found = this.#parts.run.workers.find((one) => one.id === worker);
    if (found === undefined) return this.#answer(id, { state: 'done', worker, step: null });
    if (found.draining) return;
    const error = refusal(`Worker ${worker} stays: it is the last one.`).toJSON();
    this.#answer(id, { state: 'failed', error });
  }

  #diskFailure(): Failure {
    const { trouble } = this.#parts.disk;
    const hint = 'The run continues, and tries again later.';
    if (trouble !== null) return { ...trouble.toJSON(), hint };
    return { code: 'ORDER_FAILED', message: 'The checkpoint could not be written.', hint };
  }

  /** The run is over, with this error or in order: what is still open is answered. */
  ended(error: Failure | null): void {
    this.#end = { error };
    this.#answerEnd(error);
  }

  /** All answers so far are written. */
  get answered(): Promise<unknown> {
    return this.#writing;
  }

  #answerEnd(error: Failure | null): void {
    const step = this.#parts.reporter.latest.checkpoint?.step ?? null;
    for (const [id, order] of this.#pending) {
      const worker = order.type === 'drain' ? order.worker : null;
      if (error === null) this.#answer(id, { state: 'done', worker, step });
      else {
        const message = `The run has ended with an error: ${error.message} [${error.code}]`;
        this.#answer(id, { state: 'failed', error: refusal(message).toJSON() });
      }
    }
  }

  #answer(id: string, answer: Answer): void {
    this.#pending.delete(id);
    this.#remember(id, answer);
    this.#write(id, answer);
  }

  #remember(id: string, answer: Answer): void {
    this.#answers.set(id, answer);
    const [oldest] = this.#answers.keys();
    if (this.#answers.size > limits.remembered) this.#answers.delete(oldest!);
  }

  #write(id: string, answer: Answer): void {
    const { redis, log } = this.#parts;
    const written = redis
      .set(names.answer(id), JSON.stringify(answer), 'PX', limits.timeToLive)
      .catch((error) => log.warn({ id, error: String(error) }, 'An order could not be answered.'));
    this.#writing = Promise.all([this.#writing, written]);
  }
}

function refusal(sentence: string, hint?: string): CornetError {
  return new CornetError('ORDER_FAILED', sentence, hint === undefined ? {} : { hint });
}

function listOf(workers: readonly { id: string }[]): string {
  const shown = workers.slice(0, namesInSentence).map(({ id }) => id);
  const others = workers.length - shown.length;
  return workers.length === 0 ? 'none' : shown.join(', ') + (others > 0 ? ` and ${others} more` : '');
}
