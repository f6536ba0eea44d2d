/**
 * The protocol's state machines with many workers and without anything else: messages are written as JSON, read and
 * checked as the processes do, but no Redis, queue, blob or engine stands in between. What is measured is what the
 * coordinator and one worker have to think and read per step: not what it costs them to give and take jobs with BullMQ.
 */
import assert from 'node:assert';
import { Run } from '../../coordinator/protocol/run.ts';
import type { RunAction } from '../../coordinator/protocol/run-events.ts';
import { timeouts } from '../../shared/defaults.ts';
import {
  type BlobRef,
  type DownMessage,
  downMessage,
  type Era,
  type Job,
  names,
  upMessage,
} from '../../shared/wire/protocol.ts';
import { Member } from '../../worker/protocol/member.ts';
import type { MemberAction, MemberEvent } from '../../worker/protocol/member-events.ts';

/** Per step. */
export interface Simulated {
  workers: number;
  /** Milliseconds of CPU: the coordinator's; one worker's. */
  coordinator: number;
  worker: number;
  /** The coordinator's per second in which all workers send a heartbeat and nothing else happens. */
  heartbeats: number;
  /** Messages on the two streams, and jobs. */
  messages: number;
  jobs: number;
  /** Bytes of these messages that are written to Redis, and that are read from it: every worker reads all of `down`. */
  written: number;
  read: number;
  /** Parts of vectors and slices that one worker reads from others. */
  reads: number;
}

const era: Era = { term: 1, boot: 0 };
/** Elements of CORnet-S' vector: how long the numbers in messages are. */
export const vectorLength = 53_416_616;
const result = { loss: 6.907755374908447, top1: 0, top5: 1, count: 32 };

/** Seconds of heartbeats that are simulated. */
const seconds = 20;

export function simulate(workers: number, { warmUp, steps }: { warmUp: number; steps: number }): Simulated {
  const site = new Site(workers, warmUp + steps);
  site.untilStep(warmUp);
  site.clear();
  site.untilStep(warmUp + steps);
  const { coordinator, worker, messages, jobs, written, read, reads } = site.counted;
  site.clear();
  for (let second = 1; second <= seconds; second++) site.beat(1000 * second);
  const heartbeats = site.counted.coordinator / seconds;
  const per = (total: number) => total / steps;
  return {
    workers,
    coordinator: per(coordinator),
    worker: per(worker) / workers,
    heartbeats,
    messages: per(messages),
    jobs: per(jobs),
    written: per(written),
    read: per(read),
    reads: per(reads) / workers,
  };
}

const nothing = { coordinator: 0, worker: 0, messages: 0, jobs: 0, written: 0, read: 0, reads: 0 };

/** A coordinator and its workers in turns: each side reads all that the other has written. */
class Site {
  counted = { ...nothing };
  readonly #run: Run;
  readonly #members: Member[];
  readonly #up: string[] = [];
  #down: string[] = [];
  #jobs: { worker: string; job: Job }[] = [];
  readonly #steps: number;
  #number = 0;
  #finished = false;

  constructor(workers: number, steps: number) {
    this.#steps = steps;
    const shares = Array.from({ length: workers }, (_, lane) => ({ lane, weight: 1 / workers, count: 32 }));
    this.#run = new Run({
      plan: {
        steps: {
          lanes: workers,
          deterministic: true,
          totalSteps: steps + 1, // never reached: the end has other messages
          shares: () => shares,
          learningRate: () => 0.1,
          roundDue: () => false,
          checkpointDue: () => false,
          audited: () => [],
        },
        round: { job: 'validate', batches: 1, finished: new Map() },
      },
      limits: { ...timeouts },
      era,
      common: { version: '1', fingerprint: 'data', place: 'there', carrier: 'auto', numerics: null },
      fleetSize: workers,
      describeShard: (step, lane) => `step ${step}, lane ${lane}`,
      describeBatch: String,
    });
    this.#members = Array.from(
      { length: workers },
      (_, i) =>
        new Member(() => `worker-${String(i).padStart(3, '0')}`, era, {
          host: `host-${i}`,
          pid: 1,
          place: `host-${i}`,
          version: '1',
          fingerprint: 'data',
          vectorLength,
          numerics: { backend: 'torch', version: '2', device: 'cuda', processor: 'gpu', threads: 4 },
          probe: 'probe',
          pixels: 'pixels',
        }),
    );
    this.#decide(() => this.#run.start());
    for (const member of this.#members) this.#work(member, member.start());
  }

  clear(): void {
    this.counted = { ...nothing };
  }

  untilStep(step: number): void {
    while (this.#run.step < Math.min(step, this.#steps) && !this.#finished) {
      this.#coordinatorReads();
      this.#workersRead();
    }
  }

  /** Every worker says that it is there; the coordinator hears itself and judges them. */
  beat(heard: number): void {
    for (const member of this.#members) this.#work(member, member.beat());
    this.#coordinatorReads();
    const since = cpu();
    this.#decide(() => this.#run.handle({ type: 'tick', heard }));
    assert(this.#run.sentence.length > 0);
    this.counted.coordinator += cpu() - since;
  }

  #coordinatorReads(): void {
    const since = cpu();
    for (const text of this.#up.splice(0)) {
      const message = upMessage.parse(JSON.parse(text));
      this.#decide(() => this.#run.handle({ type: 'message', message }));
    }
    this.counted.coordinator += cpu() - since;
  }

  #decide(handle: () => RunAction[]): void {
    for (const action of handle()) {
      if (action.type === 'send') {
        const text = JSON.stringify({ era, n: this.#number++, ...action.body });
        this.#down.push(text);
        this.counted.messages++;
        this.counted.written += text.length;
        this.counted.read += text.length * this.#members.length;
      } else if (action.type === 'job') {
        this.#jobs.push(action);
        this.counted.jobs++;
      } else if (action.type === 'restore') {
        const ref = blob('snapshot');
        this.#decide(() => this.#run.handle({ type: 'restored', step: 0, ref, validated: true }));
      } else if (action.type === 'finish') this.#finished = true;
    }
  }

  #workersRead(): void {
    const since = cpu();
    const down = this.#down;
    this.#down = [];
    const jobs = new Map<string, Job[]>();
    for (const { worker, job } of this.#jobs.splice(0)) jobs.set(worker, [...(jobs.get(worker) ?? []), job]);
    for (const member of this.#members) {
      for (const text of down) {
        const message = downMessage.parse(JSON.parse(text)) as DownMessage;
        this.#work(member, member.handle({ type: 'message', message }));
      }
      for (const job of jobs.get(member.id) ?? [])
        this.#work(member, member.handle({ type: 'job', job, token: '' }));
    }
    this.counted.worker += cpu() - since;
  }

  #work(member: Member, actions: MemberAction[]): void {
    for (const action of actions) {
      if (action.type === 'send') {
        const { worker, n, body } = action;
        const text = JSON.stringify({ era, n, worker, ...body });
        this.#up.push(text);
        this.counted.messages++;
        this.counted.written += text.length;
        this.counted.read += text.length;
        continue;
      }
      const event = this.#answer(member, action);
      if (event !== null) this.#work(member, member.handle(event));
    }
  }

  /** What happens after an action, at once. */
  #answer(member: Member, action: MemberAction): MemberEvent | null {
    switch (action.type) {
      case 'compute': {
        const { ticket, lane, token } = action;
        const ref = blob(names.vector(era, ticket.step, lane, member.id));
        return { type: 'computed', ticket, lane, result, ref, token };
      }
      case 'fetch-vectors':
        this.counted.reads += action.vectors.length - 1;
        return { type: 'vectors-fetched', ticket: action.ticket, missing: null };
      case 'reduce': {
        const { ticket } = action;
        const ref = blob(names.slice(era, ticket.step, ticket.generation!, member.id));
        return { type: 'reduced', ticket, ref, bad: null };
      }
      case 'fetch-slices':
        this.counted.reads += action.slices.length - 1;
        return { type: 'slices-fetched', ticket: action.ticket, complete: true };
      case 'apply':
        return { type: 'applied', ticket: action.ticket };
      case 'load':
        return { type: 'loaded', ticket: action.ticket, ok: true };
      default:
        return null;
    }
  }
}

function blob(name: string): BlobRef {
  return { name, bytes: 4 * vectorLength, digest: '0123abcd', at: 'redis' };
}

/** Milliseconds of CPU that this process has used. */
function cpu(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
}
