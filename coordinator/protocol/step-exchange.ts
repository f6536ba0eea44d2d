/**
 * One step's way to its commit: computing → reducing → applying. A new generation computes what is missing and
 * sums again, among those that are left; vectors that were published stay. While a step is applied, the next one may be ahead: its jobs are in the
 * queues, so that a worker goes on as soon as it has applied, without another message to the coordinator and back.
 */
import assert from 'node:assert';
import {
  type BlobRef,
  type CarrierName,
  carrierOf,
  type DownBody,
  type UpMessage,
} from '../../shared/wire/protocol.ts';
import { Audit, disagreement, type Verdict } from './audit.ts';
import type { Debt } from './debts.ts';
import { MissingBlobs } from './missing-blobs.ts';
import { type Death, deathsAtSameWork, poisoned } from './poison.ts';
import type { WorkerRecord } from './roster.ts';
import type { Failure, Next, StepPlan } from './run-events.ts';
import type { RunState } from './run-state.ts';
import { Step, type StepMetrics } from './step.ts';

/** Lanes of a bad gradient whose images a sentence names. */
const lanesNamed = 4;

/** How far a step is. */
export type ExchangePhase = 'computing' | 'reducing' | 'applying';

/** What an exchange needs of the run besides its state. */
export interface ExchangeContext {
  readonly state: RunState;
  readonly describeShard: (step: number, lane: number) => string;
  /** How many workers died at a shard (by its description), in this exchange or a former one. */
  readonly deathsAt: Map<string, number>;
}

export class StepExchange {
  readonly #context: ExchangeContext;
  readonly #state: RunState;
  readonly #plan: StepPlan;
  readonly #step: Step;
  /** Null: the step before is being applied, and this one is ahead. */
  #phase: ExchangePhase | null = null;
  /** Who was asked for each lane's vector last, in the order of asking, and how it was to travel. */
  readonly #asked = new Map<number, { worker: string; publish: CarrierName | null }>();
  #metrics: StepMetrics | null = null;
  readonly #audit: Audit;
  readonly #missing: MissingBlobs;
  /** The generation whose only member was told to reduce as soon as it has computed. */
  #toldAlone: number | null = null;
  /** Its slice, if that came before it had said again what vectors it holds. */
  #earlySlice: (() => Next) | null = null;

  constructor(step: number, context: ExchangeContext) {
    this.#context = context;
    this.#state = context.state;
    this.#plan = context.state.steps;
    this.#step = new Step(step, this.#plan.shares(step));
    this.#missing = new MissingBlobs(this.#state, step);
    this.#audit = new Audit(this.#plan.audited(step).filter((lane) => this.#step.has(lane)));
  }

  get phase(): ExchangePhase {
    assert(this.#phase !== null);
    return this.#phase;
  }

  /** Every blob that the step has brought about. */
  get blobs(): BlobRef[] {
    return this.#step.blobs;
  }

  /** Means over the global batch, once all its vectors are there. */
  get metrics(): StepMetrics | null {
    return this.#metrics;
  }

  /** Nothing is applied yet: the step can be abandoned, every member still holds the state of t. */
  get abandonable(): boolean {
    return this.#phase === 'computing' && this.#behind().length === this.#state.roster.members.length;
  }

  /** The update is decided, or somebody has applied it: the only way is on. */
  get decided(): boolean {
    return this.#phase === 'applying' || this.#behind().length < this.#state.roster.members.length;
  }

  /** Gives the jobs while the step before is being applied. */
  goAhead(): void {
    this.#giveJobs(this.#step.step - 1);
  }

  /** All members are at the step. */
  begin(): Next {
    const { roster } = this.#state;
    this.#step.keepVectors((ref, maker) => {
      return ref === null ? !roster.several : roster.canReadVector(ref, maker);
    });
    return this.#compute();
  }

  vector(worker: WorkerRecord, message: UpMessage & { type: 'vector' }): Next {
    const state = this.#state;
    if (message.step !== this.#step.step || worker.status !== 'member') return null;
    if (message.ref === null && state.roster.several) return null; // nobody else could read it
    const { lane, ref, loss, top1, top5, count } = message;
    if (!this.#step.has(lane)) return null;
    if (ref !== null && this.#comesOtherwise(worker.id, lane, ref)) {
      state.deleteBlobs([ref]);
      return null;
    }
    const first = this.#step.vector(lane);
    if (ref !== null && first?.ref) {
      const opinions = [
        { worker: first.worker, ref: first.ref },
        { worker: worker.id, ref },
      ] as const;
      if (this.#audit.compare(lane, ...opinions, this.#behind())) {
        if (!areSame(ref, first.ref)) state.deleteBlobs([ref]);
        return this.#auditOrReduce();
      }
    }
    const earlier = this.#step.acceptVector(lane, { worker: worker.id, ref, loss, top1, top5, count });
    if (earlier?.ref && ref !== null && this.#plan.deterministic) {
      const opinions = [
        { worker: earlier.worker, ref: earlier.ref },
        { worker: worker.id, ref },
      ];
      return this.#fail(this.#differing({ lane, opinions }));
    }
    const kept = this.#step.vector(lane)?.ref ?? null;
    if (ref !== null && !areSame(ref, kept)) state.deleteBlobs([ref]); // two have computed it
    if (loss === null) {
      const shard = this.#context.describeShard(message.step, lane);
      return this.#fail({ code: 'NOT_FINITE', message: `The loss is not finite at ${shard}.` });
    }
    return this.#auditOrReduce();
  }

  /** Was the lane asked for again, because by now not all can read what its maker was asked for at first? */
  #comesOtherwise(worker: string, lane: number, ref: BlobRef): boolean {
    const asked = this.#asked.get(lane);
    if (!isOverTcp(ref) || asked?.worker !== worker || asked.publish === 'tcp') return false;
    return this.#step.vector(lane) === undefined && !this.#state.roster.canReadVector(ref, worker);
  }

  slice(worker: WorkerRecord, message: UpMessage & { type: 'slice' }): Next {
    const state = this.#state;
    const { step, generation, bad, ref } = message;
    if (this.#phase === 'computing' && this.#toldAlone === generation) {
      this.#earlySlice = () => this.slice(worker, message);
      return null;
    }
    if (this.#phase !== 'reducing' || step !== this.#step.step) return null;
    if (generation !== state.roster.generation) return null;
    if (bad !== null) {
      const named = this.#step.shares.slice(0, lanesNamed);
      const shards = named.map(({ lane }) => this.#context.describeShard(step, lane)).join('; ');
      const more = this.#step.shares.length > named.length ? '; …' : '';
      return this.#fail({
        code: 'NOT_FINITE',
        message: `The gradient of ${bad} is not finite at ${shards}${more}.`,
      });
    }
    this.#step.acceptSlice(worker.id, ref);
    if (!this.#step.reduced) return null;
    this.#enter('applying');
    state.send({
      type: 'apply',
      generation,
      step,
      learningRate: this.#plan.learningRate(step),
      slices: this.#step.slices,
    });
    return 'go-ahead';
  }

  applied(worker: WorkerRecord, step: number): Next {
    if (worker.status !== 'member' || worker.step !== step - 1 || step !== this.#step.step + 1) return null;
    worker.step = step;
    if (!this.#state.roster.anyAt(this.#step.step)) return this.#commit();
    // It applied in an earlier generation, unknown to us until now: the exchange must do without it.
    return this.#phase === 'applying' ? null : this.replan();
  }

  missing(message: UpMessage & { type: 'missing' }): Next {
    const { step, generation, what, lane } = message;
    if (step !== this.#step.step || generation !== this.#state.roster.generation) return null;
    const ofVector = what === 'vector' ? lane : null;
    if (!this.#isUnreached(ofVector)) {
      const maker = ofVector === null ? undefined : this.#step.vector(ofVector)?.worker;
      const end = this.#missing.add(maker);
      if (end !== null) return 'drop' in end ? end : this.#fail(end);
      this.#state.log('warn', `A ${what} of step ${step} has vanished; it is made again.`);
    }
    if (ofVector !== null) {
      this.#step.dropVector(ofVector);
      this.#asked.delete(ofVector);
    }
    this.#forgetUnreached();
    return this.replan();
  }

  /** Is it known by now why a blob cannot be read, so that it will travel otherwise? */
  #isUnreached(lane: number | null): boolean {
    const { roster } = this.#state;
    const vector = lane === null ? undefined : this.#step.vector(lane);
    const blobs = lane === null ? this.#step.slices : vector === undefined ? [] : [vector];
    return blobs.some(
      ({ ref, worker }) => ref !== null && isOverTcp(ref) && !roster.canReadVector(ref, worker),
    );
  }

  /** What somebody turned out not to reach would be found missing lane by lane. */
  #forgetUnreached(): void {
    const { roster } = this.#state;
    const lanes = this.#step.keepVectors(
      (ref, maker) => ref === null || !isOverTcp(ref) || roster.canReadVector(ref, maker),
    );
    for (const lane of lanes) this.#asked.delete(lane);
  }

  /** A worker is no member any more; `death`: its process ended, or something failed on its host. */
  lost(worker: string, death: Death | null): void {
    // Ahead as well: a death is heard at once, the last update perhaps after it.
    const computes = this.#phase === 'computing' || this.#phase === null;
    const lane = computes ? this.#owed().get(worker)?.[0] : undefined;
    this.#step.dropVectorsHeldBy(worker);
    for (const [lane, asked] of this.#asked) if (asked.worker === worker) this.#asked.delete(lane);
    if (death === null || lane === undefined) return;
    const { deathsAt, describeShard } = this.#context;
    const shard = describeShard(this.#step.step, lane);
    const deaths = (deathsAt.get(shard) ?? 0) + 1;
    deathsAt.set(shard, deaths);
    if (deaths >= deathsAtSameWork) this.#state.fail(poisoned(shard, death));
  }

  /** A new generation, of those that are left: what is missing is computed, and all is summed again. */
  replan(): Next {
    this.#state.announce();
    return this.#behind().length === 0 ? this.#commit() : this.#compute();
  }

  debts(): Debt[] {
    const behind = this.#behind();
    switch (this.#phase) {
      case null:
        return [];
      case 'computing':
        return this.#step.computed ? this.#auditDebts() : this.#vectorDebts();
      case 'reducing':
        return this.#step.participants
          .filter((worker) => !this.#step.hasSlice(worker))
          .map((worker) => ({ worker, owes: { what: 'slice' } }));
      case 'applying':
        return behind.map((worker) => ({ worker, owes: { what: 'update' } }));
    }
  }

  #vectorDebts(): Debt[] {
    return [...this.#owed()].map(([worker, lanes]) => ({
      worker,
      owes: { what: 'vectors', lanes },
    }));
  }

  #auditDebts(): Debt[] {
    return this.#audit.debts.map(({ worker, lane }) => ({
      worker,
      owes: { what: 'audit', lane },
    }));
  }

  /** Lanes whose vectors are not there, by the worker that was asked for them, in the order in which it computes. */
  #owed(): Map<string, number[]> {
    const missing = new Set(this.#step.missingLanes);
    const owed = new Map<string, number[]>();
    for (const [lane, { worker }] of this.#asked) {
      if (!missing.has(lane)) continue;
      const lanes = owed.get(worker);
      if (lanes === undefined) owed.set(worker, [lane]);
      else lanes.push(lane);
    }
    return owed;
  }

  #compute(): Next {
    const audits = this.#phase === null || this.#phase === 'computing';
    if (this.#step.computed && !audits) return this.#startReduce();
    this.#enter('computing');
    if (this.#step.computed) return this.#auditOrReduce();
    this.#giveJobs(this.#step.step);
    this.#tellAlone();
    return null;
  }

  /** Where all vectors are to come from the only member, it reduces without another message to the coordinator and back. */
  #tellAlone(): void {
    const { roster } = this.#state;
    const { shares, missingLanes } = this.#step;
    const [worker, ...others] = this.#behind();
    if (roster.several || worker === undefined || missingLanes.length < shares.length) return;
    assert(others.length === 0);
    this.#toldAlone = roster.generation;
    const vectors = shares.map(({ lane, weight }) => ({ lane, weight, worker, ref: null }));
    this.#sendReduce([worker], vectors);
  }

  /**
   * Asks for the vectors that are missing. Whoever was asked before, and can still compute, goes on: a new generation
   * deals the lanes anew, but what is half computed is not computed twice.
   * @param at the step of the members that are asked
   */
  #giveJobs(at: number): void {
    const { era, roster } = this.#state;
    const able = new Set(roster.membersAt(at));
    const missing = new Set(this.#step.missingLanes);
    for (const [worker, lanes] of roster.lanesAt(at)) {
      const publish = this.#carrierOf(worker);
      for (const lane of lanes) {
        const asked = this.#asked.get(lane);
        const goesOn = asked !== undefined && able.has(asked.worker) && this.#serves(asked);
        if (goesOn || !missing.has(lane)) continue;
        this.#asked.delete(lane); // so that it is last
        this.#asked.set(lane, { worker, publish });
        const job = { type: 'shard', era, step: this.#step.step, lane, publish } as const;
        this.#state.act({ type: 'job', worker, job, audit: false });
      }
    }
  }

  /** Will all be able to read what was asked for? */
  #serves({ worker, publish }: { worker: string; publish: CarrierName | null }): boolean {
    const { roster } = this.#state;
    return !roster.several || (publish !== null && roster.canRead(publish, worker));
  }

  /** All vectors are there, perhaps: those that are to be audited are computed once more, then all are summed. */
  #auditOrReduce(): Next {
    if (this.#phase !== 'computing' || !this.#step.computed) return null;
    const state = this.#state;
    const { era, roster } = state;
    const { step } = this.#step;
    const waits = this.#audit.advance({
      able: roster.several ? roster.membersAt(step) : [],
      vector: (lane) => this.#step.vector(lane),
      ask: (worker, lane) => {
        const publish = this.#carrierLike(lane, worker);
        state.act({ type: 'job', worker, job: { type: 'shard', era, step, lane, publish }, audit: true });
      },
    });
    const { verdict } = this.#audit;
    if (verdict !== null) return this.#fail(this.#differing(verdict));
    return waits ? null : this.#startReduce();
  }

  #differing({ lane, opinions }: Verdict): Failure {
    const name = (id: string) => {
      const hello = this.#state.roster.get(id)?.hello;
      return hello === undefined ? id : `${id} (${hello.host}, ${hello.numerics.device})`;
    };
    return disagreement(opinions, this.#context.describeShard(this.#step.step, lane), name);
  }

  /** Those that serve lanes sum a slice each; all that are at the step will apply. */
  #startReduce(): Next {
    this.#metrics ??= this.#step.metrics();
    const { roster } = this.#state;
    const participants = this.#behind().slice(0, this.#step.shares.length);
    this.#step.startReduce(participants);
    this.#enter('reducing');
    if (this.#toldAlone !== roster.generation) {
      this.#sendReduce(participants, this.#step.vectors);
      return null;
    }
    const early = this.#earlySlice;
    this.#earlySlice = null;
    return early?.() ?? null;
  }

  #sendReduce(participants: string[], vectors: (DownBody & { type: 'reduce' })['vectors']): void {
    const { roster } = this.#state;
    const { generation } = roster;
    const { step } = this.#step;
    const carrier = roster.exchangeCarrier(participants);
    const unreached =
      carrier === 'tcp' ? participants.filter((worker) => this.#carrierOf(worker) === 'redis') : [];
    this.#state.send({ type: 'reduce', generation, step, participants, carrier, unreached, vectors });
  }

  #commit(): Next {
    assert(this.#metrics !== null, 'whoever is at t + 1 has read that all vectors are there');
    return { commit: this.#metrics };
  }

  #fail(failure: Failure): null {
    this.#state.fail(failure);
    return null;
  }

  /** One member alone publishes nothing: it sums its own lanes. */
  #carrierOf(worker: string): CarrierName | null {
    const { roster } = this.#state;
    return roster.several ? roster.vectorCarrierOf(worker) : null;
  }

  /** How a vector is published that is to be compared with the one that is there: only what travels alike can be. */
  #carrierLike(lane: number, worker: string): CarrierName | null {
    const ref = this.#step.vector(lane)?.ref ?? null;
    const carrier = ref && carrierOf(ref);
    return carrier !== null && this.#state.roster.canRead(carrier, worker)
      ? carrier
      : this.#carrierOf(worker);
  }

  /** Members that are still at the step. */
  #behind(): string[] {
    return this.#state.roster.membersAt(this.#step.step);
  }

  #enter(phase: ExchangePhase): void {
    this.#phase = phase;
    this.#state.enter({ name: 'stepping', exchange: this });
  }
}

function isOverTcp(ref: BlobRef): boolean {
  return carrierOf(ref) === 'tcp';
}

function areSame(one: BlobRef, other: BlobRef | null): boolean {
  return one.name === other?.name && one.at === other.at;
}
