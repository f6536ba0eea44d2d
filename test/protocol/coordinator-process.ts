import assert from 'node:assert';
import { Run } from '../../coordinator/protocol/run.ts';
import type { RunAction, RunEvent } from '../../coordinator/protocol/run-events.ts';
import type { BlobRef, DownMessage } from '../../shared/wire/protocol.ts';
import { beat, flush, type Numbers, Peers } from './model.ts';
import { isMember, type World } from './world.ts';

/** After so much heard time a silent worker is dropped, and a newcomer that nobody has tried to reach is taken up. */
const patience = 5 * beat;

/** A coordinator process: the run, and what it reads and writes. */
export class CoordinatorProcess {
  readonly world: World;
  outbox: DownMessage[] = [];
  readonly run: Run;
  readonly peers: Peers;
  position = 0;
  incarnation: number;
  number = 0;
  heard = 0;
  io: (() => void)[] = [];
  /** What goes to the disk of the run, in this order; what is still being fetched keeps its place. */
  disk: { work: (() => void) | null }[] = [];
  /** Jobs that a connection which broke before the reply will add once more. */
  again: (() => void)[] = [];
  /** It takes no event; what happens meanwhile waits for it. */
  asleep = false;
  alive = true;
  outcome: string | null = null;
  /** It reads a blob, and what is to follow is not known yet. */
  #reads = false;
  /** Members when the last event came. */
  #before = new Set<string>();

  constructor(world: World, term: number) {
    this.world = world;
    const { redis } = world;
    this.peers = new Peers(world.firewall, null, (peers) => this.event({ type: 'reached', peers }));
    this.incarnation = redis.incarnation;
    redis.era = { term, boot: 0 };
    redis.up = [];
    this.run = new Run({
      plan: world.plan,
      limits: {
        member: patience,
        step: 60 * beat,
        join: 10 * beat,
        worker: 10_000 * beat,
        lastCheckpoint: 60 * beat,
      },
      era: redis.era,
      common: { version: '1', fingerprint: 'data', place: 'here', carrier: world.carrier, numerics: null },
      fleetSize: world.fleet,
      describeShard: (step, lane) => `step ${step}, lane ${lane}`,
      describeBatch: (batch) => `batch ${batch}`,
    });
    this.perform([{ type: 'send', body: { type: 'rollcall' } }, ...this.run.start()]);
  }

  members(): Set<string> {
    return new Set(this.run.workers.filter(isMember).map(({ id }) => id));
  }

  /** Another coordinator has taken the run over, which this one need not know yet. */
  get superseded(): boolean {
    return this.world.coordinator !== this;
  }

  event(event: RunEvent): void {
    if (this.asleep) return void this.io.push(() => this.event(event));
    this.#before = this.members();
    const { step } = this.run;
    this.perform(this.run.handle(event));
    if (this.superseded) return;
    this.#assertAwaited();
    if (this.run.step !== step || event.type === 'tick') this.#assertNobodyForgotten(step);
  }

  /** Some worker, timer or piece of work can end the phase: it never waits for nobody. */
  #assertAwaited(): void {
    const { phase, workers, sentence } = this.run;
    if (this.outcome !== null || phase === 'waiting' || phase === 'finished') return;
    if (phase === 'restoring' || phase === 'saving' || phase === 'finishing') {
      assert(this.#busy, `nothing is under way: ${sentence}`);
    } else assert(this.#busy || (workers.length > 0 && !sentence.includes('nobody')), sentence);
  }

  /** The state lay still, or a round could be interrupted: whoever came long before has been taken up. */
  #assertNobodyForgotten(before: number): void {
    const { phase, step, workers } = this.run;
    const begins = phase === 'computing' && step !== before;
    if (this.outcome !== null || (!begins && phase !== 'validating' && phase !== 'extracting')) return;
    for (const { id, status, joinedAt } of workers)
      assert(status !== 'newcomer' || this.heard - joinedAt <= patience, `${id} is forgotten`);
  }

  /** What does not lie in Redis is gone with its maker. */
  #assertHeld(vectors: (DownMessage & { type: 'reduce' })['vectors']): void {
    const known = new Set(this.run.workers.map(({ id }) => id));
    for (const { worker, ref } of vectors)
      assert(
        ref === null || ref.at === 'redis' || known.has(worker),
        `${worker}, which is gone, holds ${ref?.name}`,
      );
  }

  /** Messages that lay unread are gone. */
  miss(many: number): void {
    this.position = Math.min(this.position + many, this.world.redis.up.length);
  }

  /** The stream may be shorter than it was. */
  catchUp(): void {
    this.position = Math.min(this.position, this.world.redis.up.length);
  }

  perform(actions: RunAction[]): void {
    for (const action of actions) this.act(action);
  }

  act(action: RunAction): void {
    const { world } = this;
    const { redis, disk, carriers } = world;
    if (this.superseded && isFenced(action)) return this.#takenOver();
    switch (action.type) {
      case 'send':
        if (action.body.type === 'reduce') this.#assertHeld(action.body.vectors);
        this.outbox.push({ era: this.run.era, n: this.number++, ...action.body });
        break;
      case 'job': {
        const { worker, job, audit } = action;
        const give = () => {
          const queue = redis.queues.get(worker) ?? [];
          queue.push(job);
          redis.queues.set(worker, queue);
        };
        give();
        if (world.draws.integer(50) === 0) this.again.push(give);
        if (audit) world.audits++;
        else if (job.type === 'shard') {
          const shard = `step ${job.step}, lane ${job.lane}`;
          world.given.set(shard, (world.given.get(shard) ?? 0) + 1);
        }
        break;
      }
      case 'dismiss':
        if (!this.superseded) world.assertHeldWithout(action.worker, this.#before);
        redis.queues.delete(action.worker);
        break;
      case 'forget-worker':
        if (this.run.phase !== 'finished') world.dropped++;
        redis.queues.delete(action.worker);
        break;
      case 'try-peer': {
        const peer = { worker: action.worker, server: world.servedBy(action.server) };
        this.io.push(() => this.peers.try([peer]));
        break;
      }
      case 'restore':
        this.#onDisk(() => {
          const { step, state, validated } = disk.latest ?? {
            step: 0,
            state: world.truth[0]!,
            validated: false,
          };
          // What is taken up again at a step has no curves beyond it, so the run must not have gone on meanwhile.
          assert(
            this.run.phase === 'restoring' || this.run.phase === 'finishing',
            `read too late: ${this.run.sentence}`,
          );
          for (const done of [...disk.metrics.keys()]) if (done >= step) disk.metrics.delete(done);
          const ref = redis.put(`snapshot:${step}:${world.ids++}`, state);
          this.event({ type: 'restored', step, ref, validated, toSave: disk.latest === null });
        });
        break;
      case 'save': {
        const { step, ref } = action;
        const place = this.#onDisk(null);
        this.#fenced(() => {
          const state = this.#read(ref);
          if (state === undefined) {
            this.disk = this.disk.filter((other) => other !== place);
            return this.event({ type: 'saved', step, outcome: 'lost' });
          }
          world.compare(step, state);
          place.work = () => this.#write(action, state);
          this.event({ type: 'held', step });
        });
        break;
      }
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
      case 'store': {
        const { step, batch, result } = action;
        this.#fenced(() => {
          const rows = result.type === 'features' ? this.#read(result.ref) : undefined;
          if (result.type === 'features' && rows === undefined) {
            return this.event({ type: 'stored', step, batch, result, outcome: 'lost' });
          }
          if (rows !== undefined) {
            disk.rows.set(batch, rows);
            disk.journal.set(batch, result);
          }
          this.event({ type: 'stored', step, batch, result, outcome: 'stored' });
        });
        break;
      }
      case 'validated':
        world.validated.add(action.step);
        assert.equal(action.summary.count, world.plan.round.batches);
        break;
      case 'finish':
        if (action.outcome === 'failed') {
          // Three random kills at one shard look like a poisonous one; the user looks, and resumes.
          if (action.failure.code !== 'POISON_SHARD') throw new Error(action.failure.message);
          return world.restart();
        }
        if (action.outcome === 'interrupted') {
          world.assertKept();
          return world.restart();
        }
        this.outcome = action.outcome;
        break;
      case 'log':
        break;
    }
  }

  /** What it reads and writes on the disk of the run, while the run is its own. */
  #fenced(work: () => void): void {
    this.io.push(() => (this.superseded ? this.#takenOver() : work()));
  }

  #read(ref: BlobRef): Numbers | undefined {
    this.#reads = true;
    const value = this.world.carriers.get(ref, this);
    this.#reads = false;
    return value;
  }

  /** @param work null: not known yet */
  #onDisk(work: (() => void) | null): { work: (() => void) | null } {
    const place = { work };
    this.disk.push(place);
    return place;
  }

  #nextOnDisk(): void {
    const { work } = this.disk.shift()!;
    if (this.superseded) this.#takenOver();
    else work!();
  }

  get #busy(): boolean {
    return this.#reads || this.io.length > 0 || this.disk.length > 0;
  }

  /** What is not the run's last checkpoint the disk may refuse. */
  #write({ step, last }: { step: number; last: boolean }, state: Numbers): void {
    const { disk, validated, draws } = this.world;
    if (!last && draws.integer(40) === 0) {
      disk.refused.add(step);
      return this.event({ type: 'saved', step, outcome: 'failed' });
    }
    assert(step >= (disk.latest?.step ?? 0), 'the last checkpoint is older than the one before');
    disk.latest = { step, state, validated: validated.has(step) };
    disk.written.set(step, disk.latest.validated);
    this.event({ type: 'saved', step, outcome: 'written' });
  }

  /** It learns that it is not the coordinator any more, and ends with its local workers. */
  #takenOver(): void {
    this.alive = false;
    for (const worker of this.world.workers) if (worker.parent === this) worker.alive = false;
  }

  /** A second passes, for everybody who is awake. */
  second(): void {
    const { redis, workers } = this.world;
    for (const worker of workers) {
      if (worker.alive && !worker.frozen && !worker.leaving && worker.incarnation === redis.incarnation)
        worker.beat();
    }
    if (!this.asleep && this.incarnation === redis.incarnation) redis.up.push('echo');
  }

  moves(): (() => void)[] {
    if (this.asleep || !this.alive) return [];
    const { redis } = this.world;
    const moves: (() => void)[] = [];
    // At a heartbeat, between which it does much.
    if (this.superseded && this.world.draws.integer(40) === 0) moves.push(() => this.#takenOver());
    if (this.incarnation !== redis.incarnation) {
      moves.push(() => {
        this.incarnation = redis.incarnation;
        this.position = 0;
        if (!this.superseded) redis.up = [];
        this.event({ type: 'redis-replaced', empty: true });
      });
    } else if (this.position < redis.up.length) {
      moves.push(() => {
        const message = redis.up[this.position++]!;
        if (message === 'echo') {
          if (this.superseded) return; // of another era
          this.heard += beat;
          this.event({ type: 'tick', heard: this.heard });
          if (this.world.draws.integer(3) === 0) this.peers.tryAgain();
        } else this.event({ type: 'message', message });
      });
    }
    if (this.again.length > 0) moves.push(() => this.again.shift()!());
    const isReady = () => this.world.draws.integer(this.world.slowness) === 0;
    if (this.io.length > 0 && isReady()) moves.push(() => this.io.shift()!());
    if (this.disk[0]?.work != null && isReady()) moves.push(() => this.#nextOnDisk());
    if (this.outbox.length > 0) moves.push(() => flush(this.outbox, redis.down, this.world.draws));
    return moves;
  }
}

/** What the run folder or Redis refuses to a coordinator whose run was taken over. */
function isFenced({ type }: RunAction): boolean {
  return type === 'new-era' || type === 'step-done' || type === 'validated' || type === 'finish';
}
