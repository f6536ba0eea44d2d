import { type ChildProcess, spawn } from 'node:child_process';
import { join } from 'node:path';
import { type ErrorCode, errorCodes } from '../../shared/errors.ts';
import { packageRoot } from '../../shared/process/package-root.ts';

/** Characters of standard error that are kept. */
const longestWords = 65_536;

/** A coordinator, or a worker from elsewhere, as a process. */
export class Program {
  readonly pid: number;
  /** It has ended, and all that it wrote was read. */
  readonly closed: Promise<void>;
  readonly #child: ChildProcess;
  #stderr = '';

  constructor(name: 'coordinator' | 'worker', argv: readonly string[], env: NodeJS.ProcessEnv) {
    const child = spawn(process.execPath, [join(packageRoot, 'dist', name, 'main.js'), ...argv], {
      env,
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    child.stderr.on('data', (text) => {
      this.#stderr = (this.#stderr + text).slice(-longestWords);
    });
    // A worker's own children may keep its standard error open for as long as they stand still.
    this.closed = new Promise((resolve) => {
      child.on('close', () => resolve());
      child.on('exit', () => setTimeout(resolve, 1_000));
    });
    this.#child = child;
    this.pid = child.pid!;
  }

  get running(): boolean {
    return this.#child.exitCode === null && this.#child.signalCode === null;
  }

  get exitCode(): number | null {
    return this.#child.exitCode;
  }

  get signal(): NodeJS.Signals | null {
    return this.#child.signalCode;
  }

  get stderr(): string {
    return this.#stderr;
  }

  /** The last code that it has named. */
  get code(): ErrorCode | null {
    const named = [...this.#stderr.matchAll(/\[([A-Z_]+)\]/g)].map(([, code]) => code as ErrorCode);
    return named.findLast((code) => errorCodes.includes(code)) ?? null;
  }

  /** `ended with 1 (DISK_FULL)`, `was killed by SIGKILL`. */
  get how(): string {
    if (this.signal !== null) return `was killed by ${this.signal}`;
    return `ended with ${this.exitCode}${this.code === null ? '' : ` (${this.code})`}`;
  }
}
