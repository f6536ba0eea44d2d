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
import { Audit, oddOneOut, type Verdict } from './audit.ts';
import type { Debt } from './debts.ts';
import { type Death, deathsAtSameWork, poisoned } from './poison.ts';
import type { WorkerRecord } from './roster.ts';
import type { Failure, Next, StepPlan } from './run-events.ts';
import type { RunState } from './run-state.ts';
import { Step, type StepMetrics } from './step.ts';

/**
 * How often a step's blobs may vanish before the run gives up on the carrier, and those of one worker before it does on
 * that one; on shared memory it gives up before, because there are other ways.
 */
const missingLimit = 10;
const missingLimitOfOne = 4;
const missingLimitOfMemory = 3;

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
  #missing = 0;
  #missingInMemory = 0;
  /** By whose vectors could not be read. */
  readonly #missingOf = new Map<string, number>();
  /** The generation whose only member was told to reduce as soon as it has computed. */
  #toldAlone: number | null = null;
  /** Its slice, if that came before it had said again what vectors it holds. */
  #earlySlice: (() => Next) | null = null;

  constructor(step: number, context: ExchangeContext) {
    this.#context = context;
    this.#state = context.state;
    this.#plan = context.state.steps;
    this.#step = new Step(step, this.#plan.shares(step));
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
    this.#step.keepVectors((ref) => {
      if (ref === null) return !roster.several;
      return roster.reaches(carrierOf(ref));
    });
    return this.#compute();
  }

  vector(worker: WorkerRecord, message: UpMessage & { type: 'vector' }): Next {
    const state = this.#state;
    if (message.step !== this.#step.step || worker.status !== 'member') return null;
    if (message.ref === null && state.roster.several) return null; // nobody else could read it
    const { lane, ref, loss, top1, top5, count } = message;
    if (!this.#step.has(lane)) return null;
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
    this.#doubtMemory();
    const unreadable = what === 'vector' && lane !== null ? this.#unreadable(lane) : null;
    if (unreadable !== null) return unreadable;
    if (++this.#missing > missingLimit) {
      const text = `Blobs of step ${step} vanished ${missingLimit} times before they could be read.`;
      return this.#fail({ code: 'BLOB_LOST', message: text });
    }
    this.#state.log('warn', `A ${what} of step ${step} has vanished; it is made again.`);
    if (what === 'vector' && lane !== null) {
      this.#step.dropVector(lane);
      this.#asked.delete(lane);
    }
    return this.replan();
  }

  /** Perhaps something keeps processes out of each other's memory that nobody could see. */
  #doubtMemory(): void {
    const { roster } = this.#state;
    if (roster.vectorCarrier !== 'memory' || ++this.#missingInMemory < missingLimitOfMemory) return;
    roster.distrustMemory();
    const times = `${missingLimitOfMemory} times in one step`;
    this.#state.log(
      'warn',
      `Shared memory could not be read, ${times}: vectors go over sockets from now on.`,
    );
  }

  /** Whoever is there, and whose vectors nobody can read, does without: too many open files on its side, perhaps. */
  #unreadable(lane: number): Next {
    const { roster } = this.#state;
    const worker = this.#step.vector(lane)?.worker;
    if (worker === undefined || roster.members.length < 2 || !roster.members.includes(worker)) return null;
    const times = (this.#missingOf.get(worker) ?? 0) + 1;
    this.#missingOf.set(worker, times);
    if (times < missingLimitOfOne) return null;
    this.#missing = 0;
    return { drop: worker, reason: `its vectors could not be read, ${times} times in one step` };
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
    const publish = this.#carrier();
    const able = new Set(roster.membersAt(at));
    const missing = new Set(this.#step.missingLanes);
    for (const [worker, lanes] of roster.lanesAt(at)) {
      for (const lane of lanes) {
        const asked = this.#asked.get(lane);
        const goesOn =
          asked !== undefined && able.has(asked.worker) && (publish ?? asked.publish) === asked.publish;
        if (goesOn || !missing.has(lane)) continue;
        this.#asked.delete(lane); // so that it is last
        this.#asked.set(lane, { worker, publish });
        const job = { type: 'shard', era, step: this.#step.step, lane, publish } as const;
        this.#state.act({ type: 'job', worker, job, audit: false });
      }
    }
  }

  /** All vectors are there, perhaps: those that are to be audited are computed once more, then all are summed. */
  #auditOrReduce(): Next {
    if (this.#phase !== 'computing' || !this.#step.computed) return null;
    const state = this.#state;
    const { era, roster } = state;
    const publish = this.#carrier();
    const { step } = this.#step;
    const waits = this.#audit.advance({
      able: publish === null ? [] : roster.membersAt(step),
      vector: (lane) => this.#step.vector(lane),
      ask: (worker, lane) =>
        state.act({ type: 'job', worker, job: { type: 'shard', era, step, lane, publish }, audit: true }),
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
    const shard = this.#context.describeShard(this.#step.step, lane);
    const digests = opinions.map(({ worker, ref }) => `${name(worker)} ${ref.digest}`).join(', ');
    const odd = oddOneOut(opinions);
    const who = odd === null ? '' : ` Two of three agree: suspect ${name(odd)}.`;
    return {
      code: 'NOT_DETERMINISTIC',
      message: `Workers computed different vectors for ${shard}: ${digests}.${who}`,
    };
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
    const { generation } = this.#state.roster;
    const { step } = this.#step;
    this.#state.send({ type: 'reduce', generation, step, participants, carrier: this.#carrier(), vectors });
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
  #carrier(): CarrierName | null {
    const { roster } = this.#state;
    return roster.several ? roster.vectorCarrier : null;
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

function areSame(one: BlobRef, other: BlobRef | null): boolean {
  return one.name === other?.name && one.at === other.at;
}
