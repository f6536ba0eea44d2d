/**
 * A model of everything around the two state machines: Redis, processes, disk and an engine whose "weights" are a
 * few integers. One random choice at a time decides which of them moves next, so that every interleaving can happen.
 * Every update is compared with the undisturbed trajectory; a wrong state throws at once.
 */
import assert from 'node:assert';
import type { Common } from '../../coordinator/protocol/roster.ts';
import type { Plan, RoundPlan, StepPlan } from '../../coordinator/protocol/run-events.ts';
import { Draws } from '../../shared/random.ts';
import { carrierNames, type TcpServer } from '../../shared/wire/protocol.ts';
import { CoordinatorProcess } from './coordinator-process.ts';
import {
  Carriers,
  Disk,
  digest,
  FakeRedis,
  Firewall,
  featuresOf,
  length,
  type Numbers,
  sum,
  update,
  vectorOf,
} from './model.ts';
import { WorkerProcess } from './worker-process.ts';

export interface Scenario {
  seed: number;
  lanes: number;
  steps: number;
  /** Workers at the start. */
  fleet: number;
  /** Batches of features to read, instead of training steps and validations. */
  batches?: number;
  /** Faults that are injected before the world is left in peace. */
  faults: number;
  /** Faults to draw from, instead of all kinds. */
  kinds?: readonly FaultKind[];
}

/** The more often it stands here, the likelier it is. */
const faultKinds = [
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
  'drain',
  'drain',
  'sicken',
  'sicken',
  'give-up',
  'stop',
  'wish',
  'wish',
  'trim',
  'trim',
  'forget',
  'save',
  'doze',
  'doze',
  'usurp',
  'firewall',
  'firewall',
] as const;

export type FaultKind = (typeof faultKinds)[number];

export class World {
  readonly draws: Draws;
  readonly redis = new FakeRedis();
  readonly carriers = new Carriers(this.redis);
  readonly disk = new Disk();
  readonly firewall = new Firewall();
  /** The carrier that the user allows. */
  readonly carrier: Common['carrier'];
  /** Half of the workers are elsewhere, the coordinator's own among them. */
  readonly apart: boolean;
  readonly workers: WorkerProcess[] = [];
  readonly truth: Numbers[] = [];
  readonly validated = new Set<number>();
  readonly fleet: number;
  readonly plan: Plan;
  coordinator: CoordinatorProcess;
  /** Coordinators whose run was taken over, and who go on with what they had until they notice. */
  usurped: CoordinatorProcess[] = [];
  ids = 0;
  applies = 0;
  /** How often each shard was given to a worker, by step and lane. */
  readonly given = new Map<string, number>();
  /** How many were computed once more to be compared. */
  audits = 0;
  /** Workers that died, or whose turn came so seldom that they were thought dead. */
  dropped = 0;
  term = 1;
  /** What is read or written moves at one of so many chances: on a slow disk steps go by meanwhile. */
  readonly slowness: number;
  readonly faults: Record<string, number> = {};
  readonly #scenario: Scenario;
  /** Is there no firewall at the start? */
  readonly #isOpen: boolean;

  constructor(scenario: Scenario) {
    this.#scenario = scenario;
    this.fleet = scenario.fleet;
    this.draws = new Draws(scenario.seed, 99);
    this.slowness = this.draws.integer(4) === 0 ? 16 : 1;
    const picked = this.draws.integer(3 * carrierNames.length);
    this.carrier = carrierNames[picked] ?? 'auto';
    this.#isOpen = this.draws.integer(3) > 0;
    this.apart = this.draws.integer(4) === 0;
    const { lanes, steps } = scenario;
    this.truth.push(Array.from({ length }, (_, i) => i));
    const weights = Array.from({ length: lanes }, (_, lane) => lane);
    for (let step = 0; step < steps; step++) {
      const state = this.truth[step]!;
      // The last batch is short: its last lane has no images when there are several lanes.
      const present = step === steps - 1 && lanes > 1 ? weights.slice(0, -1) : weights;
      this.truth.push(update(state, sum(present.map((lane) => vectorOf(state, lane)))));
    }
    const stepPlan: StepPlan = {
      lanes,
      totalSteps: steps,
      shares: (step: number) => {
        const present = step === steps - 1 && lanes > 1 ? lanes - 1 : lanes;
        return Array.from({ length: present }, (_, lane) => ({ lane, weight: 1 / present, count: 1 }));
      },
      learningRate: () => 0.1,
      deterministic: true,
      roundDue: (step: number) => step === steps || (step > 0 && step % 3 === 0),
      checkpointDue: (step: number) => step % 2 === 0,
      audited: (step: number) =>
        Array.from({ length: lanes }, (_, lane) => lane).filter(
          (lane) => (scenario.seed + step + lane) % 5 === 0,
        ),
    };
    this.plan = { steps: scenario.batches === undefined ? stepPlan : null, round: this.#round() };
    this.coordinator = new CoordinatorProcess(this, this.term);
    for (let i = 0; i < scenario.fleet; i++) this.join(true);
  }

  #round(): RoundPlan {
    const { batches } = this.#scenario;
    if (batches === undefined) return { job: 'validate', batches: 3, finished: new Map() };
    return { job: 'features', batches, finished: this.disk.journal };
  }

  /** A worker process starts, and perhaps some connections to it, or from it, are blocked for good. */
  join(local: boolean): void {
    const joined = new WorkerProcess(this, local);
    this.workers.push(joined);
    if (this.#isOpen) return;
    const some = () => this.draws.integer(5) === 0;
    if (some()) this.firewall.toggle(null, joined.serial);
    for (const { serial } of this.workers) {
      if (serial !== joined.serial && some()) this.firewall.toggle(serial, joined.serial);
      if (serial !== joined.serial && some()) this.firewall.toggle(joined.serial, serial);
    }
  }

  /** The process that serves there. */
  servedBy({ id }: TcpServer): WorkerProcess {
    return this.workers.find(({ serial }) => id === `${serial}`)!;
  }

  compare(step: number, state: Numbers): void {
    assert.equal(digest(state), digest(this.truth[step]!), `wrong state at step ${step}`);
  }

  /** Runs to the end; returns what happened. Throws on a wrong state and on a deadlock. */
  play(): {
    applies: number;
    audits: number;
    overTcp: number;
    unreached: number;
    faults: Record<string, number>;
    moves: number;
  } {
    let moves = 0;
    let idle = 0;
    let left = this.#scenario.faults;
    while (this.coordinator.outcome === null) {
      if (left > 0 && this.draws.integer(25) === 0) {
        left--;
        this.fault();
      }
      const processes = [this.coordinator, ...this.usurped, ...this.workers];
      const possible = processes.flatMap((process) => process.moves());
      this.#rouse(possible.length === 0 ? 10 : 200);
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
    const { overTcp, unreached } = this.carriers;
    if (this.#scenario.batches !== undefined) {
      assert.equal(this.disk.rows.size, this.#scenario.batches);
      for (const [batch, rows] of this.disk.rows) {
        assert.equal(digest(rows), digest(featuresOf(this.truth[0]!, batch)), `wrong rows of batch ${batch}`);
      }
      return { applies: 0, audits: 0, overTcp, unreached, faults: this.faults, moves };
    }
    assert.equal(this.disk.latest?.step, this.plan.steps!.totalSteps);
    this.compare(this.plan.steps!.totalSteps, this.disk.latest!.state);
    assert.equal(this.disk.metrics.size, this.plan.steps!.totalSteps);
    this.#assertAllWritten(this.plan.steps!);
    return { applies: this.applies, audits: this.audits, overTcp, unreached, faults: this.faults, moves };
  }

  /** What was due is on disk, of the step at which it was due, however the disk and the run raced. */
  #assertAllWritten({ totalSteps, checkpointDue, roundDue }: StepPlan): void {
    for (let step = 0; step <= totalSteps; step++) {
      if (this.disk.refused.has(step)) continue;
      const { written } = this.disk;
      if (checkpointDue(step)) assert(written.has(step), `the checkpoint of step ${step} is missing`);
      if (roundDue(step)) assert(written.get(step), `the validated state of step ${step} is missing`);
    }
  }

  /** A coordinator that sleeps wakes at one of so many moves. */
  #rouse(rarely: number): void {
    for (const coordinator of [this.coordinator, ...this.usurped])
      if (coordinator.asleep && this.draws.integer(rarely) === 0) coordinator.asleep = false;
  }

  /** After the last fault: everybody wakes up, and there is at least one worker. */
  peace(): void {
    this.#rouse(1);
    for (const worker of this.workers) worker.frozen = false;
    if (!this.workers.some((worker) => worker.alive && !worker.leaving) && this.redis.era !== null) {
      this.join(true);
    }
  }

  /** A member may go: another one stays, or the state is on disk. */
  assertHeldWithout(worker: string, members: ReadonlySet<string>): void {
    const { run } = this.coordinator;
    if (this.#scenario.batches !== undefined || !members.has(worker) || run.workers.some(isMember)) return;
    if (this.disk.refused.has(run.step)) return; // it had asked to go
    assert.equal(this.disk.latest?.step ?? 0, run.step, 'a worker took the state along');
  }

  /** A run that was stopped: whoever held its state has kept it. */
  assertKept(): void {
    const { run } = this.coordinator;
    const members = this.coordinator.members();
    const holder = this.workers.find(
      ({ alive, frozen, leaving, member }) =>
        alive && !frozen && !leaving && members.has(member.id) && member.step === run.step,
    );
    if (holder === undefined || this.#scenario.batches !== undefined) return;
    assert.equal(this.disk.latest?.step ?? 0, run.step, 'the run stopped without a checkpoint');
  }

  /** Another coordinator on the same run: the old one's local workers die with it, remote ones stay. */
  restart(): void {
    for (const worker of this.workers) if (worker.parent === this.coordinator) worker.alive = false;
    this.coordinator.alive = false;
    this.#takeOver();
  }

  #takeOver(): void {
    this.coordinator = new CoordinatorProcess(this, ++this.term);
    for (let i = 0; i < this.fleet; i++) this.join(true);
  }

  fault(): void {
    const living = this.workers.filter((worker) => worker.alive);
    const pick = living[this.draws.integer(Math.max(1, living.length))];
    const kinds = this.#scenario.kinds ?? faultKinds;
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
        if (living.length < 6 && this.redis.era !== null) this.join(false);
        return;
      case 'freeze':
        if (pick !== undefined) pick.frozen = true;
        return;
      case 'wake':
        this.#rouse(1);
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
      case 'sicken':
        return pick?.sicken();
      case 'give-up':
        // Of a post that nobody can take, others stay; the last one would end the run.
        return this.coordinator.event({ type: 'device-given-up', device: 'cpu', lastWords: 'sick', left: 1 });
      case 'stop':
        return this.coordinator.event({ type: 'stop', reason: 'received SIGTERM' });
      case 'save':
        return this.coordinator.event({ type: 'save-due' });
      case 'wish':
        return pick?.wish();
      case 'trim': {
        // Whoever slept for long finds only the newest entries of a stream.
        const many = 1 + this.draws.integer(10);
        if (this.draws.integer(2) === 0) this.coordinator.miss(many);
        else if (pick !== undefined) pick.position = Math.min(pick.position + many, this.redis.down.length);
        return;
      }
      case 'forget':
        // A failover: what the new server had not yet been sent is gone, although it was acknowledged.
        this.redis.forget(1 + this.draws.integer(6));
        for (const reader of [this.coordinator, ...this.workers]) reader.catchUp();
        return this.coordinator.event({ type: 'redis-replaced', empty: false });
      case 'drain':
        if (pick !== undefined) this.coordinator.event({ type: 'drain', worker: pick.member.id });
        return;
      case 'firewall':
        // Some connections are blocked from now on, or are no longer.
        for (let i = this.draws.integer(4); i >= 0 && living.length > 0; i--) {
          const reader = living[this.draws.integer(living.length + 1)];
          const server = living[this.draws.integer(living.length)]!;
          if (reader !== server) this.firewall.toggle(reader?.serial ?? null, server.serial);
        }
        return;
      case 'coordinator':
        return this.restart();
      case 'doze':
        this.coordinator.asleep = true;
        return;
      case 'usurp':
        // On a file system without locks, or from another host: the old one, and its local workers, live on.
        this.usurped.push(this.coordinator);
        this.coordinator.position = 0; // of the stream that begins anew
        return this.#takeOver();
      case 'lose': {
        const blobs = [...this.redis.blobs.keys()];
        const name = blobs[this.draws.integer(Math.max(1, blobs.length))];
        if (name !== undefined) this.redis.blobs.delete(name);
        return;
      }
    }
  }
}

/** As the coordinator counts them. */
export const isMember = ({ status }: { status: string }): boolean => status === 'member';
