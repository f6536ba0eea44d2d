import assert from 'node:assert';
import {
  type BatchResult,
  type BlobRef,
  carrierOf,
  compareEras,
  sliceRange,
  type UpMessage,
} from '../../shared/wire/protocol.ts';
import { Member } from '../../worker/protocol/member.ts';
import type { MemberAction, MemberEvent, Ticket } from '../../worker/protocol/member-events.ts';
import type { CoordinatorProcess } from './coordinator-process.ts';
import { featuresOf, flush, length, type Numbers, Peers, sum, update, vectorOf } from './model.ts';
import type { World } from './world.ts';

/** A worker process: the member, its engine (one thing at a time, in order) and its reads and writes (in any order). */
export class WorkerProcess {
  readonly world: World;
  readonly member: Member;
  /** Whose local worker it is, or null. */
  readonly parent: CoordinatorProcess | null;
  readonly serial: number;
  readonly servesTcp: boolean;
  readonly peers: Peers;
  alive = true;
  frozen = false;
  /** It has said goodbye: what it has sent is still written, then it ends. */
  leaving = false;
  /** It was asked to leave by somebody else than the coordinator. */
  wishing = false;
  position: number;
  incarnation: number;
  state: Numbers | null = null;
  slice: { begin: number; numbers: Numbers } | null = null;
  /** Parts of vectors, and those vectors that are read where they lie, when they are summed. */
  fetched = new Map<string, { parts: Numbers[]; mapped: { lane: number; ref: BlobRef }[] }>();
  gathered = new Map<string, Numbers>();
  engine: (() => void)[] = [];
  io: (() => void)[] = [];
  queue = '';
  /** Sent, and not yet written: commands wait while Redis is away, and are written to whatever comes back. */
  outbox: UpMessage[] = [];

  constructor(world: World, local: boolean) {
    this.world = world;
    this.parent = local ? world.coordinator : null;
    this.serial = world.ids++;
    this.position = world.redis.down.length;
    this.incarnation = world.redis.incarnation;
    const isNear = (local && !world.apart) || world.draws.integer(world.apart ? 2 : 4) > 0;
    const place = isNear ? 'here' : 'there';
    this.servesTcp = world.draws.integer(place === 'here' ? 4 : 10) > 0;
    this.peers = new Peers(world.firewall, this.serial, (peers) =>
      this.event({ type: 'peers-tried', peers }),
    );
    this.member = new Member(() => `w${world.ids++}`, world.redis.era!, {
      host: 'here',
      pid: 1,
      place,
      ...(this.servesTcp ? { tcp: { id: `${this.serial}`, addresses: ['h:1'], encrypted: false } } : {}),
      ...(local || world.draws.integer(4) > 0 ? { memory: 'here' } : {}),
      version: '1',
      fingerprint: 'data',
      numerics: { backend: 'model', version: '1', device: 'cpu', processor: 'x', threads: 1 },
      probe: 'probe',
      pixels: 'pixels',
      vectorLength: length,
    });
    this.perform(this.member.start());
  }

  event(event: MemberEvent): void {
    this.perform(this.member.handle(event));
  }

  perform(actions: MemberAction[]): void {
    for (const action of actions) this.act(action);
  }

  act(action: MemberAction): void {
    const { redis, carriers } = this.world;
    switch (action.type) {
      case 'send':
        this.outbox.push({
          era: action.era,
          n: action.n,
          worker: action.worker,
          ...action.body,
        } as UpMessage);
        break;
      case 'compute':
        this.engine.push(() => {
          const { ticket, lane, publish, token } = action;
          let ref: BlobRef | null = null;
          if (this.member.valid(ticket)) {
            const vector = vectorOf(this.state!, lane);
            if (publish)
              ref = carriers.put(`vector:${ticket.step}:${lane}:${this.member.id}`, vector, publish, this);
          }
          const result = { loss: 1, top1: 0, top5: 0, count: 1 };
          this.io.push(() => this.event({ type: 'computed', ticket, lane, result, ref, token }));
        });
        break;
      case 'fetch-vectors':
        this.io.push(() => {
          if (!this.member.valid(action.ticket)) return;
          const parts: Numbers[] = [];
          const mapped = action.vectors.flatMap(({ lane, ref }) =>
            ref !== null && carrierOf(ref) === 'memory' ? [{ lane, ref }] : [],
          );
          let missing: number | null = null;
          for (const { lane, ref, worker } of action.vectors) {
            if (ref === null) assert.equal(worker, this.member.id);
            const whole = ref === null ? vectorOf(this.state!, lane) : carriers.get(ref, this);
            if (whole === undefined) missing ??= lane;
            else parts.push(whole.slice(action.begin, action.end));
          }
          this.fetched.set(key(action.ticket), { parts, mapped });
          this.begin = action.begin;
          this.event({ type: 'vectors-fetched', ticket: action.ticket, missing });
        });
        break;
      case 'reduce':
        this.engine.push(() => {
          const { parts, mapped } = this.fetched.get(key(action.ticket))!;
          const lost = mapped.find(({ ref }) => carriers.get(ref, this) === undefined);
          if (lost !== undefined) {
            const event = { type: 'vectors-fetched', ticket: action.ticket, missing: lost.lane } as const;
            this.io.push(() => this.event(event));
            return;
          }
          carriers.forgetBefore(action.ticket.step, this);
          const numbers = sum(parts);
          this.slice = { begin: this.begin, numbers };
          const { step, generation } = action.ticket;
          const name = `slice:${step}:${generation}:${this.member.id}`;
          const ref = action.publish ? carriers.put(name, numbers, action.publish, this) : null;
          this.io.push(() => this.event({ type: 'reduced', ticket: action.ticket, ref, bad: null }));
        });
        break;
      case 'fetch-slices':
        this.io.push(() => {
          const whole: Numbers = [];
          let complete = true;
          action.slices.forEach(({ worker, ref }, i) => {
            const { begin, end } = sliceRange(i, action.slices.length, length);
            const mine = worker === this.member.id;
            if (mine && this.member.valid(action.ticket))
              assert.equal(this.slice?.begin, begin, 'another slice was kept');
            const part = mine ? this.slice?.numbers : ref === null ? undefined : carriers.get(ref, this);
            if (part === undefined) complete = false;
            else if (this.member.valid(action.ticket)) assert.equal(part.length, end - begin);
            whole.push(...(part ?? []));
          });
          this.gathered.set(key(action.ticket), whole);
          this.event({ type: 'slices-fetched', ticket: action.ticket, complete });
        });
        break;
      case 'apply': {
        const [, gradient] = [...this.gathered].at(-1)!;
        this.engine.push(() => {
          this.state = update(this.state!, gradient);
          this.world.compare(action.ticket.step, this.state);
          this.world.applies++;
          this.io.push(() => this.event({ type: 'applied', ticket: action.ticket }));
        });
        break;
      }
      case 'publish-snapshot':
        this.engine.push(() => {
          if (!this.member.valid(action.ticket)) return;
          const state = this.state!;
          const name = `snapshot:${action.ticket.step}:${this.member.id}`;
          this.io.push(() => {
            const ref = carriers.put(name, state, action.carrier, this);
            this.io.push(() => this.event({ type: 'snapshot-published', ticket: action.ticket, ref }));
          });
        });
        break;
      case 'load':
        this.io.push(() => {
          const state = carriers.get(action.ref, this);
          this.engine.push(() => {
            if (state !== undefined) this.state = state;
            this.event({ type: 'loaded', ticket: action.ticket, ok: state !== undefined });
          });
        });
        break;
      case 'evaluate':
        this.engine.push(() => {
          const { ticket, batch, token } = action;
          if (this.member.valid(ticket)) this.world.compare(ticket.step, this.state!);
          const scores = { loss: batch, top1: 1, top5: 1, count: 1, classes: [], unreadable: [] };
          const result = { type: 'scores', ...scores } as const;
          this.event({ type: 'batch-done', ticket, batch, result, token });
        });
        break;
      case 'extract':
        this.engine.push(() => {
          const { ticket, batch, publish, token } = action;
          let result: BatchResult | null = null;
          if (this.member.valid(ticket)) {
            this.world.compare(ticket.step, this.state!);
            const name = `features:${batch}:${this.member.id}`;
            const ref = carriers.put(name, featuresOf(this.state!, batch), publish, this);
            result = { type: 'features', ref, unreadable: [] };
          }
          this.io.push(() => this.event({ type: 'batch-done', ticket, batch, result, token }));
        });
        break;
      case 'try-peers': {
        const peers = action.peers.map(({ worker, server }) => ({
          worker,
          server: this.world.servedBy(server),
        }));
        if (this.world.draws.integer(2) === 0) this.io.push(() => this.peers.try(peers));
        else for (const peer of peers) this.io.push(() => this.peers.try([peer]));
        break;
      }
      case 'renamed':
        redis.queues.delete(this.queue);
        this.queue = action.worker;
        break;
      case 'leave':
        this.alive = false;
        break;
      case 'prefetch':
      case 'answer':
        break;
    }
  }

  begin = 0;

  /** A heartbeat looks at the era's key first. */
  beat(): void {
    const { era } = this.world.redis;
    if (era !== null && compareEras(era, this.member.era) !== 0) {
      this.position = 0;
      this.event({ type: 'era', era });
    }
    this.perform(this.member.beat());
    if (this.world.draws.integer(3) === 0) this.io.push(() => this.peers.tryAgain());
  }

  /** The stream may be shorter than it was. */
  catchUp(): void {
    this.position = Math.min(this.position, this.world.redis.down.length);
  }

  /** Somebody asks it to leave, and it waits for the coordinator's leave. */
  wish(): void {
    if (this.wishing || this.leaving) return;
    this.wishing = true;
    this.perform(this.member.say({ type: 'wish', reason: 'received SIGTERM' }));
  }

  /** It has waited for long enough. */
  #goAnyway(): void {
    this.leaving = true;
    this.perform(this.member.say({ type: 'bye', reason: 'received SIGTERM', error: null }));
  }

  /** Its device fails, whatever it does. */
  sicken(): void {
    this.leaving = true;
    const error = {
      code: this.world.draws.integer(2) === 0 ? 'INTERNAL' : 'DEVICE_FAILED',
      message: 'Xid 79',
    } as const;
    this.perform(this.member.say({ type: 'bye', reason: 'its device failed', error }));
  }

  #end(): void {
    this.alive = false;
    if (this.parent?.alive)
      this.parent.event({ type: 'exited', worker: this.member.id, reason: 'exit code 1' });
  }

  /** What this process could do now. */
  moves(): (() => void)[] {
    if (!this.alive || this.frozen) return [];
    const { redis } = this.world;
    const moves: (() => void)[] = [];
    if (this.outbox.length > 0) moves.push(() => flush(this.outbox, redis.up, this.world.draws));
    if (this.leaving) {
      moves.push(() => this.#end()); // perhaps before the last words are written: Redis may be away
      return moves;
    }
    if (this.wishing && this.world.draws.integer(40) === 0) moves.push(() => this.#goAnyway());
    if (this.incarnation !== redis.incarnation) {
      // The connection came back, to a Redis that is not the one it was: wait for the new era's key.
      if (redis.era !== null) {
        moves.push(() => {
          this.incarnation = redis.incarnation;
          this.position = 0;
          this.event({ type: 'era', era: redis.era! });
        });
      }
    } else {
      if (this.position < redis.down.length) {
        moves.push(() => this.event({ type: 'message', message: redis.down[this.position++]! }));
      }
      const queue = redis.queues.get(this.queue);
      if (queue !== undefined && queue.length > 0) {
        moves.push(() => this.event({ type: 'job', job: queue.shift()!, token: 'token' }));
      }
    }
    if (this.engine.length > 0) moves.push(() => this.engine.shift()!());
    const io = this.io;
    if (io.length > 0) {
      moves.push(() => {
        const [move] = io.splice(this.world.draws.integer(io.length), 1);
        move!();
      });
    }
    return moves;
  }
}

function key(ticket: Ticket): string {
  return `${ticket.life}:${ticket.step}:${ticket.generation}`;
}
