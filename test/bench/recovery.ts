/** `npm run bench -- recovery`: what the death of a worker costs a run, killed in the middle of a shard, again and again. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { makeDemoDataset } from '../../coordinator/demo/make-dataset.ts';
import type { RunNews } from '../../coordinator/watch/news.ts';
import { timeouts } from '../../shared/defaults.ts';
import { imageNetClasses } from '../../shared/models/family.ts';
import { packageRoot } from '../../shared/process/package-root.ts';
import { processes } from '../helpers/processes.ts';
import { TestRedis } from '../helpers/redis.ts';
import { median } from './measure.ts';

const deaths = 10;
/** A worker is killed in this part of a step: the rest is exchange. */
const computing = 0.8;
/** Steps in a row by both workers that are measured before each death. */
const calm = 5;
/** What a death may cost besides a shard and, where nobody sees the process end, the silence. Milliseconds. */
const allowance = 2_000;

/** Milliseconds. */
interface Death {
  /** A step by both workers, just before. */
  undisturbed: number;
  /** The step in which the worker died. */
  disturbed: number;
  /** From the death to the end of that step. */
  untilUpdate: number;
  /** From the death until both lanes have a worker each again. */
  untilWhole: number;
}

export async function benchRecovery(): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'cornet-bench-'));
  const teardowns: (() => unknown)[] = [];
  const owner = { teardown: (undo: () => unknown) => void teardowns.push(undo) };
  try {
    const data = join(folder, 'images');
    await makeDemoDataset(data, { seed: 1, trainPerClass: 40, valPerClass: 4 });
    const redis = await TestRedis.start(owner);
    console.log(
      '| killed | undisturbed step | death to next update | overhead per failure | allowed | time to full capacity |',
    );
    console.log('|---|---|---|---|---|---|');
    for (const remote of [false, true]) {
      const run = new WatchedRun({ data, output: join(folder, `run-${remote}`), redis: redis.url, remote });
      teardowns.push(() => run.end());
      const found: Death[] = [];
      for (let i = 0; i < deaths; i++) found.push(await run.death((computing * (i + 0.5)) / deaths));
      await run.end();
      console.log(row(remote, found));
    }
  } finally {
    for (const undo of teardowns.reverse()) await undo();
    await rm(folder, { recursive: true, force: true });
  }
}

function row(remote: boolean, found: Death[]): string {
  const undisturbed = median(found.map((death) => death.undisturbed));
  const more = found.map((death) => death.disturbed - death.undisturbed);
  // With two workers and two lanes an undisturbed step is one shard and its exchange.
  const silence = remote ? timeouts.member + timeouts.beat : 0;
  const cells = [
    remote ? `a remote worker, ${found.length} times` : `a local worker, ${found.length} times`,
    seconds(undisturbed),
    both(found.map((death) => death.untilUpdate)),
    both(more),
    seconds(allowance + undisturbed + silence),
    both(found.map((death) => death.untilWhole)),
  ];
  return `| ${cells.join(' | ')} |`;
}

function both(values: readonly number[]): string {
  return `${seconds(median(values))}, at most ${seconds(Math.max(...values))}`;
}

function seconds(milliseconds: number): string {
  return `${(milliseconds / 1000).toFixed(2)} s`;
}

interface RunPlace {
  data: string;
  output: string;
  redis: string;
  /** One of the two workers is started by hand; that one is killed. */
  remote: boolean;
}

/** CORnet-Z on two lanes and two workers of one thread each, followed through its `--json`. */
class WatchedRun {
  readonly #place: RunPlace;
  readonly #env: NodeJS.ProcessEnv;
  readonly #coordinator: ChildProcess;
  readonly #news: AsyncIterator<string>;
  #guest: ChildProcess | null = null;
  /** When the last step ended, and the durations of the last steps in a row by both workers. */
  #ended = 0;
  #durations: number[] = [];

  constructor(place: RunPlace) {
    this.#place = place;
    this.#env = { ...process.env, CORNET_REDIS_URL: place.redis };
    const options = {
      model: 'Z',
      head: imageNetClasses,
      'data-path': place.data,
      'output-path': place.output,
      'batch-size': 16,
      lanes: 2,
      threads: 1,
      'cpu-workers': place.remote ? 1 : 2,
      epochs: 1000,
      'save-val-epochs': 1000,
    };
    const args = Object.entries(options).flatMap(([name, value]) => [`--${name}`, String(value)]);
    this.#coordinator = this.#spawn('coordinator', ['start', '--json', ...args], 'pipe');
    this.#news = createInterface({ input: this.#coordinator.stdout! })[Symbol.asyncIterator]();
    if (place.remote) this.#invite();
  }

  /** @param when the part of a step that is over when the worker is killed */
  async death(when: number): Promise<Death> {
    while (this.#durations.length < calm) await this.#next();
    const undisturbed = median(this.#durations);
    const began = this.#ended;
    await sleep(began + when * undisturbed - Date.now());
    const parent = this.#place.remote ? this.#guest! : this.#coordinator;
    const workers = processes().filter(
      (child) => child.parent === parent.pid && child.args.includes('worker'),
    );
    process.kill(workers[Math.floor(when * workers.length)]!.pid, 'SIGKILL');
    const died = Date.now();
    while (this.#ended <= died) await this.#next();
    const end = this.#ended;
    if (this.#place.remote) this.#invite();
    this.#durations = [];
    while (this.#durations.length === 0) await this.#next();
    return {
      undisturbed,
      disturbed: end - began,
      untilUpdate: end - died,
      untilWhole: this.#ended - died,
    };
  }

  async end(): Promise<void> {
    if (this.#coordinator.exitCode !== null || this.#coordinator.signalCode !== null) return;
    const over = once(this.#coordinator, 'exit');
    this.#coordinator.kill('SIGTERM');
    await over;
  }

  /** Another worker by hand, in the place of the one that was killed. */
  #invite(): void {
    this.#guest = this.#spawn('worker', ['start', '--wait', '60'], 'ignore');
  }

  #spawn(command: string, argv: string[], stdout: 'pipe' | 'ignore'): ChildProcess {
    const program = [join(packageRoot, 'dist', command, 'main.js'), ...argv];
    return spawn(process.execPath, program, { env: this.#env, stdio: ['ignore', stdout, 'inherit'] });
  }

  async #next(): Promise<void> {
    const { value, done } = await this.#news.next();
    if (done === true) throw new Error('The run has ended.');
    const news = JSON.parse(value) as RunNews;
    if (news.type !== 'step') return;
    const at = Date.parse(news.at);
    const whole = news.members === 2;
    this.#durations = whole && this.#ended > 0 ? [...this.#durations, at - this.#ended].slice(-calm) : [];
    this.#ended = at;
  }
}
