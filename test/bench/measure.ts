/** What all benchmarks share: child processes that print one line of JSON, medians, and the rows of the table. */
import { spawn } from 'node:child_process';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { packageRoot } from '../../shared/process/package-root.ts';
import { workerEnvironment } from '../../shared/process/worker-environment.ts';

/** One line of the table. */
export interface Row {
  what: string;
  ours: string;
  peer: string;
  /** Ours over the peer's, or null where there is nothing to compare with. */
  ratio: number | null;
}

export const threads = availableParallelism();

/** Runs a program to its end and returns the lines that it printed, each parsed. */
export async function allLines<T>(program: string, args: readonly string[], env = process.env): Promise<T[]> {
  const lines = await printedLines(program, args, env);
  return lines.map((line) => JSON.parse(line) as T);
}

/** Runs a program to its end and returns the last line that it printed, parsed. */
export async function lastLine<T>(program: string, args: readonly string[], env = process.env): Promise<T> {
  const lines = await printedLines(program, args, env);
  return JSON.parse(lines.at(-1)!) as T;
}

/** Runs a program to its end and returns the lines that it printed. */
export async function printedLines(
  program: string,
  args: readonly string[],
  env: NodeJS.ProcessEnv,
): Promise<string[]> {
  const child = spawn(program, args, { cwd: packageRoot, env, stdio: ['ignore', 'pipe', 'inherit'] });
  let text = '';
  child.stdout.on('data', (chunk) => {
    text += chunk;
  });
  const code = await new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', resolve);
  });
  if (code !== 0) throw new Error(`${program} ${args.join(' ')} ended with ${code}`);
  return text.trimEnd().split('\n');
}

/** The environment that a worker has: with its settings of malloc, which a tuned peer gets, too. */
export function workersEnvironment(): NodeJS.ProcessEnv {
  return workerEnvironment(process.env, { threads, workers: 1, cores: threads, decodeThreads: 1 });
}

/** A compiled script of this folder, in the environment that a worker has. */
export function script<T>(name: string, args: readonly (string | number)[]): Promise<T> {
  const argv = [join('dist', 'test', 'bench', name), ...args.map(String)];
  return lastLine(process.execPath, argv, workersEnvironment());
}

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

/** Median of the ratios, pair by pair: the machine's speed drifts, and a pair has the same speed. */
export function ratioOfPairs(ours: readonly number[], peer: readonly number[]): number {
  return median(ours.map((value, i) => value / peer[i]!));
}

export function rate(value: number): string {
  return `${value.toFixed(value < 10 ? 2 : 1)} images/s`;
}
