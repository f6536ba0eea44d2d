import type {
  CarrierName,
  DownBody,
  FetchCarrier,
  Hello,
  Numerics,
  WorkerFigures,
} from '../../shared/wire/protocol.ts';
import { dealLanes } from './membership.ts';
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
  /** What the probe gave, and where; null: the first worker defines it. */
  numerics: RunNumerics | null;
}

/** All workers that have said hello and were not dropped, in the order they came. */
export class Roster {
  readonly #lanes: number;
  readonly #common: Common;
  readonly #workers = new Map<string, WorkerRecord>();
  #dropped: { worker: string; reason: string }[] = [];
  #announced = '';
  #generation = 0;
  #trustsMemory = true;

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

  /** For what everybody reads. Sockets serve when all, the coordinator too, are in one place. */
  get carrier(): FetchCarrier {
    return this.all.every(({ hello }) => hello.place === this.#common.place) ? 'local' : 'redis';
  }

  /** For vectors and slices, which workers alone read. */
  get vectorCarrier(): CarrierName {
    const memory = this.all[0]?.hello.memory;
    const isShared = memory !== undefined && this.all.every(({ hello }) => hello.memory === memory);
    return this.carrier === 'local' && isShared && this.#trustsMemory ? 'memory' : this.carrier;
  }

  /** From now on nobody maps the memory of others. */
  distrustMemory(): void {
    this.#trustsMemory = false;
  }

  /** Can those who are here read what travels like this? */
  reaches(carrier: CarrierName): boolean {
    return carrier === 'redis' || carrier === this.vectorCarrier || carrier === this.carrier;
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
    const times = { heardAt: heard, deliveredAt: heard };
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
    this.#workers.delete(id);
    this.#dropped.push({ worker: id, reason });
  }

  /** The worker knows that it is not counted on any more. */
  dismiss(id: string): void {
    this.#workers.delete(id);
  }

  /** Messages sent so far may never have arrived: the next announcement is needed whatever it says. */
  forgetAnnouncement(): void {
    this.#announced = '';
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
