import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { ExecutionContext } from 'ava';
import { temporaryFolder } from './temporary.ts';

/** A real redis-server on a unix socket, with any configuration; it can be killed and started again. */
export class TestRedis {
  readonly socket: string;
  readonly #options: readonly string[];
  readonly #enter: readonly string[];
  #child: ChildProcess | null = null;

  private constructor(socket: string, options: readonly string[], enter: readonly string[]) {
    this.socket = socket;
    this.#options = options;
    this.#enter = enter;
  }

  /**
   * @param options as on redis-server's command line, e.g. `['--requirepass', 'secret']`
   * @param enter what to put before the command (`TestHost.enter`)
   */
  static async start(
    t: Pick<ExecutionContext, 'teardown'>,
    options: readonly string[] = [],
    enter: readonly string[] = [],
  ): Promise<TestRedis> {
    const redis = new TestRedis(join(temporaryFolder(t), 's'), options, enter);
    await redis.start();
    t.teardown(() => redis.kill());
    return redis;
  }

  get url(): string {
    return `unix://${this.socket}`;
  }

  async start(): Promise<void> {
    const fixed = ['--port', '0', '--unixsocket', this.socket, '--save', '', '--appendonly', 'no'];
    const [program, ...argv] = [...this.#enter, 'redis-server', ...fixed, ...this.#options];
    const child = spawn(program!, argv, {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    this.#child = child;
    for await (const line of createInterface({ input: child.stdout })) {
      if (line.includes('ready to accept connections') || line.includes('Ready to accept connections')) {
        child.stdout.resume();
        return;
      }
    }
    throw new Error('redis-server ended before it was ready');
  }

  /** It hears and says nothing until `resume`. */
  pause(): void {
    this.#child?.kill('SIGSTOP');
  }

  resume(): void {
    this.#child?.kill('SIGCONT');
  }

  async kill(): Promise<void> {
    const child = this.#child;
    if (child === null) return;
    this.#child = null;
    if (child.exitCode !== null || child.signalCode !== null) return;
    child.kill('SIGKILL');
    await once(child, 'exit');
  }
}
