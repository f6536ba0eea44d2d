/** The coordinator at work: performs what `Run` decides, on Redis and disk, and tells it what happens there. */
import { setTimeout as sleep } from 'node:timers/promises';
import { type ConnectionOptions, Queue } from 'bullmq';
import type { Redis, RedisOptions } from 'ioredis';
import { statusTimeToLive, streamLength, timeouts } from '../../shared/defaults.ts';
import { CornetError, describeError } from '../../shared/errors.ts';
import { allConnected } from '../../shared/redis/all-connected.ts';
import { HeardClock } from '../../shared/redis/heard-clock.ts';
import type { OutageLog } from '../../shared/redis/outages.ts';
import { fromRedis } from '../../shared/redis/redis.ts';
import { oneAtATime } from '../../shared/util/one-at-a-time.ts';
import type { Carriers } from '../../shared/wire/carriers.ts';
import { orderEntry } from '../../shared/wire/orders.ts';
import {
  compareEras,
  type DownBody,
  type Era,
  echo,
  type Job,
  names,
  type Remark,
  remark,
  upMessage,
} from '../../shared/wire/protocol.ts';
import { append, StreamReader } from '../../shared/wire/streams.ts';
import type { TcpPeers } from '../../shared/wire/tcp-peers.ts';
import type { RunAction, RunEvent } from '../protocol/run-events.ts';
import { viewOf } from '../view/view-of.ts';
import { DiskActions, type DiskParts } from './disk-actions.ts';
import { Orders } from './orders.ts';
import type { RunObserver, RunReporter } from './ports.ts';
import { RunKeys } from './run-keys.ts';

export type Outcome = RunAction & { type: 'finish' };

export interface ConductorParts extends DiskParts {
  reporter: RunReporter;
  redis: Redis;
  /** Opens the workers' blob sockets. */
  token: string;
  readerRedis: Redis;
  queueConnection: RedisOptions;
  outages: OutageLog;
  /** Takes what a worker elsewhere says for the run's log. */
  remark: (remark: Remark) => void;
}

export class Conductor {
  readonly #parts: ConductorParts;
  readonly #blobs: Carriers;
  readonly #peers: TcpPeers;
  readonly #disk: DiskActions;
  readonly #keys: RunKeys;
  readonly #orders: Orders;
  readonly #reader: StreamReader;
  readonly #queues = new Map<string, Queue>();
  readonly #clock = new HeardClock(timeouts.beat);
  #number = 0;
  #echoPending = false;
  /** What names the Redis server and its history, as it was at the last look. */
  #server: string | null = null;
  readonly #outcome: Promise<Outcome>;
  #finish!: (outcome: Outcome) => void;
  #reject!: (error: unknown) => void;
  /** What went wrong here first. */
  #error: unknown = null;
  /** The run has ended with an error: that the workers leave now is no news. */
  #failed = false;
  #observer: RunObserver | null = null;
  #onDismissed: (worker: string) => void = () => undefined;
  /** Workers that said goodbye or whose process ended. */
  readonly #gone = new Set<string>();
  #someoneLeft: () => void = () => undefined;
  #forgetting: Promise<unknown> = Promise.resolve();
  /** Another coordinator has taken the run over: nothing in Redis is ours any more. */
  #superseded = false;
  /** Lanes whose shards were given out, by step. */
  readonly #given = new Map<number, Set<number>>();

  constructor(parts: ConductorParts) {
    this.#parts = parts;
    this.#blobs = parts.blobs;
    this.#peers = parts.blobs.peers((peers) => this.tell({ type: 'reached', peers }));
    this.#disk = new DiskActions(parts, (event) => this.tell(event));
    this.#keys = new RunKeys(parts.redis, parts.config, parts.token);
    this.#orders = new Orders(parts, (event) => this.tell(event));
    this.#reader = new StreamReader(parts.readerRedis, names.up(parts.config.run), '0-0');
    this.#outcome = new Promise<Outcome>((resolve, reject) => {
      this.#finish = resolve;
      this.#reject = reject;
    });
    this.#outcome.catch(() => undefined); // `conduct` throws it
  }

  /** From now on this one is told what happens. */
  observe(observer: RunObserver): void {
    this.#observer = observer;
  }

  /** What is to be done when a worker leaves because it was asked to. */
  onDismissed(listener: (worker: string) => void): void {
    this.#onDismissed = listener;
  }

  /** Something that `Run` must know, from outside. */
  tell(event: RunEvent): void {
    if (event.type === 'exited') this.#left(event.worker);
    const actions = this.#parts.run.handle(event);
    this.#observer?.saw(event, actions);
    this.#perform(actions);
    this.#orders.saw(event, actions);
  }

  /** The workers' queues that were needed so far. */
  get queues(): Iterable<Queue> {
    return this.#queues.values();
  }

  /** Ends the run with an error from outside, at once. */
  abort(error: CornetError): void {
    this.#reject(error);
  }

  /** Something failed here: the run ends, after a last checkpoint if one can be had. */
  #fail(thrown: unknown): void {
    const error = fromRedis(thrown);
    if (this.#error !== null) return this.#reject(this.#error); // not even that
    this.#error = error;
    this.tell({ type: 'abort', failure: describeError(error) });
    setTimeout(() => this.#reject(error), timeouts.lastCheckpoint).unref();
  }

  /** Conducts the run to its end; then the workers have left, or had `timeouts.stop` to do so. */
  async conduct(): Promise<Outcome> {
    const { run, redis } = this.#parts;
    this.#server = (await this.#keys.look()).server; // before anything is written that it could lose
    await this.#keys.clear();
    await this.#introduce(run.era);
    this.#send({ type: 'rollcall' });
    if (run.phase !== 'finished') {
      const actions = run.start();
      this.#observer?.saw(null, actions);
      this.#perform(actions);
    }
    this.#listen().catch((error) => this.#fail(error));
    const lookOnce = oneAtATime(() => this.#look());
    const look = () => void lookOnce().catch((error) => this.#fail(error));
    redis.on('ready', look); // it may have come back empty
    const heart = setInterval(() => {
      this.#parts.outages.look();
      this.#observer?.beat();
      this.#parts.reporter.waiting(this.#parts.outages.sentence ?? run.sentence);
      look();
    }, timeouts.beat);
    try {
      const outcome = await this.#outcome;
      if (outcome.outcome === 'failed' && this.#error !== null) throw this.#error; // with its cause
      this.#orders.ended(outcome.outcome === 'failed' ? outcome.failure : null);
      return outcome;
    } catch (error) {
      this.#failed = true;
      this.#orders.ended(describeError(error));
      if (!this.#superseded) this.#send({ type: 'stop', reason: 'The coordinator ended with an error.' });
      throw error;
    } finally {
      clearInterval(heart);
      redis.off('ready', look);
      this.#parts.disk.close();
      await this.#close();
    }
  }

  async #close(): Promise<void> {
    const { redis, blobs, log, outages } = this.#parts;
    const tidied = (async () => {
      if (this.#superseded || outages.away || redis.status !== 'ready') return;
      await this.#everyoneGone();
      await this.#forgetting;
      await this.#orders.answered;
      await this.#keys.forget();
    })();
    const late = sleep(timeouts.stop, 'late', { ref: false });
    if ((await Promise.race([tidied, late])) === 'late')
      log.warn('Not every worker has said goodbye: keys of the run may be left in Redis.');
    this.#peers.close();
    this.#reader.close();
    for (const queue of this.#queues.values()) queue.disconnect().catch(() => undefined); // Redis may be gone
    await blobs.close();
    await this.#parts.output.close();
  }

  /** So that nobody writes to the run's keys while they are deleted. */
  async #everyoneGone(): Promise<void> {
    const { workers } = this.#parts.run;
    while (workers.some(({ id }) => !this.#gone.has(id))) {
      await new Promise<void>((resolve) => {
        this.#someoneLeft = resolve;
      });
    }
  }

  #left(worker: string): void {
    this.#gone.add(worker);
    this.#someoneLeft();
  }

  async #listen(): Promise<void> {
    const { log } = this.#parts;
    for await (const entry of this.#reader) {
      const heard = echo.safeParse(entry);
      if (heard.success) {
        if (compareEras(heard.data.echo, this.#parts.run.era) !== 0) continue;
        this.#echoPending = false;
        this.tell({ type: 'tick', heard: this.#clock.answer(performance.now()) });
        continue;
      }
      const parsed = upMessage.safeParse(entry);
      if (parsed.success) {
        this.tell({ type: 'message', message: parsed.data });
        if (parsed.data.type === 'bye') this.#left(parsed.data.worker);
        continue;
      }
      const said = remark.safeParse(entry);
      const told = orderEntry.safeParse(entry);
      if (said.success) this.#remark(said.data.remark);
      else if (told.success) this.#orders.take(told.data.order).catch((error) => this.#fail(error));
      else log.warn({ issue: parsed.error.issues[0] }, 'A malformed message was refused.');
    }
  }

  /** Of an older era: it stands in the log already, or another coordinator's worker said it. */
  #remark(said: Remark): void {
    if (compareEras(said.era, this.#parts.run.era) === 0) this.#parts.remark(said);
  }

  /** What is due at every heartbeat, and when Redis is back. */
  async #look(): Promise<void> {
    const { run, redis, config, reporter, outages } = this.#parts;
    const asked = performance.now();
    outages.asked();
    const { term, era, server } = await this.#keys.look();
    outages.answered();
    this.#observer?.redisAnswered((performance.now() - asked) / 1000);
    if (term > run.era.term) return this.#takenOver();
    const startedAgain = this.#server !== null && server !== this.#server;
    this.#server = server;
    if (era === null || startedAgain) this.tell({ type: 'redis-replaced', empty: era === null });
    if (!this.#echoPending) {
      this.#echoPending = true;
      await append(redis, names.up(config.run), streamLength.up, { echo: run.era });
    }
    if (this.#parts.output.steps?.saveDue()) this.tell({ type: 'save-due' });
    const status = JSON.stringify(viewOf(run, config, reporter.latest, new Date()));
    await redis.set(names.status(config.run), status, 'PX', statusTimeToLive);
  }

  #takenOver(): void {
    const { run } = this.#parts.config;
    this.#superseded = true;
    this.#reject(new CornetError('RUN_LOCKED', `Another coordinator has taken over run ${run}.`));
  }

  async #introduce(era: Era): Promise<void> {
    if (!(await this.#keys.introduce(era))) this.#takenOver();
  }

  /** Started in this order, not awaited: ioredis sends in the order of the calls, so `new-era` comes before `rollcall`. */
  #perform(actions: RunAction[]): void {
    for (const action of actions) this.#start(action).catch((error) => this.#fail(error));
  }

  async #start(action: RunAction): Promise<void> {
    const { log, reporter, output } = this.#parts;
    switch (action.type) {
      case 'send':
        return this.#send(action.body);
      case 'job':
        return this.#giveJob(action);
      case 'forget-worker':
        this.#forgetting = Promise.all([this.#forgetting, this.#forgetWorker(action.worker)]);
        return void (await this.#forgetting);
      case 'dismiss':
        this.#onDismissed(action.worker);
        this.#forgetting = Promise.all([this.#forgetting, this.#forgetWorker(action.worker)]);
        return void (await this.#forgetting);
      case 'restore':
        return this.#disk.restore(`coordinator-${this.#number}`);
      case 'save':
        return this.#disk.save(action);
      case 'delete':
        return this.#blobs.delete(action.refs);
      case 'new-era':
        // Whatever happened to Redis, from here on everything in it is of this era.
        this.#number = 0;
        this.#echoPending = false;
        this.#reader.rewind();
        return this.#introduce(action.era);
      case 'store':
        return this.#disk.store(action);
      case 'step-done':
        return output.steps?.stepDone(action.metrics, action.learningRate, action.members);
      case 'validated':
        return output.validated(action.step, action.summary);
      case 'log':
        log[action.level](action.message);
        if (this.#failed) return;
        reporter.say(action.message, action.level);
        return;
      case 'try-peer':
        return this.#peers.add(action);
      case 'finish':
        return this.#finish(action);
    }
  }

  #send(body: DownBody): void {
    const { redis, config, run } = this.#parts;
    const message = { era: run.era, n: this.#number++, ...body };
    append(redis, names.down(config.run), streamLength.down, message)
      .then(() => this.#sent(body))
      .catch((error) => this.#fail(error));
  }

  #sent(body: DownBody): void {
    const { faults } = this.#parts;
    if (body.type === 'reduce') faults.at('reduce-sent', body.step);
    if (body.type === 'apply') faults.at('apply-sent', body.step);
    if (body.type === 'load') faults.at('load-sent', body.step);
  }

  async #giveJob({ worker, job, audit }: RunAction & { type: 'job' }): Promise<void> {
    if (!audit) this.#countRecomputation(job);
    else this.#parts.log.info({ audited: 1, worker, job }, 'A second worker audits a shard.');
    const { config, queueConnection } = this.#parts;
    let queue = this.#queues.get(worker);
    if (queue === undefined) {
      queue = new Queue(names.queue(config.run, worker), {
        connection: queueConnection as ConnectionOptions,
        prefix: names.queuePrefix(config.run),
        defaultJobOptions: { removeOnComplete: true, removeOnFail: true, attempts: 1 },
      });
      queue.on('error', this.#parts.outages.error);
      this.#queues.set(worker, queue);
      this.#sayIfCutOff(queue);
    }
    await queue.add(job.type, job);
    if (job.type === 'shard') this.#parts.faults.at('jobs-given', job.step, job.lane);
  }

  /** BullMQ tries forever to connect. The run waits with it, but not in silence. */
  #sayIfCutOff(queue: Queue): void {
    const { redis, queueConnection, log, reporter } = this.#parts;
    allConnected(queue.waitUntilReady(), redis, queueConnection).catch((error) => {
      if (!(error instanceof CornetError) || queue.closing !== undefined) return; // said, or over
      const sentence = `The coordinator cannot give a worker its jobs, and keeps trying. ${error.message}`;
      log.warn({ code: error.code }, sentence);
      reporter.say(sentence, 'warn');
    });
  }

  #countRecomputation(job: Job): void {
    if (job.type !== 'shard') return;
    for (const step of this.#given.keys()) if (step < this.#parts.run.step) this.#given.delete(step);
    const lanes = this.#given.get(job.step) ?? new Set();
    this.#given.set(job.step, lanes);
    if (lanes.has(job.lane)) {
      const { step, lane } = job;
      this.#parts.log.info({ recomputed: 1, step, lane }, 'A shard is computed again.');
      this.#observer?.recomputed();
    }
    lanes.add(job.lane);
  }

  async #forgetWorker(worker: string): Promise<void> {
    this.#peers.forget(worker);
    const queue = this.#queues.get(worker);
    if (queue === undefined) return;
    this.#queues.delete(worker);
    await queue.obliterate({ force: true });
    await queue.close();
  }
}
