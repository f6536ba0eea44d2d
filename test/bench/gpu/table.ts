/** What the parts of the benchmark on a GPU share: what is measured, and tables that are printed row by row. */
import { spawn } from 'node:child_process';
import { availableParallelism } from 'node:os';
import { createInterface } from 'node:readline';
import { packageRoot } from '../../../shared/process/package-root.ts';
import { workerEnvironment } from '../../../shared/process/worker-environment.ts';
import type { Precision } from '../../../shared/run-config.ts';

export interface Target {
  /** `cuda:0`, or `cpu` for a rehearsal. */
  readonly device: string;
  /** CPU threads of one worker. */
  readonly threads: number;
  /** What `bf16` stands for: a CPU without instructions for it takes minutes for what a GPU does in milliseconds. */
  readonly precision: Precision;
  /** Images per step. */
  readonly batch: number;
  /** Measured steps. */
  readonly steps: number;
  /** Of runs whose bytes are compared: side of the images, images per step, steps. */
  readonly small: { readonly size: number; readonly batch: number; readonly steps: number };
  /** A Python with torch. */
  readonly python: string;
}

/** Rows stand on standard output as soon as they are known: what comes later may fail, or be cut off. */
export class Table {
  constructor(title: string, head: readonly string[]) {
    console.log(`\n### ${title}\n`);
    this.row(head);
    this.row(head.map(() => '---'));
  }

  row(cells: readonly string[]): void {
    console.log(`| ${cells.join(' | ')} |`);
  }
}

export const onGpu = ({ device }: Pick<Target, 'device'>): boolean => device !== 'cpu';

/**
 * Runs a program and hands over each line that it prints, as it comes.
 * @param limit seconds, after which it is ended
 * @returns why it failed, in its own last words; null: it did not
 */
export async function eachLine(
  program: string,
  args: readonly string[],
  limit: number,
  onLine: (line: string) => void,
  env: NodeJS.ProcessEnv = process.env,
): Promise<string | null> {
  const child = spawn(program, args, { cwd: packageRoot, env, stdio: ['ignore', 'pipe', 'pipe'] });
  let errors = '';
  child.stderr.on('data', (text) => {
    errors += text;
  });
  createInterface({ input: child.stdout }).on('line', onLine);
  const timer = setTimeout(() => child.kill('SIGKILL'), limit * 1000);
  const how = await new Promise<string | null>((resolve) => {
    child.on('error', (error) => resolve(error.message));
    child.on('close', (code, signal) => resolve(code === 0 ? null : `${signal ?? `exit code ${code}`}`));
  });
  clearTimeout(timer);
  if (how === null) return null;
  process.stderr.write(`${program} ${args.join(' ')}: ${how}\n${errors.slice(-4000)}\n`);
  const words = errors.split('\n').filter((line) => /error|memory|terminate/i.test(line));
  return `${how}: ${(words.at(-1) ?? '').trim().slice(0, 200)}`;
}

/** Another part of this benchmark, in a process with a worker's environment. */
export function eachLineOfScript(
  name: string,
  args: readonly (string | number)[],
  { threads, limit, variables = {} }: { threads: number; limit: number; variables?: NodeJS.ProcessEnv },
  onLine: (line: string) => void,
): Promise<string | null> {
  const cores = availableParallelism();
  const env = workerEnvironment(process.env, { threads, workers: 1, cores, decodeThreads: cores });
  const script = `dist/test/bench/${name}`;
  return eachLine(process.execPath, [script, ...args.map(String)], limit, onLine, { ...env, ...variables });
}

/** The lines that are JSON, among what libraries print. */
export function parsed<T>(use: (value: T) => void): (line: string) => void {
  return (line) => {
    if (line.startsWith('{')) use(JSON.parse(line) as T);
  };
}

export const fixed = (value: number, digits = 0): string => value.toFixed(digits);
