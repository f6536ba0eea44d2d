/**
 * A run among deaths: workers, the coordinator and Redis are killed, stopped and started at random (seeded) times, and
 * at the end the bytes of the last checkpoint are compared with those of an undisturbed run.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { exitCodes } from '../../shared/errors.ts';
import { packageRoot } from '../../shared/package-root.ts';
import type { Draws } from '../../shared/random.ts';
import { processes } from '../helpers/processes.ts';
import type { TestRedis } from '../helpers/redis.ts';

export interface ChaosOptions {
  /** A data set. */
  data: string;
  /** Gets the run folders. */
  folder: string;
  redis: TestRedis;
  steps: number;
  /** Mean seconds between two faults. */
  mtbf: number;
  /** Milliseconds that Redis, or a worker, stands still at most. */
  longestPause: number;
  draws: Draws;
  say: (sentence: string) => void;
}

/** From a fault to the next update, by the metrics. */
export interface Recovery {
  kind: string;
  milliseconds: number;
}

export interface ChaosReport {
  faults: Record<string, number>;
  recoveries: Recovery[];
  recomputed: number;
  sha256: string;
}

const remoteWorkers = 2;
const pollMilliseconds = 20;
/** Faults in a row that no update has followed: more would only keep a slow machine from ever starting. */
const unanswered = 4;

const runOptions = [
  ...['--model', 'Z', '--image-size', '64', '--batch-size', '32', '--lanes', '4', '--threads', '1'],
  ...['--seed', '5', '--save-model-secs', '3', '--save-val-epochs', '0.4', '--epochs', '1000'],
];

/** The SHA-256 of the last checkpoint of a run that nothing disturbs. */
export async function undisturbed({ data, folder, steps }: ChaosOptions): Promise<string> {
  const output = join(folder, 'undisturbed');
  const argv = [
    'start',
    ...runOptions,
    '--cpu-workers',
    '1',
    '--max-steps',
    String(steps),
    '--data-path',
    data,
  ];
  const child = command('coordinator', [...argv, '-o', output], process.env);
  const code = await ended(child);
  if (code !== exitCodes.complete) throw new Error(`the undisturbed run ended with ${code}`);
  return lastCheckpoint(output, steps);
}

/** One run to its end, whatever happens to it. */
export async function runAmongFaults(options: ChaosOptions): Promise<ChaosReport> {
  const chaos = new Chaos(options);
  try {
    return await chaos.play();
  } finally {
    chaos.end();
  }
}

class Chaos {
  readonly #options: ChaosOptions;
  readonly #output: string;
  readonly #environment: NodeJS.ProcessEnv;
  readonly #report: ChaosReport = { faults: {}, recoveries: [], recomputed: 0, sha256: '' };
  #coordinator: ChildProcess;
  /** What the coordinator has printed as an error. */
  #lastWords = '';
  #remote: ChildProcess[] = [];
  /** Process ids of workers that stand still. */
  readonly #stopped = new Set<number>();
  /** When faults happened that no update has followed yet. */
  #pending: { kind: string; at: number }[] = [];

  constructor(options: ChaosOptions) {
    this.#options = options;
    this.#output = join(options.folder, 'chaos');
    rmSync(this.#output, { recursive: true, force: true });
    this.#environment = { ...process.env, CORNET_REDIS_URL: options.redis.url };
    this.#coordinator = this.#startCoordinator(false);
  }

  async play(): Promise<ChaosReport> {
    const { steps, draws, mtbf } = this.#options;
    let next = Number.POSITIVE_INFINITY; // the first fault follows the first update
    let size = 0;
    let moved = performance.now();
    for (;;) {
      await sleep(pollMilliseconds);
      const now = performance.now();
      const metrics = this.#metricsSize();
      if (metrics !== size) {
        moved = now;
        if (metrics > size) {
          for (const { kind, at } of this.#pending.splice(0))
            this.#report.recoveries.push({ kind, milliseconds: now - at });
        }
        if (next === Number.POSITIVE_INFINITY) next = now;
        size = metrics;
      }
      if (now - moved > 180_000) throw new Error(`no update for three minutes: ${this.#status()}`);
      if (this.#coordinator.exitCode === exitCodes.complete) break;
      if (this.#coordinator.exitCode !== null || this.#coordinator.signalCode !== null) {
        this.#mayResume();
        this.#coordinator = this.#startCoordinator(true);
      }
      if (now > next && this.#pending.length < unanswered) {
        await this.#fault();
        next = performance.now() - Math.log(1 - draws.uniform()) * mtbf * 1000;
      }
    }
    this.#report.recomputed += this.#recomputed();
    this.#report.sha256 = lastCheckpoint(this.#output, steps);
    return this.#report;
  }

  /** Random kills can look like a poisonous shard, or like a worker that cannot start: then the user resumes, too. */
  #mayResume(): void {
    const { exitCode } = this.#coordinator;
    if (exitCode === null || exitCode === exitCodes.resumable) return;
    const [, code] = /\[([A-Z_]+)\]/.exec(this.#lastWords) ?? [];
    if (code !== 'POISON_SHARD' && code !== 'WORKER_FAILED') {
      throw new Error(`the coordinator ended with ${exitCode}: ${this.#lastWords}`);
    }
    this.#report.faults[code] = (this.#report.faults[code] ?? 0) + 1;
  }

  end(): void {
    for (const pid of this.#stopped) this.#wake(pid); // so that they notice that all is over
    for (const child of [this.#coordinator, ...this.#remote]) {
      child.kill('SIGCONT');
      child.kill('SIGKILL');
    }
  }

  async #fault(): Promise<void> {
    const { draws, redis, say, longestPause } = this.#options;
    const kinds = [
      'worker',
      'worker',
      'worker',
      'stop',
      'remote',
      'remote',
      'coordinator',
      'interrupt',
      'redis',
      'pause',
    ] as const;
    const kind = kinds[draws.integer(kinds.length)]!;
    const workers = this.#localWorkers();
    const worker = workers[draws.integer(Math.max(1, workers.length))];
    say(`${kind}${kind === 'worker' || kind === 'stop' ? ` ${worker ?? '(none)'}` : ''}`);
    switch (kind) {
      case 'worker':
        if (worker === undefined) return;
        process.kill(worker, 'SIGKILL');
        break;
      case 'stop': {
        if (worker === undefined) return;
        process.kill(worker, 'SIGSTOP');
        this.#stopped.add(worker);
        setTimeout(() => this.#wake(worker), draws.between(0.1, 0.75) * longestPause).unref();
        break;
      }
      case 'remote':
        await this.#changeRemote();
        return; // not a loss
      case 'coordinator':
        this.#coordinator.kill('SIGKILL');
        break;
      case 'interrupt':
        this.#coordinator.kill('SIGTERM');
        break;
      case 'redis':
        await redis.kill();
        await sleep(draws.between(0, 1_500));
        await redis.start();
        break;
      case 'pause':
        redis.pause();
        await sleep(draws.between(0.05, 1) * longestPause);
        redis.resume();
        break;
    }
    this.#happened(kind);
  }

  /** A worker from elsewhere comes, or one leaves without a word. */
  async #changeRemote(): Promise<void> {
    const { data, draws } = this.#options;
    this.#remote = this.#remote.filter((child) => child.exitCode === null && child.signalCode === null);
    if (this.#remote.length >= remoteWorkers || (this.#remote.length > 0 && draws.integer(2) === 0)) {
      this.#remote.pop()?.kill('SIGKILL');
      this.#happened('remote');
    } else {
      this.#remote.push(command('worker', ['start', '--data-path', data], this.#environment));
      this.#report.faults.join = (this.#report.faults.join ?? 0) + 1;
    }
  }

  /** Counted from its end where it takes time (Redis is away). */
  #happened(kind: string): void {
    this.#report.faults[kind] = (this.#report.faults[kind] ?? 0) + 1;
    this.#pending.push({ kind, at: performance.now() });
  }

  #startCoordinator(resume: boolean): ChildProcess {
    const { data, steps } = this.#options;
    const again = resume && existsSync(join(this.#output, 'config.json'));
    const argv = again
      ? ['start', '--resume', '--cpu-workers', '2', '-o', this.#output]
      : [
          'start',
          ...runOptions,
          '--cpu-workers',
          '2',
          '--max-steps',
          String(steps),
          '--data-path',
          data,
          '-o',
          this.#output,
        ];
    const child = command('coordinator', argv, this.#environment);
    this.#lastWords = '';
    child.stderr?.on('data', (text) => {
      this.#lastWords += text;
    });
    return child;
  }

  /** Process ids of the coordinator's local workers. */
  #localWorkers(): number[] {
    const { pid } = this.#coordinator;
    return processes()
      .filter(({ parent, args }) => parent === pid && args.includes('worker'))
      .map((child) => child.pid);
  }

  #wake(pid: number): void {
    this.#stopped.delete(pid);
    try {
      process.kill(pid, 'SIGCONT');
    } catch {
      // it is dead already
    }
  }

  #metricsSize(): number {
    try {
      return readFileSync(join(this.#output, 'metrics.jsonl')).length;
    } catch {
      return 0;
    }
  }

  #recomputed(): number {
    return readFileSync(join(this.#output, 'log.jsonl'), 'utf8')
      .split('\n')
      .filter((line) => line.includes('"recomputed"'))
      .reduce((sum, line) => sum + (JSON.parse(line) as { recomputed: number }).recomputed, 0);
  }

  #status(): string {
    try {
      return readFileSync(join(this.#output, 'log.jsonl'), 'utf8').trimEnd().split('\n').slice(-3).join(' ');
    } catch {
      return 'no log';
    }
  }
}

function command(name: 'coordinator' | 'worker', argv: string[], env: NodeJS.ProcessEnv): ChildProcess {
  const child = spawn(process.execPath, [join(packageRoot, 'dist', name, 'main.js'), ...argv], {
    env,
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  child.stderr.resume(); // whoever wants its last words listens, too
  return child;
}

function ended(child: ChildProcess): Promise<number | null> {
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('exit', (code) => resolve(code));
  });
}

function lastCheckpoint(folder: string, step: number): string {
  const file = join(folder, 'checkpoints', `step-${String(step).padStart(8, '0')}.safetensors`);
  return createHash('sha256').update(readFileSync(file)).digest('hex');
}
