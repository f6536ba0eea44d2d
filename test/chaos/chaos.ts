/**
 * A run among deaths: its processes, its Redis, its disk and its clocks suffer at random (seeded) times, and at the end
 * the bytes of the last checkpoint are compared with those of an undisturbed run.
 */
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { lastMeasurements } from '../../coordinator/run-folder/metrics-file.ts';
import { type ErrorCode, exitCodes } from '../../shared/errors.ts';
import { bounds } from '../../shared/option-bounds.ts';
import { Draws } from '../../shared/random.ts';
import { processes } from '../helpers/processes.ts';
import type { TestRedis } from '../helpers/redis.ts';
import { type Blow, type NemesisName, nemeses, nemesisNames, send, type Target } from './nemeses.ts';
import { Program } from './program.ts';
import { add, type ChaosReport, count, emptyReport } from './report.ts';
import { WallClock } from './wall-clock.ts';

export interface ChaosOptions {
  /** A data set. */
  data: string;
  /** Gets what the run needs besides, and the run folders that lie on no disk of their own. */
  folder: string;
  /** A file system of this many bytes for the run folder, or null. */
  disk: { folder: string; bytes: number } | null;
  redis: TestRedis;
  steps: number;
  /** Mean seconds between two faults. */
  mtbf: number;
  /** Milliseconds that Redis, or a process, stands still at most. */
  longestPause: number;
  draws: Draws;
  say: (sentence: string) => void;
  /** Ends it before its time. */
  abort?: AbortSignal;
}

/** Of draws. */
const carrierStream = 667;
const pollMilliseconds = 20;
/** Without an update, after which a run counts as hung. */
const hungMilliseconds = 180_000;
/** Faults in a row that no update has followed: more would only keep a slow machine from ever starting. */
const unanswered = 4;
/** Updates after which nothing that happened before can have taken the state along. */
const settled = 2;

/** Ends that a user answers with a resume: random kills can look like a poisonous shard, or like a sick machine. */
const mayResume: readonly ErrorCode[] = ['POISON_SHARD', 'WORKER_FAILED'];
/** The same, where one of these happened while the coordinator lived. */
const mayResumeAfter: Partial<Record<ErrorCode, readonly string[]>> = {
  OPEN_FILES_LIMIT: ['descriptors-coordinator'],
};

const runOptions = [
  ...['--model', 'Z', '--image-size', '64', '--batch-size', '32', '--lanes', '4', '--threads', '1'],
  ...['--seed', '5', '--save-model-secs', '3', '--save-val-epochs', '1', '--epochs', '1000'],
];

/** The SHA-256 of the last checkpoint of a run that nothing disturbs. */
export async function undisturbed({ data, folder, steps }: ChaosOptions): Promise<string> {
  const output = join(folder, 'undisturbed');
  const argv = ['start', ...runOptions, '--cpu-workers', '1', '--max-steps', String(steps)];
  const run = new Program('coordinator', [...argv, '--data-path', data, '-o', output], process.env);
  await run.closed;
  if (run.exitCode !== exitCodes.complete) throw new Error(`the undisturbed run ${run.how}: ${run.stderr}`);
  return lastCheckpoint(output, steps);
}

/** Why a kind of fault cannot be had here, by kind. */
export function missingNemeses(options: Pick<ChaosOptions, 'disk'>): Map<NemesisName, string> {
  const missing = new Map<NemesisName, string>();
  for (const name of nemesisNames) {
    const nemesis = nemeses[name];
    const why = 'missing' in nemesis ? nemesis.missing(options) : null;
    if (why !== null) missing.set(name, why);
  }
  return missing;
}

/**
 * One run to its end, whatever happens to it.
 * @param total what happened is added to it, also when this throws
 * @returns the SHA-256 of its last checkpoint
 * @throws Error if it hangs, ends as no run should, or has lost what it must not lose
 */
export async function runAmongFaults(options: ChaosOptions, total: ChaosReport): Promise<string> {
  const chaos = new Chaos(options);
  try {
    return await chaos.play();
  } finally {
    add(total, chaos.report);
    await chaos.end();
  }
}

class Chaos {
  readonly report = emptyReport();
  readonly #options: ChaosOptions;
  readonly #output: string;
  readonly #environment: NodeJS.ProcessEnv;
  readonly #administrator: Redis;
  readonly #clock: WallClock;
  readonly #hat: NemesisName[];
  #coordinator: Program;
  #remote: Program[] = [];
  /** Faults that last. */
  readonly #underWay = new Map<string, { end: () => Promise<void>; timer: NodeJS.Timeout }>();
  /** When faults happened, or were over, that no update has followed yet. */
  #pending: { kind: string; at: number }[] = [];
  /** Kinds of faults that happened while this coordinator lived. */
  #suffered = new Set<string>();
  /** Updates since the last fault was over, or since the coordinator was started. */
  #updates = 0;
  /** Coordinators that were started. */
  #starts = 0;
  #asked = false;
  /** Nothing but this stop has happened: what the run has done is on disk when the coordinator ends with 75. */
  #cleanStop = false;
  /** After a clean stop: where the next coordinator must begin at the latest, by its log from there on. */
  #owed: { step: number; logged: number } | null = null;
  /** Bytes of the log when the coordinator was started. */
  #loggedBefore = 0;
  #error: unknown = null;

  constructor(options: ChaosOptions) {
    this.#options = options;
    const { folder, disk, redis } = options;
    this.#output = join(disk?.folder ?? folder, 'chaos');
    rmSync(this.#output, { recursive: true, force: true });
    const missing = missingNemeses(options);
    this.#hat = nemesisNames.flatMap((name) =>
      missing.has(name) ? [] : Array<NemesisName>(nemeses[name].weight).fill(name),
    );
    this.#clock = new WallClock(join(folder, 'wall-clock'));
    this.#environment = { ...process.env, ...this.#clock.environment, CORNET_REDIS_URL: redis.url };
    this.#administrator = new Redis(redis.socket, { maxRetriesPerRequest: null, retryStrategy: () => 100 });
    this.#administrator.on('error', () => undefined); // it is away now and then
    this.#coordinator = this.#startCoordinator();
  }

  async play(): Promise<string> {
    const { steps, draws, mtbf } = this.#options;
    let next = Number.POSITIVE_INFINITY; // the first fault follows the first update
    let size = 0;
    let moved = performance.now();
    for (;;) {
      await sleep(pollMilliseconds);
      if (this.#error !== null) throw this.#error;
      this.#options.abort?.throwIfAborted();
      const now = performance.now();
      const metrics = this.#sizeOf('metrics.jsonl');
      if (metrics !== size) {
        moved = now;
        if (metrics > size) this.#updated(now);
        if (next === Number.POSITIVE_INFINITY) next = now;
        size = metrics;
      }
      if (now - moved > hungMilliseconds)
        throw new Error(`no update for three minutes: ${this.#lastLines()}`);
      this.#lookWhereItBegins();
      this.#remote = this.#remote.filter((worker) => worker.running || this.#workerEnded(worker));
      if (!this.#coordinator.running) {
        await this.#coordinator.closed;
        this.#coordinatorEnded();
        if (this.#coordinator.exitCode === exitCodes.complete) break;
        this.#owed = await this.#debt();
        size = this.#sizeOf('metrics.jsonl');
        this.#coordinator = this.#startCoordinator();
      }
      if (now > next && this.#pending.length + this.#underWay.size < unanswered) {
        await this.#fault();
        next = performance.now() - Math.log(1 - draws.uniform()) * mtbf * 1000;
      }
    }
    this.#lookWhereItBegins();
    this.#lookIntoTheLog();
    return lastCheckpoint(this.#output, steps);
  }

  async end(): Promise<void> {
    for (const { pid } of [this.#coordinator, ...this.#remote]) {
      send(pid, 'SIGCONT');
      send(pid, 'SIGKILL');
    }
    // Also those that stand still, so that they notice that all is over.
    await Promise.all([...this.#underWay.values()].map(({ end }) => end()));
    this.#administrator.disconnect();
    await Promise.all([this.#coordinator, ...this.#remote].map(({ closed }) => closed));
  }

  #updated(now: number): void {
    for (const { kind, at } of this.#pending.splice(0))
      this.report.recoveries.push({ kind, milliseconds: now - at });
    this.#updates++;
  }

  async #fault(): Promise<void> {
    const { draws, say } = this.#options;
    const name = this.#hat[draws.integer(this.#hat.length)]!;
    // What lasts already is not begun once more.
    if ([...this.#underWay.keys()].some((kind) => kind.startsWith(name))) return;
    const quiet = this.#updates >= settled && this.#pending.length === 0 && this.#underWay.size === 0;
    this.#cleanStop = false;
    const asked = this.#asked;
    const blow: Blow | null = await nemeses[name].strike(this.#target());
    if (blow === null) return;
    this.#cleanStop = quiet && this.#asked && !asked;
    const kind = blow.name ?? name;
    const seconds = blow.lasts === undefined ? '' : ` for ${(blow.lasts / 1000).toFixed(1)} s`;
    say(`${kind}${blow.whom === undefined ? '' : ` ${blow.whom}`}${seconds}`);
    count(this.report.faults, kind);
    if (blow.harmless) return;
    this.#updates = 0;
    this.#suffered.add(kind);
    if (blow.end === undefined) return this.#over(kind);
    const end = async () => {
      const lasting = this.#underWay.get(kind);
      if (lasting === undefined) return;
      this.#underWay.delete(kind);
      clearTimeout(lasting.timer);
      await blow.end?.();
      this.#over(kind);
    };
    const timer = setTimeout(() => end().catch((error) => this.#fail(error)), blow.lasts);
    this.#underWay.set(kind, { end, timer });
  }

  #fail(error: unknown): void {
    this.#error ??= error;
  }

  #over(kind: string): void {
    this.#pending.push({ kind, at: performance.now() });
    this.#updates = 0;
  }

  #target(): Target {
    const localWorkers = () => this.#childrenOf([this.#coordinator.pid]);
    const remoteWorkers = () => this.#remote.filter(({ running }) => running).map(({ pid }) => pid);
    return {
      ...this.#options,
      administrator: this.#administrator,
      clock: this.#clock,
      coordinator: this.#coordinator.pid,
      localWorkers,
      remoteWorkers,
      everybody: () => {
        const remote = remoteWorkers();
        return [this.#coordinator.pid, ...localWorkers(), ...remote, ...this.#childrenOf(remote)];
      },
      terminate: (pid) => {
        if (pid === this.#coordinator.pid) this.#asked = true;
        send(pid, 'SIGTERM');
      },
      join: () => {
        const { data } = this.#options;
        this.#remote.push(
          new Program('worker', ['start', '--wait', '60', '--data-path', data], this.#environment),
        );
      },
    };
  }

  #childrenOf(parents: readonly number[]): number[] {
    return processes()
      .filter(({ parent, args }) => parents.includes(parent) && args.includes('worker/main.js'))
      .map(({ pid }) => pid);
  }

  #startCoordinator(): Program {
    const { data, steps } = this.#options;
    const argv = existsSync(join(this.#output, 'config.json'))
      ? ['start', '--resume']
      : ['start', ...runOptions, '--max-steps', String(steps), '--data-path', data];
    this.#updates = 0;
    this.#loggedBefore = this.#sizeOf('log.jsonl');
    this.#asked = false;
    this.#cleanStop = false;
    this.#suffered = new Set(this.#underWay.keys());
    // Drawn apart from the faults, whose order a seed fixes.
    const draws = new Draws(this.#starts++, carrierStream);
    const carrier = bounds.carrier.options[draws.integer(bounds.carrier.options.length)]!;
    const always = ['--wait', '120', '--cpu-workers', '2', '--carrier', carrier, '-o', this.#output];
    return new Program('coordinator', [...argv, ...always], this.#environment);
  }

  #coordinatorEnded(): void {
    const { exitCode, signal, code, how, stderr } = this.#coordinator;
    count(this.report.ends, `coordinator ${how}`);
    assertSpoken('the coordinator', this.#coordinator);
    // Node has no ears before it has loaded the program.
    if (signal === 'SIGTERM' && this.#sizeOf('log.jsonl') === this.#loggedBefore) return;
    if (signal === 'SIGKILL' || exitCode === exitCodes.complete || exitCode === exitCodes.resumable) return;
    if (code !== null) {
      if (mayResume.includes(code)) return;
      // At its start a coordinator waits for no disk.
      if (code === 'DISK_FULL' && this.#suffered.has('full-disk') && !this.#hasBegun()) return;
      const after = mayResumeAfter[code];
      if (after?.some((kind) => this.#suffered.has(kind))) return;
    }
    throw new Error(`the coordinator ${how}: ${stderr}`);
  }

  #workerEnded(worker: Program): false {
    count(this.report.ends, `worker ${worker.how}`);
    assertSpoken('a worker from elsewhere', worker);
    if (worker.signal !== null && worker.signal !== 'SIGKILL' && worker.signal !== 'SIGTERM')
      throw new Error(`a worker from elsewhere ${worker.how}: ${worker.stderr}`);
    return false;
  }

  /** A stop loses the step under way at most. */
  async #debt(): Promise<{ step: number; logged: number } | null> {
    if (!this.#cleanStop || this.#coordinator.exitCode !== exitCodes.resumable) return this.#owed;
    const { step: last } = await lastMeasurements(join(this.#output, 'metrics.jsonl'));
    return { step: last - 1, logged: this.#sizeOf('log.jsonl') };
  }

  /** Has this coordinator read the state that it begins with? */
  #hasBegun(): boolean {
    const log = readFileSync(join(this.#output, 'log.jsonl')).toString('utf8', this.#loggedBefore);
    return log.includes('Published the state to start from.');
  }

  #lookWhereItBegins(): void {
    if (this.#owed === null) return;
    const log = readFileSync(join(this.#output, 'log.jsonl')).toString('utf8', this.#owed.logged);
    const begun = /"step":(\d+),"msg":"Published the state to start from\."/.exec(log);
    if (begun === null) return;
    const [step, owed] = [Number(begun[1]), this.#owed.step];
    this.#owed = null;
    this.report.stopsChecked++;
    if (step < owed) {
      throw new Error(
        `After a stop the run begins at step ${step}, although metrics.jsonl went to step ${owed + 1}: more than the step under way was lost.`,
      );
    }
  }

  /** The words of local workers stand in the log. */
  #lookIntoTheLog(): void {
    for (const line of readFileSync(join(this.#output, 'log.jsonl'), 'utf8').split('\n')) {
      if (line.includes('"recomputed"'))
        this.report.recomputed += (JSON.parse(line) as { recomputed: number }).recomputed;
      if (/\[INTERNAL\]|\(killed by SIG(?!KILL)/.test(line)) throw new Error(`the log says: ${line}`);
    }
  }

  #sizeOf(file: string): number {
    try {
      return readFileSync(join(this.#output, file)).length;
    } catch {
      return 0;
    }
  }

  #lastLines(): string {
    try {
      return readFileSync(join(this.#output, 'log.jsonl'), 'utf8').trimEnd().split('\n').slice(-3).join(' ');
    } catch {
      return 'no log';
    }
  }
}

/** Every failure is named. */
function assertSpoken(who: string, { how, stderr }: Program): void {
  if (/\[INTERNAL\]|^\s+at .*:\d+:\d+\)?$/m.test(stderr)) throw new Error(`${who} ${how}: ${stderr}`);
}

function lastCheckpoint(folder: string, step: number): string {
  const file = join(folder, 'checkpoints', `step-${String(step).padStart(8, '0')}.safetensors`);
  return createHash('sha256').update(readFileSync(file)).digest('hex');
}
