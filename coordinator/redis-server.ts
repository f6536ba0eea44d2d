/** The private redis-server of a run without `--redis`: a unix socket in a folder of its own, nothing on disk. */
import assert from 'node:assert';
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { rmSync } from 'node:fs';
import { mkdtemp, open, readFile, rm, rmdir } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';
import { isMainThread } from 'node:worker_threads';
import type { Redis } from 'ioredis';
import { redisServerPoll, timeouts } from '../shared/defaults.ts';
import { CornetError } from '../shared/errors.ts';
import { connectRedis } from '../shared/redis.ts';
import { fileError, systemCode } from './durable-file.ts';

const folderPrefix = 'cornet-redis-';
const socketName = 'redis.sock';
const logName = 'redis.log';
/** sun_path of unix(7) has 108 bytes, one of them for the final zero. */
const longestSocketPath = 107;

/**
 * A redis-server that dies with this process: `stop()` ends it, and so does the death of the main thread where
 * util-linux's setpriv can arrange that. It does not share the terminal, so that Ctrl-C reaches only the coordinator.
 */
export class PrivateRedis {
  readonly socket: string;
  /** Resolves when the server has ended, on purpose or not, with a sentence about how. */
  readonly exited: Promise<string>;
  readonly #child: ChildProcess;

  private constructor(server: Server, socket: string) {
    this.#child = server.child;
    this.exited = server.exited;
    this.socket = socket;
  }

  get url(): string {
    return `unix://${this.socket}`;
  }

  /**
   * Starts the server and waits until it answers.
   * @param folder under which its own folder is made; the system's temporary folder, because a run folder may be on
   * NFS and its path may be too long for a socket
   * @throws CornetError REDIS_SERVER_FAILED
   */
  static async start(folder: string = tmpdir()): Promise<PrivateRedis> {
    // The parent-death signal is tied to the thread that forks, and only the main thread lives as long as the process.
    assert(isMainThread);
    const home = await makeHome(folder);
    const socket = join(home, socketName);
    const redis = new PrivateRedis(await spawnServer(home, socket), socket);
    try {
      await redis.#untilReady();
      return redis;
    } catch (error) {
      redis.#child.kill('SIGKILL');
      const log = await readFile(join(home, logName), 'utf8');
      await removeHome(socket);
      const said = log.trim().split('\n').slice(-5).join('\n');
      throw new CornetError(
        'REDIS_SERVER_FAILED',
        `redis-server did not start: ${messageOf(error)}\n${said}`,
        {
          cause: error,
        },
      );
    }
  }

  /** Ends the server (forcibly after `timeouts.stop`) and removes its folder. */
  async stop(): Promise<void> {
    this.#child.kill('SIGTERM');
    const forced = setTimeout(() => this.#child.kill('SIGKILL'), timeouts.stop);
    await this.exited;
    clearTimeout(forced);
    await removeHome(this.socket);
  }

  /** Ends the server at once, for a process that is about to exit. */
  kill(): void {
    this.#child.kill('SIGKILL');
    rmSync(dirname(this.socket), { recursive: true, force: true });
  }

  async #untilReady(): Promise<void> {
    const deadline = AbortSignal.timeout(timeouts.redisConnect);
    const ended = this.exited.then((how) => {
      throw new Error(how);
    });
    ended.catch(() => {}); // reported through the race below; later ends are the caller's to notice
    for (;;) {
      try {
        const connection = await Promise.race([connect(this.socket), ended]);
        connection.disconnect();
        return;
      } catch (error) {
        if (this.#child.exitCode !== null || this.#child.signalCode !== null) await ended;
        if (deadline.aborted) throw error;
        await delay(redisServerPoll);
      }
    }
  }
}

/**
 * Shuts down a private server that a killed coordinator left behind, and removes its folder; does nothing when it is
 * gone already.
 * @param socket as `PrivateRedis.socket` was remembered
 */
export async function shutDownLeftover(socket: string): Promise<void> {
  const ours = basename(socket) === socketName && basename(dirname(socket)).startsWith(folderPrefix);
  if (!ours) {
    throw new CornetError('RUN_DAMAGED', `${socket} is not the socket of a private redis-server.`);
  }
  let connection: Redis | null = null;
  try {
    connection = await connect(socket);
  } catch (error) {
    if (!(error instanceof CornetError) || error.code !== 'REDIS_UNREACHABLE') throw error;
  }
  if (connection !== null) {
    const closed = once(connection, 'close', { signal: AbortSignal.timeout(timeouts.stop) });
    // The server closes the connection instead of answering.
    connection.shutdown('NOSAVE').catch(() => {});
    await closed;
    connection.disconnect();
  }
  await removeHome(socket);
}

function connect(socket: string): Promise<Redis> {
  return connectRedis(`unix://${socket}`, { name: 'cornet-control', bytesNeeded: 0 });
}

/** A new folder that only this user can enter (mkdtemp: mode 0700). */
async function makeHome(folder: string): Promise<string> {
  let home: string;
  try {
    home = await mkdtemp(join(folder, folderPrefix));
  } catch (error) {
    throw fileError(error, `make a folder in ${folder}`);
  }
  const length = Buffer.byteLength(join(home, socketName));
  if (length > longestSocketPath) {
    await rmdir(home);
    throw new CornetError(
      'REDIS_SERVER_FAILED',
      `The path of the temporary folder ${folder} is too long: a socket in it would have ${length} bytes, and ${longestSocketPath} are possible.`,
      { hint: 'Set TMPDIR to a folder with a shorter path.' },
    );
  }
  return home;
}

interface Server {
  readonly child: ChildProcess;
  readonly exited: Promise<string>;
}

async function spawnServer(home: string, socket: string): Promise<Server> {
  const server = ['redis-server', '--port', '0', '--unixsocket', socket, '--unixsocketperm', '700'];
  server.push('--dir', home, '--save', '', '--appendonly', 'no', '--daemonize', 'no');
  if (!(await runs('redis-server', ['--version']))) {
    await rmdir(home);
    throw new CornetError('REDIS_SERVER_FAILED', 'There is no redis-server program on this machine.');
  }
  const guard = ['setpriv', '--pdeathsig', 'TERM'];
  const guarded = await runs('setpriv', [...guard.slice(1), 'true']);
  const [program, ...args] = guarded ? [...guard, ...server] : server;
  // stderr as well: what fails before redis-server opens its log must be readable, too.
  const log = await open(join(home, logName), 'a', 0o600);
  try {
    const child = spawn(program!, args, { detached: true, stdio: ['ignore', log.fd, log.fd] });
    // Listened for at once: a server that cannot start may end before the next line.
    const exited = new Promise<string>((resolve) => {
      child.once('exit', (code, signal) => {
        resolve(signal === null ? `it exited with code ${code}` : `it was ended by ${signal}`);
      });
    });
    await once(child, 'spawn');
    child.unref();
    return { child, exited };
  } finally {
    await log.close();
  }
}

/** Whether a program can be run with these arguments here (busybox's setpriv, say, lacks an option). */
async function runs(program: string, args: readonly string[]): Promise<boolean> {
  try {
    await promisify(execFile)(program, args, { timeout: timeouts.redisConnect });
    return true;
  } catch (error) {
    if (error instanceof Error && 'code' in error) return false;
    throw error;
  }
}

async function removeHome(socket: string): Promise<void> {
  const home = dirname(socket);
  await rm(socket, { force: true });
  await rm(join(home, logName), { force: true });
  try {
    await rmdir(home);
  } catch (error) {
    if (systemCode(error) !== 'ENOENT') throw error;
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
