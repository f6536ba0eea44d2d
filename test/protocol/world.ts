/**
 * A model of everything around the two state machines: Redis, processes, disk and an engine whose "weights" are a
 * few integers. One random choice at a time decides which of them moves next, so that every interleaving can happen.
 * Every update is compared with the undisturbed trajectory; a wrong state throws at once.
 */
import assert from 'node:assert';
import { Run } from '../../coordinator/run.ts';
import type { RunAction, RunEvent } from '../../coordinator/run-events.ts';
import type { BlobRef, CarrierName, DownMessage, Era, Job, UpMessage } from '../../shared/protocol.ts';
import { sliceRange } from '../../shared/protocol.ts';
import { Draws } from '../../shared/random.ts';
import { Member, type MemberAction, type MemberEvent, type Ticket } from '../../worker/member.ts';

const length = 40;
const prime = 65_521;
const beat = 1_000;

type Numbers = number[];

/** The vector of (state, lane): any pure function will do. */
function vectorOf(state: Numbers, lane: number): Numbers {
  return state.map((x, i) => (x * 31 + lane * 977 + i * 13 + 7) % prime);
}

/** The sum must depend on the order of the lanes, as floating-point addition does. */
function sum(parts: Numbers[]): Numbers {
  return parts.reduce((total, part) => total.map((x, i) => (x * 3 + part[i]!) % prime));
}

function update(state: Numbers, gradient: Numbers): Numbers {
  return state.map((x, i) => (x * 7 + gradient[i]!) % prime);
}

const digest = (numbers: Numbers) => numbers.join();

class FakeRedis {
  era: Era | null = null;
  down: DownMessage[] = [];
  up: (UpMessage | 'echo')[] = [];
  queues = new Map<string, Job[]>();
  blobs = new Map<string, Numbers>();
  /** Counts the times it came back empty. */
  incarnation = 0;

  wipe(): void {
    this.era = null;
    this.down = [];
    this.up = [];
    this.queues.clear();
    this.blobs.clear();
    this.incarnation++;
  }

  put(name: string, value: Numbers): BlobRef {
    this.blobs.set(name, value);
    return { name, bytes: value.length * 4, digest: digest(value).slice(0, 100), at: 'redis' };
  }
}

/** Blobs are read from Redis, or out of the memory of the process that made them, while it lives and is awake. */
class Carriers {
  readonly #redis: FakeRedis;
  readonly #memories = new Map<string, { owner: WorkerProcess; value: Numbers }>();

  constructor(redis: FakeRedis) {
    this.#redis = redis;
  }

  put(name: string, value: Numbers, carrier: CarrierName, owner: WorkerProcess): BlobRef {
    if (carrier === 'redis') return this.#redis.put(name, value);
    this.#memories.set(`${owner.serial}:${name}`, { owner, value });
    return {
      name,
      bytes: value.length * 4,
      digest: digest(value).slice(0, 100),
      at: `unix:${owner.serial}`,
    };
  }

  get(ref: BlobRef): Numbers | undefined {
    if (ref.at === 'redis') return this.#redis.blobs.get(ref.name);
    const memory = this.#memories.get(`${ref.at.slice('unix:'.length)}:${ref.name}`);
    return memory?.owner.alive && !memory.owner.frozen ? memory.value : undefined;
  }

  delete(ref: BlobRef): void {
    if (ref.at === 'redis') this.#redis.blobs.delete(ref.name);
    else this.#memories.delete(`${ref.at.slice('unix:'.length)}:${ref.name}`);
  }
}

class Disk {
  latest: { step: number; state: Numbers; validated: boolean } | null = null;
  metrics = new Map<number, string>();
}

/** A worker process: the member, its engine (one thing at a time, in order) and its reads and writes (in any order). */
class WorkerProcess {
  readonly world: World;
  readonly member: Member;
  readonly local: boolean;
  readonly serial: number;
  alive = true;
  frozen = false;
  position: number;
  incarnation: number;
  state: Numbers | null = null;
  slice: { begin: number; numbers: Numbers } | null = null;
  fetched = new Map<string, Numbers[]>();
  gathered = new Map<string, Numbers>();
  engine: (() => void)[] = [];
  io: (() => void)[] = [];
  queue = '';
  /** Sent, and not yet written: commands wait while Redis is away, and are written to whatever comes back. */
  outbox: UpMessage[] = [];

  constructor(world: World, local: boolean) {
    this.world = world;
    this.local = local;
    this.serial = world.ids++;
    this.position = world.redis.down.length;
    this.incarnation = world.redis.incarnation;
    this.member = new Member(() => `w${world.ids++}`, world.redis.era!, {
      host: 'here',
      pid: 1,
      place: local || world.draws.integer(4) > 0 ? 'here' : 'there',
      version: '1',
      fingerprint: 'data',
      numerics: { backend: 'model', version: '1', device: 'cpu', processor: 'x', threads: 1 },
      probe: 'probe',
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
            if (publish) ref = carriers.put(`vector:${ticket.step}:${lane}`, vector, publish, this);
          }
          const result = { loss: 1, top1: 0, top5: 0, count: 1 };
          this.io.push(() => this.event({ type: 'computed', ticket, lane, result, ref, token }));
        });
        break;
      case 'fetch-vectors':
        this.io.push(() => {
          if (!this.member.valid(action.ticket)) return;
          const parts: Numbers[] = [];
          let missing: number | null = null;
          for (const { lane, ref, worker } of action.vectors) {
            if (ref === null) assert.equal(worker, this.member.id);
            const whole = ref === null ? vectorOf(this.state!, lane) : carriers.get(ref);
            if (whole === undefined) missing ??= lane;
            else parts.push(whole.slice(action.begin, action.end));
          }
          this.fetched.set(key(action.ticket), parts);
          this.begin = action.begin;
          this.event({ type: 'vectors-fetched', ticket: action.ticket, missing });
        });
        break;
      case 'reduce':
        this.engine.push(() => {
          const numbers = sum(this.fetched.get(key(action.ticket))!);
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
            const part = mine ? this.slice?.numbers : ref === null ? undefined : carriers.get(ref);
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
      case 'serve':
        this.engine.push(() => {
          if (!this.member.valid(action.ticket)) return;
          const state = this.state!;
          const name = `snapshot:${action.ticket.step}:${this.member.id}`;
          this.io.push(() => {
            const ref = carriers.put(name, state, action.carrier, this);
            this.io.push(() => this.event({ type: 'served', ticket: action.ticket, ref }));
          });
        });
        break;
      case 'load':
        this.io.push(() => {
          const state = carriers.get(action.ref);
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
          const result = { loss: batch, top1: 1, top5: 1, count: 1 };
          this.event({ type: 'evaluated', ticket, batch, result, token });
        });
        break;
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

  /** What this process could do now. */
  moves(): (() => void)[] {
    if (!this.alive || this.frozen) return [];
    const { redis } = this.world;
    const moves: (() => void)[] = [];
    if (this.outbox.length > 0) moves.push(() => flush(this.outbox, redis.up, this.world.draws));
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

/** Writes the next command. A connection that breaks before the reply sends it again: it may be written twice. */
function flush<T>(outbox: T[], stream: T[], draws: Draws): void {
  stream.push(outbox[0]!);
  if (draws.integer(50) > 0) outbox.shift();
}

class CoordinatorProcess {
  readonly world: World;
  outbox: DownMessage[] = [];
  readonly run: Run;
  position = 0;
  incarnation: number;
  number = 0;
  heard = 0;
  io: (() => void)[] = [];
  outcome: string | null = null;

  constructor(world: World, term: number) {
    this.world = world;
    const { redis } = world;
    this.incarnation = redis.incarnation;
    redis.era = { term, boot: 0 };
    redis.up = [];
    this.run = new Run({
      plan: world.plan,
      limits: { member: 5 * beat, step: 60 * beat, join: 10 * beat, worker: 10_000 * beat },
      era: redis.era,
      common: { version: '1', fingerprint: 'data', place: 'here', probe: null },
      fleetSize: world.fleet,
      describeShard: (step, lane) => `step ${step}, lane ${lane}`,
    });
    this.perform([{ type: 'send', body: { type: 'rollcall' } }, ...this.run.start()]);
  }

  event(event: RunEvent): void {
    this.perform(this.run.handle(event));
  }

  perform(actions: RunAction[]): void {
    for (const action of actions) this.act(action);
  }

  act(action: RunAction): void {
    const { world } = this;
    const { redis, disk, carriers } = world;
    switch (action.type) {
      case 'send':
        this.outbox.push({ era: this.run.era, n: this.number++, ...action.body });
        break;
      case 'job': {
        const queue = redis.queues.get(action.worker) ?? [];
        queue.push(action.job);
        redis.queues.set(action.worker, queue);
        break;
      }
      case 'forget-worker':
        redis.queues.delete(action.worker);
        break;
      case 'restore':
        this.io.push(() => {
          const { step, state, validated } = disk.latest ?? {
            step: 0,
            state: world.truth[0]!,
            validated: false,
          };
          const ref = redis.put(`snapshot:${step}:${world.ids++}`, state);
          this.event({ type: 'restored', step, ref, validated });
        });
        break;
      case 'save':
        this.io.push(() => {
          const state = carriers.get(action.ref);
          if (state !== undefined) {
            world.compare(action.step, state);
            disk.latest = { step: action.step, state, validated: world.validated.has(action.step) };
          }
          this.event({ type: 'saved', step: action.step, outcome: state === undefined ? 'lost' : 'written' });
        });
        break;
      case 'delete':
        for (const ref of action.refs) carriers.delete(ref);
        break;
      case 'new-era':
        redis.era = action.era;
        redis.down = this.incarnation === redis.incarnation ? redis.down : [];
        this.number = 0;
        break;
      case 'step-done': {
        const text = JSON.stringify(action.metrics);
        assert.equal(disk.metrics.get(action.metrics.step) ?? text, text);
        disk.metrics.set(action.metrics.step, text);
        break;
      }
      case 'validated':
        world.validated.add(action.step);
        assert.equal(action.summary.count, world.plan.validationBatches);
        break;
      case 'finish':
        if (action.outcome === 'failed') {
          // Three random kills at one shard look like a poisonous one; the user looks, and resumes.
          if (action.failure.code !== 'POISON_SHARD') throw new Error(action.failure.message);
          return world.restart();
        }
        this.outcome = action.outcome;
        break;
      case 'log':
        break;
    }
  }

  /** A second passes, for everybody who is awake. */
  second(): void {
    const { redis, workers } = this.world;
    for (const worker of workers) {
      if (worker.alive && !worker.frozen && worker.incarnation === redis.incarnation)
        worker.perform(worker.member.beat());
    }
    if (this.incarnation === redis.incarnation) redis.up.push('echo');
  }

  moves(): (() => void)[] {
    const { redis } = this.world;
    const moves: (() => void)[] = [];
    if (this.incarnation !== redis.incarnation) {
      moves.push(() => {
        this.incarnation = redis.incarnation;
        this.position = 0;
        redis.up = [];
        this.event({ type: 'redis-replaced' });
      });
    } else if (this.position < redis.up.length) {
      moves.push(() => {
        const message = redis.up[this.position++]!;
        if (message === 'echo') {
          this.heard += beat;
          this.event({ type: 'tick', heard: this.heard });
        } else this.event({ type: 'message', message });
      });
    }
    if (this.io.length > 0) moves.push(() => this.io.shift()!());
    if (this.outbox.length > 0) moves.push(() => flush(this.outbox, redis.down, this.world.draws));
    return moves;
  }
}

export interface Scenario {
  seed: number;
  lanes: number;
  steps: number;
  /** Workers at the start. */
  fleet: number;
  /** Faults that are injected before the world is left in peace. */
  faults: number;
}

export class World {
  readonly draws: Draws;
  readonly redis = new FakeRedis();
  readonly carriers = new Carriers(this.redis);
  readonly disk = new Disk();
  readonly workers: WorkerProcess[] = [];
  readonly truth: Numbers[] = [];
  readonly validated = new Set<number>();
  readonly fleet: number;
  readonly plan;
  coordinator: CoordinatorProcess;
  ids = 0;
  applies = 0;
  term = 1;
  readonly faults: Record<string, number> = {};
  readonly #scenario: Scenario;

  constructor(scenario: Scenario) {
    this.#scenario = scenario;
    this.fleet = scenario.fleet;
    this.draws = new Draws(scenario.seed, 99);
    const { lanes, steps } = scenario;
    this.truth.push(Array.from({ length }, (_, i) => i));
    const weights = Array.from({ length: lanes }, (_, lane) => lane);
    for (let step = 0; step < steps; step++) {
      const state = this.truth[step]!;
      // The last batch is short: its last lane has no images when there are several lanes.
      const present = step === steps - 1 && lanes > 1 ? weights.slice(0, -1) : weights;
      this.truth.push(update(state, sum(present.map((lane) => vectorOf(state, lane)))));
    }
    this.plan = {
      lanes,
      totalSteps: steps,
      shares: (step: number) => {
        const present = step === steps - 1 && lanes > 1 ? lanes - 1 : lanes;
        return Array.from({ length: present }, (_, lane) => ({ lane, weight: 1 / present, count: 1 }));
      },
      learningRate: () => 0.1,
      validationDue: (step: number) => step === steps || (step > 0 && step % 3 === 0),
      validationBatches: 3,
      checkpointDue: (step: number) => step % 2 === 0,
    };
    this.coordinator = new CoordinatorProcess(this, this.term);
    for (let i = 0; i < scenario.fleet; i++) this.workers.push(new WorkerProcess(this, true));
  }

  compare(step: number, state: Numbers): void {
    assert.equal(digest(state), digest(this.truth[step]!), `wrong state at step ${step}`);
  }

  /** Runs to the end; returns what happened. Throws on a wrong state and on a deadlock. */
  play(): { applies: number; faults: Record<string, number>; moves: number } {
    let moves = 0;
    let idle = 0;
    let left = this.#scenario.faults;
    while (this.coordinator.outcome === null) {
      if (left > 0 && this.draws.integer(25) === 0) {
        left--;
        this.fault();
      }
      const possible = [...this.coordinator.moves(), ...this.workers.flatMap((worker) => worker.moves())];
      if (possible.length === 0 || this.draws.integer(60) === 0) this.coordinator.second();
      if (possible.length === 0) {
        if (left === 0) this.peace();
        if (++idle > 400) throw new Error(`deadlock: ${this.coordinator.run.sentence}`);
        continue;
      }
      idle = 0;
      possible[this.draws.integer(possible.length)]!();
      if (++moves > 200_000) throw new Error(`no end in sight: ${this.coordinator.run.sentence}`);
    }
    assert.equal(this.coordinator.outcome, 'complete');
    assert.equal(this.disk.latest?.step, this.plan.totalSteps);
    this.compare(this.plan.totalSteps, this.disk.latest!.state);
    assert.equal(this.disk.metrics.size, this.plan.totalSteps);
    return { applies: this.applies, faults: this.faults, moves };
  }

  /** After the last fault: everybody wakes up, and there is at least one worker. */
  peace(): void {
    for (const worker of this.workers) worker.frozen = false;
    if (!this.workers.some((worker) => worker.alive) && this.redis.era !== null) {
      this.workers.push(new WorkerProcess(this, true));
    }
  }

  /** Another coordinator on the same run: the old one's local workers die with it, remote ones stay. */
  restart(): void {
    for (const worker of this.workers) if (worker.local) worker.alive = false;
    this.coordinator = new CoordinatorProcess(this, ++this.term);
    for (let i = 0; i < this.fleet; i++) this.workers.push(new WorkerProcess(this, true));
  }

  fault(): void {
    const living = this.workers.filter((worker) => worker.alive);
    const pick = living[this.draws.integer(Math.max(1, living.length))];
    const kinds = [
      'kill',
      'kill',
      'kill',
      'join',
      'join',
      'freeze',
      'wake',
      'suspect',
      'wipe',
      'coordinator',
      'lose',
    ];
    const kind = kinds[this.draws.integer(kinds.length)]!;
    this.faults[kind] = (this.faults[kind] ?? 0) + 1;
    switch (kind) {
      case 'kill':
        if (pick === undefined) return;
        pick.alive = false;
        // A local death is seen at once, a remote one by its silence.
        if (this.draws.integer(2) === 0) {
          this.coordinator.event({ type: 'exited', worker: pick.member.id, reason: 'killed' });
        }
        return;
      case 'join':
        if (living.length < 6 && this.redis.era !== null) this.workers.push(new WorkerProcess(this, false));
        return;
      case 'freeze':
        if (pick !== undefined) pick.frozen = true;
        return;
      case 'wake':
        for (const worker of living) worker.frozen = false;
        return;
      case 'suspect': {
        // Silent for long, and alive all the time.
        if (pick === undefined) return;
        const was = pick.frozen;
        pick.frozen = true;
        for (let i = 0; i < 7; i++) this.coordinator.second();
        pick.frozen = was;
        return;
      }
      case 'wipe':
        return this.redis.wipe();
      case 'coordinator':
        return this.restart();
      case 'lose': {
        const blobs = [...this.redis.blobs.keys()];
        const name = blobs[this.draws.integer(Math.max(1, blobs.length))];
        if (name !== undefined) this.redis.blobs.delete(name);
        return;
      }
    }
  }
}
