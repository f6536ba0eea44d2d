/** Real runs: the compiled commands as processes, watched through what they print and write. */
import { type ChildProcess, spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { ExecutionContext } from 'ava';
import { makeDemoDataset } from '../../coordinator/demo/make-dataset.ts';
import { temporaryFolder } from './temporary.ts';

/** Milliseconds between two looks, and after which a fact that has not come true fails its test. */
const look = 20;
const patience = 120_000;

/** 60 training and 20 validation JPEGs of ten classes, in a new folder. */
export async function tinyImages(folder: string): Promise<string> {
  const images = join(folder, 'images');
  await makeDemoDataset(images, { seed: 3, trainPerClass: 6, valPerClass: 2 });
  return images;
}

/** Two epochs of eight small steps over two lanes. */
export function tinyRun(images: string): string[] {
  const shape = ['--model', 'Z', '--image-size', '32', '--batch-size', '8', '--lanes', '2', '--threads', '1'];
  return ['start', ...shape, '--epochs', '2', '--save-val-epochs', '1', '--data-path', images];
}
export const tinySteps = 16;

/**
 * In a run's environment: its coordinator pauses (`Command.paused`) as this step is done, so that a test acts in mid-run.
 * @param step the first is 1
 */
export function pausedAt(step: number | '*'): NodeJS.ProcessEnv {
  return { CORNET_FAULT: `committed@${step === '*' ? step : step - 1}=pause` };
}

/** Waits until something is true. */
export async function until(what: string, holds: () => boolean | Promise<boolean>): Promise<void> {
  for (const deadline = performance.now() + patience; !(await holds()); await sleep(look)) {
    if (performance.now() > deadline) throw new Error(`It never came true that ${what}.`);
  }
}

/** The commands, as Node is given them. */
export const scripts = {
  cornet: join('dist', 'coordinator', 'cornet.js'),
  coordinator: join('dist', 'coordinator', 'main.js'),
  worker: join('dist', 'worker', 'main.js'),
} as const;
type CommandName = keyof typeof scripts;

/** Every process that a test has started, whoever started it: all carry the same mark in their environment. */
export class Stage {
  /** The processes' temporary folder: whatever they leave behind lies here. */
  readonly temporary: string;
  readonly folder: string;
  readonly #mark = randomUUID();

  constructor(t: ExecutionContext) {
    this.folder = temporaryFolder(t);
    this.temporary = join(this.folder, 'tmp');
    mkdirSync(this.temporary);
    t.teardown(() => this.kill());
  }

  /**
   * Starts a command with these arguments.
   * @param enter what to put before the command (`TestHost.enter`)
   */
  start(
    command: CommandName,
    argv: readonly string[],
    env: NodeJS.ProcessEnv = {},
    enter: readonly string[] = [],
  ): Command {
    const marked = this.environment(env);
    const stdio = ['ignore', 'pipe', 'pipe'] as const; // no terminal, wherever the tests run
    const [program, ...rest] = [...enter, process.execPath, resolve(scripts[command]), ...argv];
    return new Command(spawn(program!, rest, { env: marked, stdio: [...stdio] }));
  }

  /** What marks a process as one of this stage. */
  environment(env: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
    return {
      ...process.env,
      TMPDIR: this.temporary,
      XDG_CACHE_HOME: join(this.folder, 'cache'),
      CORNET_TEST_STAGE: this.#mark,
      ...env,
    };
  }

  /** The same on a terminal of its own, this many columns wide (util-linux's `script`); all it writes is `stdout`. */
  onTerminal(
    command: CommandName,
    argv: readonly string[],
    columns: number,
    env: NodeJS.ProcessEnv = {},
  ): Command {
    const line = [process.execPath, scripts[command], ...argv].map((word) => `'${word}'`);
    const script = `stty cols ${columns} rows 24; exec ${line.join(' ')}`;
    const marked = this.environment(env);
    const arguments_ = ['--quiet', '--return', '--flush', '--command', script, '/dev/null'];
    return new Command(spawn('script', arguments_, { env: marked, stdio: ['ignore', 'pipe', 'pipe'] }));
  }

  /** Process ids, of all or of those whose command line contains `part`. */
  processes(part = ''): number[] {
    const pids = readdirSync('/proc').filter((name) => /^\d+$/.test(name));
    const found = pids.filter((pid) => {
      const line = read(`/proc/${pid}/cmdline`).replaceAll('\0', ' ');
      // redis-server writes its title over its environment, but its title names its socket.
      const ours = read(`/proc/${pid}/environ`).includes(this.#mark) || line.includes(this.temporary);
      return ours && line.includes(part);
    });
    return found.map(Number);
  }

  kill(part = ''): void {
    for (const pid of this.processes(part)) process.kill(pid, 'SIGKILL');
  }

  async empty(): Promise<void> {
    await until('every process has ended', () => this.processes().length === 0);
  }
}

/** Has it been stopped by SIGSTOP, with all its threads? */
export function isPaused(pid: number): boolean {
  const threads = existsSync(`/proc/${pid}/task`) ? readdirSync(`/proc/${pid}/task`) : [];
  const states = threads.map((thread) => read(`/proc/${pid}/task/${thread}/status`));
  return states.length > 0 && states.every((state) => /^State:\s*T/m.test(state));
}

/** A file of /proc; empty when the process is gone. */
function read(path: string): string {
  try {
    return readFileSync(path, 'latin1');
  } catch {
    return '';
  }
}

export class Command {
  readonly child: ChildProcess;
  /** The exit code, or the signal that ended it. */
  readonly ended: Promise<number | NodeJS.Signals>;
  #stdout = '';
  #stderr = '';
  #running = true;

  constructor(child: ChildProcess) {
    this.child = child;
    child.stdout?.on('data', (text) => {
      this.#stdout += text;
    });
    child.stderr?.on('data', (text) => {
      this.#stderr += text;
    });
    this.ended = new Promise((resolve) => {
      child.on('close', (code, signal) => {
        this.#running = false;
        resolve(code ?? signal!);
      });
    });
  }

  get stdout(): string {
    return this.#stdout;
  }

  get stderr(): string {
    return this.#stderr;
  }

  signal(signal: NodeJS.Signals): void {
    this.child.kill(signal);
  }

  /** Waits until the command stands still, by a fault point or a signal. */
  paused(): Promise<void> {
    return this.until('it stood still', () => isPaused(this.child.pid!));
  }

  resume(): void {
    this.child.kill('SIGCONT');
  }

  /** Waits for a fact while the command runs. */
  async until(what: string, holds: () => boolean | Promise<boolean>): Promise<void> {
    await until(what, async () => {
      if (await holds()) return true;
      if (!this.#running) throw new Error(`It ended before ${what}:\n${this.#stdout}${this.#stderr}`);
      return false;
    });
  }

  /** Waits until the run's metrics say that `steps` updates were done. */
  untilStep(folder: string, steps: number): Promise<void> {
    return this.until(`step ${steps} was done`, () => trainedSteps(folder).includes(steps));
  }
}

/** How often something stands in a text; the expression is a global one. */
export function timesOf(text: string, what: RegExp): number {
  return text.match(what)?.length ?? 0;
}

/** The whole lines of metrics.jsonl. */
export function metricsOf(folder: string): Record<string, number>[] {
  const lines = read(join(folder, 'metrics.jsonl')).split('\n').slice(0, -1);
  return lines.map((line) => JSON.parse(line) as Record<string, number>);
}

/** Numbers of updates done, one per training line of metrics.jsonl. */
export function trainedSteps(folder: string): number[] {
  return metricsOf(folder)
    .filter((line) => 'train/loss' in line)
    .map(({ step }) => step!);
}

export function checkpoint(folder: string, step: number): Buffer {
  return readFileSync(join(folder, 'checkpoints', `step-${String(step).padStart(8, '0')}.safetensors`));
}
