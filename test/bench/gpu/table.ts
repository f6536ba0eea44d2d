/** What the parts of the benchmark on a card share: what is measured, and a table that is printed row by row. */
import { spawn } from 'node:child_process';
import { availableParallelism } from 'node:os';
import type { ModelName } from '../../../shared/models/model.ts';
import { packageRoot } from '../../../shared/package-root.ts';
import { workerEnvironment } from '../../../shared/worker-environment.ts';

export interface Target {
  /** `cuda:0`, or `cpu` where there is no card. */
  readonly device: string;
  /** CPU threads of one worker. */
  readonly threads: number;
  readonly models: readonly ModelName[];
  /** Images per step; halved where they do not fit. */
  readonly batch: number;
  readonly steps: number;
  /** Side of the pictures of small runs, and how many steps these have. */
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

/** The last line that a program printed, parsed; or its last words, when it failed or took longer than `limit` seconds. */
export async function lastJson<T>(
  program: string,
  args: readonly string[],
  limit: number,
  env: NodeJS.ProcessEnv = process.env,
): Promise<T | { failed: string }> {
  const child = spawn(program, args, { cwd: packageRoot, env, stdio: ['ignore', 'pipe', 'pipe'] });
  const output = { stdout: '', stderr: '' };
  child.stdout.on('data', (text) => {
    output.stdout += text;
  });
  child.stderr.on('data', (text) => {
    output.stderr += text;
  });
  const timer = setTimeout(() => child.kill('SIGKILL'), limit * 1000);
  const how = await new Promise<string | null>((resolve) => {
    child.on('error', (error) => resolve(error.message));
    child.on('close', (code, signal) => resolve(code === 0 ? null : `${signal ?? `exit code ${code}`}`));
  });
  clearTimeout(timer);
  if (how === null) return JSON.parse(output.stdout.trimEnd().split('\n').at(-1)!) as T;
  process.stderr.write(`${program} ${args.join(' ')}: ${how}\n${output.stderr.slice(-4000)}\n`);
  const words = output.stderr.split('\n').filter((line) => /error|memory/i.test(line));
  return { failed: `${how}: ${(words.at(-1) ?? '').trim().slice(0, 160)}` };
}

/** The environment of a worker process. */
export function workersEnvironment(threads: number): NodeJS.ProcessEnv {
  const cores = availableParallelism();
  return workerEnvironment(process.env, { threads, workers: 1, cores, decodeThreads: cores });
}

export const bench = (name: string): string => `dist/test/bench/${name}`;

export const fixed = (value: number, digits = 0): string => value.toFixed(digits);
