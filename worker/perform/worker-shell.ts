/** A worker at work: performs what `Member` decides, on Redis, the image loader and the engine. */
import { hostname } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { streamLength, timeouts } from '../../shared/defaults.ts';
import { CornetError, describeError, type ErrorCode } from '../../shared/errors.ts';
import { allConnected } from '../../shared/redis/all-connected.ts';
import { fromRedis, isRefusal } from '../../shared/redis/redis.ts';
import { oneAtATime } from '../../shared/util/one-at-a-time.ts';
import { expectBytes } from '../../shared/wire/blobs.ts';
import type { Carriers } from '../../shared/wire/carriers.ts';
import { compareEras, downMessage, names, type Remark } from '../../shared/wire/protocol.ts';
import { append } from '../../shared/wire/streams.ts';
import type { TcpPeers } from '../../shared/wire/tcp-peers.ts';
import { whyForeign } from '../protocol/check-job.ts';
import type { MemberAction, MemberEvent, Ticket } from '../protocol/member-events.ts';
import { BatchWork } from './batch-work.ts';
import { ExchangeWork } from './exchange-work.ts';
import { Inbox } from './inbox.ts';
import { isForgottenJob, JobQueue } from './job-queue.ts';
import type { LeaveRequests } from './leave-requests.ts';
import { Publisher } from './publisher.ts';
import { ShardWork } from './shard-work.ts';
import type { Action, EngineCalls, OnEngine, WorkerParts } from './worker-parts.ts';

export class WorkerShell {
  readonly #parts: WorkerParts;
  readonly #blobs: Carriers;
  readonly #peers: TcpPeers;
  readonly #shards: ShardWork;
  readonly #exchange: ExchangeWork;
  readonly #batches: BatchWork;
  #queue: JobQueue | null = null;
  /** All connections work: nothing is said before, least of all hello. */
  #connected: Promise<void> = Promise.resolve();
  #tokens = 0;
  readonly #jobs = new Map<string, () => void>();
  #over = false;
  #leave: (outcome: { error: CornetError | null; reason: string }) => void = () => undefined;

  constructor(parts: WorkerParts) {
    this.#parts = parts;
    this.#blobs = parts.blobs;
    const onEngine: OnEngine = (ticket, work) => this.#onEngine(ticket, work);
    const tell = (event: MemberEvent) => this.#event(event);
    this.#peers = parts.blobs.peers((peers) => tell({ type: 'peers-tried', peers }));
    const publisher = new Publisher(parts);
    this.#shards = new ShardWork(parts, publisher, onEngine, tell);
    this.#exchange = new ExchangeWork(
      parts,
      this.#shards,
      publisher,
      new Inbox(parts.blobs, parts.memory),
      onEngine,
      tell,
    );
    this.#batches = new BatchWork(parts, onEngine);
  }

  /** Works until the run is over, the coordinator refuses this worker, or it is asked to leave. */
  async work(
    requests: Pick<LeaveRequests, 'onWish' | 'onOrder'>,
  ): Promise<{ error: CornetError | null; reason: string }> {
    const { member, reader, log, voice } = this.#parts;
    const left = new Promise<{ error: CornetError | null; reason: string }>((resolve) => {
      this.#leave = resolve;
    });
    const leave = (reason: string) => this.#leave({ error: null, reason });
    requests.onOrder(leave);
    requests.onWish((reason) => {
      log.info({ reason }, 'Asked to leave; leaving once the state that only this worker holds is safe.');
      this.#perform(member.say({ type: 'wish', reason: reason.slice(0, 1_000) }));
      setTimeout(() => leave(reason), timeouts.stop).unref();
    });
    const listening = this.#listen();
    listening.catch((error) => this.#crash(error));
    this.#perform(member.start());
    const beat = oneAtATime(() => this.#beat()); // Redis may be away, and the last one still waits for it
    const heart = setInterval(() => {
      const { end } = this.#parts.heartbeat;
      if (end !== null) this.#leave({ error: end, reason: end.message });
      else beat().catch((error) => this.#crash(error));
    }, timeouts.beat);
    const outcome = await left;
    this.#over = true; // what is given up now fails, and that is nobody's fault
    clearInterval(heart);
    reader.close();
    this.#peers.close();
    voice.leaving(outcome.reason);
    // Redis may be away for good.
    await Promise.race([this.#sayGoodbye(outcome), sleep(timeouts.redisConnect)]);
    return outcome;
  }

  /** The last message: from here on this worker touches nothing of the run. */
  async #sayGoodbye({ error, reason }: { error: CornetError | null; reason: string }): Promise<void> {
    await this.#queue?.close();
    this.#sendRemarks();
    const own = error !== null && hostTroubles.has(error.code) ? error.toJSON() : null;
    const bye = this.#parts.member.say({ type: 'bye', reason: reason.slice(0, 1_000), error: own });
    await Promise.allSettled(bye.map((action) => this.#start(action)));
  }

  async #listen(): Promise<void> {
    for await (const entry of this.#parts.reader) {
      const parsed = downMessage.safeParse(entry);
      if (!parsed.success) {
        this.#parts.log.warn({ issue: parsed.error.issues[0] }, 'A malformed message was refused.');
        continue;
      }
      this.#event({ type: 'message', message: parsed.data });
    }
  }

  /** What is due at every heartbeat. */
  async #beat(): Promise<void> {
    const { member, heartbeat, reader, log, voice } = this.#parts;
    const era = await heartbeat.look();
    if (era !== null) {
      if (compareEras(era, member.era) !== 0) {
        reader.rewind();
        this.#event({ type: 'era', era });
      }
      this.#perform(member.beat(this.#parts.figures()));
      this.#sendRemarks();
    }
    voice.beat({ step: member.step, sentence: () => heartbeat.sentence, doing: member.doing });
    if (await this.#queue?.watch())
      log.warn('The queue took none of the jobs that were waiting; it was reopened.');
  }

  /** Nobody waits for them, and nothing comes of one that is lost. */
  #sendRemarks(): void {
    const { member, redis, config, voice } = this.#parts;
    for (const said of voice.takeRemarks()) {
      const remark: Remark = { era: member.era, worker: member.id, host: hostname(), ...said };
      append(redis, names.up(config.run), streamLength.up, { remark }).catch(() => undefined);
    }
  }

  #event(event: MemberEvent): void {
    this.#perform(this.#parts.member.handle(event));
  }

  /** Started in this order, not awaited: messages go out in the order in which they were decided. */
  #perform(actions: MemberAction[]): void {
    for (const action of actions) this.#start(action).catch((error) => this.#crash(error));
  }

  async #start(action: MemberAction): Promise<void> {
    const { member, redis, config, voice } = this.#parts;
    switch (action.type) {
      case 'send': {
        const { era, n, worker, body } = action;
        await this.#connected;
        await append(redis, names.up(config.run), streamLength.up, { era, n, worker, ...body });
        return;
      }
      case 'compute':
        return this.#shards.compute(action);
      case 'fetch-vectors':
        return this.#exchange.fetchVectors(action);
      case 'reduce':
        return this.#exchange.reduce(action);
      case 'fetch-slices':
        return this.#exchange.fetchSlices(action);
      case 'apply':
        return this.#exchange.apply(action);
      case 'publish-snapshot':
        return this.#publishSnapshot(action);
      case 'load':
        return this.#load(action);
      case 'evaluate':
      case 'extract': {
        const result = await this.#batches.work(action);
        const { ticket, batch, token } = action;
        return this.#event({ type: 'batch-done', ticket, batch, result, token });
      }
      case 'prefetch':
        voice.serves(action.lanes, action.step);
        return this.#shards.announce(action.lanes, action.step);
      case 'try-peers':
        return this.#peers.are(action.peers);
      case 'answer':
        this.#jobs.get(action.token)?.();
        this.#jobs.delete(action.token);
        return;
      case 'renamed':
        voice.named(member.id, action.reason);
        return this.#openQueue(member.id);
      case 'leave':
        return this.#leave({
          error: action.error && CornetError.fromJSON(action.error),
          reason: action.reason,
        });
    }
  }

  async #openQueue(worker: string): Promise<void> {
    const { config, batches, redis, queueConnection, outages, log, tellParent, metrics } = this.#parts;
    const former = this.#queue;
    this.#queue = new JobQueue(
      { run: config.run, worker, connection: queueConnection },
      ({ job, done }) => {
        const foreign = whyForeign(job, config, batches);
        if (foreign !== null) {
          log.warn(`A job was refused: ${foreign}.`);
          return done();
        }
        const token = String(this.#tokens++);
        this.#jobs.set(token, done);
        this.#event({ type: 'job', job, token });
      },
      (sentence) => log.warn(sentence),
      (error) => {
        // Redis came back without the job that this worker was at: the coordinator has given it again.
        if (isForgottenJob(error)) log.debug(error.message);
        else if (isRefusal(error)) this.#crash(error);
        else outages.error(error);
      },
    );
    this.#connected = allConnected(this.#queue.connected(), redis, queueConnection);
    this.#connected.catch((error) => this.#cutOff(error));
    tellParent({ worker });
    metrics.named(worker);
    await former?.close();
  }

  #onEngine<T>(ticket: Ticket, work: (engine: EngineCalls) => Promise<T>): Promise<T | null> {
    const { engine, member } = this.#parts;
    return engine.exclusively(async () => (member.valid(ticket) ? work(engine) : null));
  }

  async #publishSnapshot({ ticket, carrier }: Action<'publish-snapshot'>): Promise<void> {
    const { member, faults } = this.#parts;
    faults.at('snapshot-asked', ticket.step);
    const body = await this.#onEngine(ticket, (engine) => engine.call('snapshot', []));
    if (body === null) return;
    const name = names.snapshot(member.era, ticket.step, member.id);
    const ref = await this.#blobs.put(name, body, carrier, { step: ticket.step });
    faults.at('snapshot-published', ticket.step);
    this.#event({ type: 'snapshot-published', ticket, ref });
  }

  async #load({ ticket, ref }: Action<'load'>): Promise<void> {
    expectBytes(ref, this.#parts.snapshotBytes);
    const body = await this.#blobs.get(ref);
    if (body === null) return this.#event({ type: 'loaded', ticket, ok: false });
    this.#parts.faults.at('loading', ticket.step);
    const loaded = await this.#onEngine(ticket, async (engine) => {
      await engine.call('load', [body, ticket.step], [body.buffer]);
      return true;
    });
    this.#parts.faults.at('loaded', ticket.step);
    if (!loaded) return;
    this.#parts.voice.joined(this.#parts.member.id, ticket.step);
    this.#event({ type: 'loaded', ticket, ok: true });
    this.#parts.tellParent({ joined: true });
  }

  /** Redis takes some of its connections and not all: nobody else's trouble. */
  #cutOff(error: Error): void {
    if (this.#over) return;
    const known = fromRedis(error);
    if (!(known instanceof CornetError) || isRefusal(error)) return this.#crash(error);
    this.#over = true;
    this.#parts.log.error({ code: known.code }, known.message);
    this.#leave({ error: known, reason: known.message });
  }

  /**
   * Something failed that another worker would not do better: the coordinator ends the run with this error. Trouble of
   * this host is this worker's alone: it leaves, and another computes its shards.
   */
  #crash(error: unknown): void {
    if (this.#over) return; // the first reason counts; reporting it may fail, too
    this.#over = true;
    const { member, log } = this.#parts;
    const described = describeError(fromRedis(error));
    log.error({ code: described.code }, described.message);
    if (hostTroubles.has(described.code)) {
      return this.#leave({ error: CornetError.fromJSON(described), reason: described.message });
    }
    this.#perform(member.say({ type: 'failed', step: member.step, lane: null, error: described }));
    setTimeout(
      () => this.#leave({ error: CornetError.fromJSON(described), reason: described.message }),
      timeouts.stop,
    ).unref();
  }
}

/** What may fail on one host and not on the next. Where it fails everywhere, the rule of poisonous shards ends the run. */
const hostTroubles: ReadonlySet<ErrorCode> = new Set([
  'DEVICE_FAILED',
  'DEVICE_MEMORY',
  'IMAGE_UNREACHABLE',
  'INTERNAL',
  'OPEN_FILES_LIMIT',
]);
