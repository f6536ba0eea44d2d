import type {
  BlobRef,
  CarrierName,
  DownBody,
  FetchCarrier,
  Hello,
  Numerics,
  WorkerFigures,
} from '../../shared/wire/protocol.ts';
import { carrierOf } from '../../shared/wire/protocol.ts';
import { dealLanes } from './membership.ts';
import { Reach } from './reach.ts';
import type { Failure } from './run-events.ts';

/**
 * A worker as the coordinator knows it. It says hello (newcomer), is told to load a snapshot (loading), has loaded it
 * (member); when it is dropped it is forgotten.
 */
export interface WorkerRecord {
  readonly id: string;
  readonly hello: Hello;
  status: 'newcomer' | 'loading' | 'member';
  /** The step whose state it holds, as far as known. */
  step: number | null;
  /** Heard time of its first message. */
  readonly joinedAt: number;
  /** Heard time of its last message, and of its last delivery. */
  heardAt: number;
  deliveredAt: number;
  /** Number of its last message. */
  lastNumber: number;
  /** It is to leave when the state lies still next. */
  draining: boolean;
  /** It was asked by somebody else, and will leave whatever is decided here. */
  wishes: boolean;
  /** How it does, as it said last; null: not yet. */
  figures: WorkerFigures | null;
}

/** What a run's bits depend on besides its options. */
export interface RunNumerics {
  readonly description: Numerics;
  /** Digest of the vector of the probe. */
  readonly probe: string;
  /** The Pillow whose pixels images have, and a digest of the probe's images. */
  readonly pixels: string;
}

/** What every worker of a run must have in common. */
export interface Common {
  readonly version: string;
  readonly fingerprint: string;
  /** Where the coordinator is: sockets there are in its reach. */
  readonly place: string;
  /** The carrier that the user allows besides Redis; `auto`: the quickest that works. */
  readonly carrier: 'auto' | CarrierName;
  /** What the probe gave, and where; null: the first worker defines it. */
  numerics: RunNumerics | null;
}

type Preferences<Name> = Readonly<Record<Common['carrier'], readonly Name[]>>;

/** Ways for vectors and slices, the quickest first. */
const vectorCarriers: Preferences<CarrierName> = {
  auto: ['memory', 'local', 'tcp', 'redis'],
  memory: ['memory', 'redis'],
  local: ['local', 'redis'],
  tcp: ['tcp', 'redis'],
  redis: ['redis'],
};
/** Ways for what everybody reads. */
const fetchCarriers: Preferences<FetchCarrier> = {
  auto: ['local', 'tcp', 'redis'],
  memory: ['local', 'redis'],
  local: ['local', 'redis'],
  tcp: ['tcp', 'redis'],
  redis: ['redis'],
};

/** All workers that have said hello and were not dropped, in the order they came. */
export class Roster {
  readonly #lanes: number;
  readonly #common: Common;
  readonly #workers = new Map<string, WorkerRecord>();
  #dropped: { worker: string; reason: string }[] = [];
  #announced = '';
  #generation = 0;
  #trustsMemory = true;
  /** What follows from where the workers are; null: they are others since it was looked at. */
  #nearness: { onePlace: boolean; oneMemory: boolean } | null = null;
  readonly reach = new Reach();

  constructor(lanes: number, common: Common) {
    this.#lanes = lanes;
    this.#common = { ...common };
  }

  get generation(): number {
    return this.#generation;
  }

  get numerics(): RunNumerics | null {
    return this.#common.numerics;
  }

  get all(): WorkerRecord[] {
    return [...this.#workers.values()];
  }

  get(id: string): WorkerRecord | undefined {
    return this.#workers.get(id);
  }

  with(status: WorkerRecord['status']): WorkerRecord[] {
    return this.all.filter((worker) => worker.status === status);
  }

  /** Ids of the members. */
  get members(): string[] {
    return this.with('member').map((worker) => worker.id);
  }

  /** Ids of the members whose state is that of `step`. */
  membersAt(step: number): string[] {
    return this.with('member')
      .filter((worker) => worker.step === step)
      .map((worker) => worker.id);
  }

  /** Is there a member whose state is that of `step`? */
  anyAt(step: number): boolean {
    for (const { status, step: at } of this.#workers.values())
      if (status === 'member' && at === step) return true;
    return false;
  }

  /** Are there two members or more? */
  get several(): boolean {
    let members = 0;
    for (const { status } of this.#workers.values()) if (status === 'member' && ++members > 1) return true;
    return false;
  }

  /** Which carrier the user allows. */
  get allowed(): Common['carrier'] {
    return this.#common.carrier;
  }

  /** Where the coordinator is. */
  get place(): string {
    return this.#common.place;
  }

  get trustsMemory(): boolean {
    return this.#trustsMemory;
  }

  /**
   * How what a worker publishes for the coordinator travels.
   * @param others who read it as well
   */
  carrierFor(worker: string, others: readonly string[] = []): FetchCarrier {
    const unreachedBy = this.reach.unreachedBy(worker);
    const isReached = unreachedBy !== undefined && ![null, ...others].some((one) => unreachedBy.has(one));
    const works = (carrier: FetchCarrier) => (carrier === 'tcp' ? isReached : this.canRead(carrier, worker));
    return fetchCarriers[this.allowed].find(works) ?? 'redis';
  }

  /** How the vectors and slices of a worker travel, which members alone read. */
  vectorCarrierOf(worker: string): CarrierName {
    return vectorCarriers[this.allowed].find((carrier) => this.canRead(carrier, worker)) ?? 'redis';
  }

  /** The quickest way that the vectors of any of these can go; null: there is nobody to read them. */
  exchangeCarrier(workers: readonly string[]): CarrierName | null {
    if (!this.several) return null;
    const isOpen = (carrier: CarrierName) => workers.some((worker) => this.canRead(carrier, worker));
    return vectorCarriers[this.allowed].find(isOpen) ?? 'redis';
  }

  /** Can all members read what this worker publishes so? Sockets serve when all, the coordinator too, are in one place. */
  canRead(carrier: CarrierName, maker: string): boolean {
    switch (carrier) {
      case 'memory':
        return this.#near.oneMemory && this.#trustsMemory;
      case 'local':
        return this.#near.onePlace;
      case 'tcp':
        return this.#isReached(maker);
      case 'redis':
        return true;
    }
  }

  /** Can all members read this vector? */
  canReadVector(ref: BlobRef, maker: string): boolean {
    return this.canRead(carrierOf(ref), maker);
  }

  /** Have all other members reached this worker? */
  #isReached(worker: string): boolean {
    const unreachedBy = this.reach.unreachedBy(worker);
    if (unreachedBy === undefined) return false;
    for (const reader of unreachedBy.keys())
      if (reader !== null && this.#workers.get(reader)?.status === 'member') return false;
    return true;
  }

  /** Is there a use for TCP? */
  get wantsTcp(): boolean {
    return this.allowed === 'tcp' || (this.allowed === 'auto' && !this.#near.onePlace);
  }

  get #near(): { onePlace: boolean; oneMemory: boolean } {
    if (this.#nearness === null) {
      const all = this.all;
      const memory = all[0]?.hello.memory;
      const onePlace = all.every(({ hello }) => hello.place === this.#common.place);
      const isShared = memory !== undefined && all.every(({ hello }) => hello.memory === memory);
      this.#nearness = { onePlace, oneMemory: onePlace && isShared };
    }
    return this.#nearness;
  }

  /** From now on nobody maps the memory of others. */
  distrustMemory(): void {
    this.#trustsMemory = false;
  }

  /** Workers that serve TCP are told of to all. */
  peersToTell(): DownBody | null {
    if (!this.wantsTcp || this.#workers.size < 2) return null;
    const peers = this.reach.untold();
    return peers.length === 0 ? null : { type: 'peers', peers };
  }

  /** Lanes of each member at `step`: only they can compute them. */
  lanesAt(step: number): Map<string, number[]> {
    return dealLanes(this.#lanes, this.membersAt(step));
  }

  /** Why a worker can never serve this run, or null. */
  whyRefused(hello: Hello): Failure | null {
    const { version, fingerprint, numerics } = this.#common;
    if (hello.version !== version) {
      const message = `The run uses cornet-ts ${version}, this worker ${hello.version}.`;
      return { code: 'WORKER_VERSION', message };
    }
    if (hello.fingerprint !== fingerprint) {
      const message = `The worker's data set has the fingerprint ${hello.fingerprint}, the run's is ${fingerprint}.`;
      return { code: 'DATA_DIFFERS', message };
    }
    // The probe is small: on a CPU, two numbers of threads may share its work alike, and that of a shard otherwise.
    if (numerics?.description.device === 'cpu' && hello.numerics.threads !== numerics.description.threads) {
      const message =
        `The worker computes a shard with ${countThreads(hello.numerics)}, the run with ` +
        `${countThreads(numerics.description)}: its gradients could differ from the run's.`;
      return { code: 'NUMERICS_DIFFER', message };
    }
    if (numerics !== null && hello.probe !== numerics.probe) {
      const message =
        `The worker's probe is ${hello.probe} (${describeNumerics(hello.numerics)}), ` +
        `the run's ${numerics.probe} (${describeNumerics(numerics.description)}): its gradients would differ from the run's.`;
      return { code: 'NUMERICS_DIFFER', message };
    }
    if (numerics !== null && hello.pixels !== numerics.pixels) {
      const message = `The worker decodes images to different pixels (${hello.pixels}) than the run (${numerics.pixels}).`;
      return { code: 'PIXELS_DIFFER', message };
    }
    return null;
  }

  add(id: string, hello: Hello, number: number, heard: number): void {
    this.#common.numerics ??= {
      description: hello.numerics,
      probe: hello.probe,
      pixels: hello.pixels,
    };
    const times = { joinedAt: heard, heardAt: heard, deliveredAt: heard };
    const tcp = this.allowed === 'auto' || this.allowed === 'tcp' ? hello.tcp : undefined;
    this.reach.add(id, tcp ?? null, [...this.#workers.keys()]);
    this.#nearness = null;
    this.#workers.set(id, {
      id,
      hello,
      status: 'newcomer',
      step: null,
      lastNumber: number,
      draining: false,
      wishes: false,
      figures: null,
      ...times,
    });
  }

  /** The worker learns of it with the next announcement. */
  drop(id: string, reason: string): void {
    this.dismiss(id);
    this.#dropped.push({ worker: id, reason });
  }

  /** The worker knows that it is not counted on any more. */
  dismiss(id: string): void {
    this.#workers.delete(id);
    this.reach.forget(id);
    this.#nearness = null;
  }

  /** Messages sent so far may never have arrived: the next announcement is needed whatever it says. */
  forgetAnnouncement(): void {
    this.#announced = '';
    this.reach.forgetTold();
  }

  /** Is there anything that the workers do not know? */
  get stale(): boolean {
    return this.#dropped.length > 0 || this.#membership() !== this.#announced;
  }

  /** Will the members be others when the state lies still next? */
  get unsettled(): boolean {
    return this.stale || this.all.some(({ status, draining }) => status !== 'member' || draining);
  }

  /** A new generation: who counts, who serves which lanes, who was dropped and why. */
  announcement(step: number): DownBody {
    this.#announced = this.#membership();
    const dropped = this.#dropped;
    this.#dropped = [];
    this.#generation += 1;
    return { type: 'members', generation: this.#generation, step, members: this.#dealt(), dropped };
  }

  #dealt(): { worker: string; lanes: number[] }[] {
    return [...dealLanes(this.#lanes, this.members)].map(([worker, lanes]) => ({ worker, lanes }));
  }

  #membership(): string {
    return JSON.stringify(this.#dealt());
  }
}

function describeNumerics(numerics: Numerics): string {
  const { backend, version, device, processor } = numerics;
  return `${backend} ${version}, ${device}, ${processor}, ${countThreads(numerics)}`;
}

function countThreads({ threads }: Numerics): string {
  return threads === 1 ? '1 thread' : `${threads} threads`;
}
