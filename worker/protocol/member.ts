/**
 * The worker's half of the protocol: a state machine without I/O. Events in, actions out.
 *
 *     unregistered ── load ──> loading ── loaded ──> member ── apply ──> member at t + 1
 *        ^                    │                    │
 *        └── dropped: a new id, all state thrown away ┘
 *
 * Work that takes time (compute, fetch, load) is an action with a ticket; its end comes back as an event with the same
 * ticket. A ticket that is not valid any more (a snapshot was loaded since, the generation changed, the step was
 * applied) means the result is thrown away: so nothing old is ever mixed into a newer state.
 */
import type { DownBody, DownMessage, Era, Job, UpBody, WorkerFigures } from '../../shared/wire/protocol.ts';
import { compareEras, sliceRange } from '../../shared/wire/protocol.ts';
import type { Apply, MemberAction, MemberEvent, Reduce, Ticket } from './member-events.ts';

/** Characters of a reason that a message has room for. */
const whyLength = 300;

export class Member {
  readonly #newId: () => string;
  readonly #greeting: Omit<UpBody & { type: 'hello' }, 'type' | 'step'>;
  #id = '';
  #era: Era;
  #lastDown = -1;
  #number = 0;
  #status: 'unregistered' | 'loading' | 'member' = 'unregistered';
  #life = 0;
  #step: number | null = null;
  #generation = 0;
  #lanes: number[] = [];
  /** Lanes of this step whose vectors the engine holds. */
  readonly #computed = new Set<number>();
  #reduce: Reduce | null = null;
  #apply: Apply | null = null;
  #early: { job: Job; token: string }[] = [];
  #actions: MemberAction[] = [];

  /**
   * @param newId makes a worker id that nobody else has
   * @param era the era that the Redis key names at the start
   * @param greeting what `hello` says besides the step
   */
  constructor(newId: () => string, era: Era, greeting: Omit<UpBody & { type: 'hello' }, 'type' | 'step'>) {
    this.#newId = newId;
    this.#era = era;
    this.#greeting = greeting;
  }

  get id(): string {
    return this.#id;
  }

  get era(): Era {
    return this.#era;
  }

  /** The step whose state this worker holds, or null. */
  get step(): number | null {
    return this.#step;
  }

  /** What the worker is, for heartbeats and logs. */
  get doing(): string {
    if (this.#status !== 'member') return this.#status;
    if (this.#apply !== null) return `applying step ${this.#step}`;
    if (this.#reduce !== null) return `reducing step ${this.#step}`;
    return `at step ${this.#step}`;
  }

  /** Is a result of this work still wanted? Ask before anything irreversible. */
  valid(ticket: Ticket): boolean {
    return (
      ticket.life === this.#life &&
      ticket.step === this.#step &&
      (ticket.generation === null || ticket.generation === this.#generation)
    );
  }

  start(): MemberAction[] {
    this.#rename(null);
    return this.#flush();
  }

  /** A heartbeat is due, and says how the worker does. */
  beat(figures?: WorkerFigures): MemberAction[] {
    this.#send({ type: 'beat', doing: this.doing, ...(figures === undefined ? {} : { figures }) });
    return this.#flush();
  }

  /** The worker leaves, or would like to, or the run must end because of it. */
  say(body: UpBody & { type: 'wish' | 'bye' | 'failed' }): MemberAction[] {
    this.#send(body);
    return this.#flush();
  }

  handle(event: MemberEvent): MemberAction[] {
    switch (event.type) {
      case 'message':
        this.#receive(event.message);
        break;
      case 'era':
        if (compareEras(event.era, this.#era) > 0) this.#newEra(event.era);
        break;
      case 'job':
        this.#job(event.job, event.token);
        break;
      case 'computed':
        if (this.valid(event.ticket)) {
          const { lane, ref, result } = event;
          this.#send({ type: 'vector', step: event.ticket.step, lane, ref, ...result });
          const isNew = !this.#computed.has(lane);
          this.#computed.add(lane);
          if (isNew && this.#reduce !== null) this.#fetchVectors(this.#reduce);
        }
        this.#act({ type: 'answer', token: event.token });
        break;
      case 'vectors-fetched':
        if (!this.valid(event.ticket) || this.#reduce === null) break;
        if (event.missing !== null) this.#missing('vector', event.ticket, event.missing);
        else {
          const { carrier, unreached } = this.#reduce;
          const publish = unreached.includes(this.#id) ? 'redis' : carrier;
          this.#act({ type: 'reduce', ticket: event.ticket, publish });
        }
        break;
      case 'reduced':
        if (!this.valid(event.ticket)) break;
        this.#reduce = null;
        this.#send({
          type: 'slice',
          step: event.ticket.step,
          generation: event.ticket.generation!,
          ref: event.ref,
          bad: event.bad,
        });
        break;
      case 'slices-fetched':
        if (!this.valid(event.ticket) || this.#apply === null) break;
        if (!event.complete) this.#missing('slice', event.ticket, null);
        else {
          const { learningRate } = this.#apply;
          this.#step = event.ticket.step + 1;
          this.#computed.clear();
          this.#reduce = null;
          this.#apply = null;
          this.#act({ type: 'apply', ticket: this.#ticket(null), learningRate });
        }
        break;
      case 'applied':
        if (!this.valid(event.ticket)) break;
        this.#send({ type: 'applied', step: event.ticket.step });
        this.#act({ type: 'prefetch', step: event.ticket.step, lanes: this.#lanes });
        this.#takeEarly();
        break;
      case 'snapshot-published':
        if (this.valid(event.ticket))
          this.#send({ type: 'snapshot-published', step: event.ticket.step, ref: event.ref });
        break;
      case 'loaded':
        this.#loaded(event.ticket, event.ok);
        break;
      case 'batch-done':
        if (this.valid(event.ticket) && event.result !== null) {
          const { batch, result, ticket } = event;
          this.#send({ type: 'result', step: ticket.step, batch, result });
        }
        this.#act({ type: 'answer', token: event.token });
        break;
      case 'peers-tried':
        this.#reached(event.peers);
        break;
    }
    return this.#flush();
  }

  #receive(message: DownMessage): void {
    const order = compareEras(message.era, this.#era);
    if (order < 0) return;
    if (order > 0) this.#newEra(message.era);
    // A worker starts to read in the middle of an era; from then on the numbers have no gap.
    if (this.#lastDown >= 0 && message.n <= this.#lastDown) return;
    if (this.#lastDown >= 0 && message.n > this.#lastDown + 1) this.#send({ type: 'gap' });
    this.#lastDown = message.n;
    switch (message.type) {
      case 'rollcall':
        return;
      case 'members':
        return this.#membership(message);
      case 'reduce':
        return this.#startReduce(message);
      case 'apply':
        return this.#startApply(message);
      case 'publish-snapshot':
        if (message.worker !== this.#id || this.#status !== 'member' || message.step !== this.#step) return;
        return this.#act({ type: 'publish-snapshot', ticket: this.#ticket(null), carrier: message.carrier });
      case 'peers':
        return this.#tryPeers(message.peers);
      case 'load':
        if (!message.workers.includes(this.#id)) return;
        this.#forget();
        this.#status = 'loading';
        this.#step = message.step;
        return this.#act({ type: 'load', ticket: this.#ticket(null), ref: message.ref });
      case 'refuse':
        if (message.worker !== this.#id) return;
        return this.#act({ type: 'leave', error: message.error, reason: message.error.message });
      case 'leave':
        if (message.worker !== this.#id) return;
        return this.#act({ type: 'leave', error: null, reason: message.reason });
      case 'unknown':
        if (message.worker !== this.#id) return;
        return this.#rename('the coordinator did not know it any more');
      case 'stop':
        return this.#act({ type: 'leave', error: null, reason: message.reason });
    }
  }

  #tryPeers(all: (DownBody & { type: 'peers' })['peers']): void {
    const peers = all.filter(({ worker }) => worker !== this.#id);
    if (peers.length > 0) this.#act({ type: 'try-peers', peers });
  }

  #reached(peers: (UpBody & { type: 'reached' })['peers']): void {
    if (this.#id === '' || peers.length === 0) return;
    this.#send({
      type: 'reached',
      peers: peers.map(({ worker, why }) => ({ worker, why: why?.slice(0, whyLength) ?? null })),
    });
  }

  #membership(message: DownBody & { type: 'members' }): void {
    const dropped = message.dropped.find(({ worker }) => worker === this.#id);
    if (dropped !== undefined) return this.#rename(dropped.reason);
    this.#generation = message.generation;
    this.#reduce = null;
    this.#apply = null;
    const me = message.members.find(({ worker }) => worker === this.#id);
    if (me === undefined) return;
    if (me.lanes.join() !== this.#lanes.join()) {
      this.#lanes = me.lanes;
      this.#act({ type: 'prefetch', step: message.step, lanes: me.lanes });
    }
  }

  #startReduce(message: Reduce): void {
    if (!message.participants.includes(this.#id) || !this.#current(message)) return;
    this.#reduce = message;
    this.#fetchVectors(message);
  }

  /** As soon as all vectors are there: whoever is alone is told to reduce while it still computes. */
  #fetchVectors({ participants, generation, vectors }: Reduce): void {
    const own = vectors.filter(({ worker, ref }) => worker === this.#id && ref === null);
    if (!own.every(({ lane }) => this.#computed.has(lane))) return;
    const index = participants.indexOf(this.#id);
    const { begin, end } = sliceRange(index, participants.length, this.#greeting.vectorLength);
    this.#act({ type: 'fetch-vectors', ticket: this.#ticket(generation), begin, end, vectors });
  }

  #startApply(message: Apply): void {
    if (!this.#current(message)) return;
    this.#apply = message;
    this.#act({ type: 'fetch-slices', ticket: this.#ticket(message.generation), slices: message.slices });
  }

  /** Is this exchange one of my step and my generation? */
  #current(message: Reduce | Apply): boolean {
    return (
      this.#status === 'member' && message.step === this.#step && message.generation === this.#generation
    );
  }

  #job(job: Job, token: string): void {
    const old = compareEras(job.era, this.#era) < 0;
    if (old || this.#status !== 'member' || this.#step === null || job.step < this.#step) {
      return this.#act({ type: 'answer', token });
    }
    if (job.step > this.#step) {
      this.#early.push({ job, token });
      return this.#act({ type: 'answer', token }); // or it would keep the jobs of this step in the queue
    }
    const ticket = this.#ticket(null);
    if (job.type === 'shard') {
      this.#act({ type: 'compute', ticket, lane: job.lane, publish: job.publish, token });
    } else if (job.type === 'features') {
      this.#act({ type: 'extract', ticket, batch: job.batch, publish: job.publish, token });
    } else this.#act({ type: 'evaluate', ticket, batch: job.batch, token });
  }

  #takeEarly(): void {
    const early = this.#early;
    this.#early = [];
    for (const { job, token } of early) this.#job(job, token);
  }

  #loaded(ticket: Ticket, ok: boolean): void {
    if (ticket.life !== this.#life || this.#status !== 'loading') return;
    if (ok) {
      this.#status = 'member';
      this.#send({ type: 'loaded', step: ticket.step });
    } else {
      this.#missing('snapshot', ticket, null);
      this.#forget();
      this.#status = 'unregistered';
    }
  }

  #missing(what: 'vector' | 'slice' | 'snapshot', ticket: Ticket, lane: number | null): void {
    const generation = ticket.generation ?? this.#generation;
    this.#send({ type: 'missing', what, step: ticket.step, generation, lane });
  }

  /** Another Redis, or another coordinator: numbers start again, and everybody says what it holds. */
  #newEra(era: Era): void {
    const sameCoordinator = era.term === this.#era.term;
    this.#era = era;
    this.#lastDown = -1;
    this.#reduce = null;
    this.#apply = null;
    this.#early = [];
    if (this.#status === 'loading' || !sameCoordinator) {
      this.#forget();
      this.#status = 'unregistered';
    }
    this.#number = 0;
    this.#sayHello();
  }

  /** Throws everything away and comes again as somebody else. */
  #rename(reason: string | null): void {
    this.#forget();
    this.#status = 'unregistered';
    this.#id = this.#newId();
    this.#number = 0;
    this.#act({ type: 'renamed', worker: this.#id, reason });
    this.#sayHello();
  }

  #forget(): void {
    this.#life += 1;
    this.#step = null;
    this.#computed.clear();
    this.#reduce = null;
    this.#apply = null;
    this.#lanes = [];
    this.#early = [];
  }

  #sayHello(): void {
    this.#send({ type: 'hello', ...this.#greeting, step: this.#status === 'member' ? this.#step : null });
  }

  #ticket(generation: number | null): Ticket {
    return { life: this.#life, step: this.#step!, generation };
  }

  #send(body: UpBody): void {
    this.#act({ type: 'send', worker: this.#id, era: this.#era, n: this.#number++, body });
  }

  #act(action: MemberAction): void {
    this.#actions.push(action);
  }

  #flush(): MemberAction[] {
    const actions = this.#actions;
    this.#actions = [];
    return actions;
  }
}
