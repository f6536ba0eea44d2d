/** The private redis-server of a run without `--redis`: a unix socket in a folder of its own, nothing on disk. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { rmSync } from 'node:fs';
import { open, readFile, rm, rmdir } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, dirname, join, resolve } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { isMainThread } from 'node:worker_threads';
import type { Redis } from 'ioredis';
import { redisServer, socketFolder, timeouts } from '../../shared/defaults.ts';
import { CornetError } from '../../shared/errors.ts';
import { runProgram } from '../../shared/process/run-program.ts';
import { connectRedis, socketUrl } from '../../shared/redis/redis.ts';
import { atExit } from '../../shared/util/at-exit.ts';
import { quoteName } from '../../shared/util/printable.ts';
import {
  keepSocketYoung,
  makeSocketFolder,
  remakeSocketFolder,
  SocketPathTooLong,
} from '../../shared/wire/socket-folder.ts';
import { fileError, systemCode } from '../disk/durable-file.ts';

const folderPrefix = 'cornet-redis-';
const socketName = 'redis.sock';
const logName = 'redis.log';

/**
 * A redis-server that dies with this process: `stop()` ends it, and so does the death of the main thread where
 * util-linux's setpriv can arrange that. It does not share the terminal, so that Ctrl-C reaches only the coordinator.
 * When it dies by itself it is started again, empty, with back-off.
 */
export class PrivateRedis {
  readonly socket: string;
  /** Resolves when it has died so often in a row that it is given up (REDIS_SERVER_FAILED). */
  readonly failed: Promise<CornetError>;
  #server: Server;
  readonly #command: string[];
  #say: (sentence: string) => void = () => undefined;
  readonly #stopping = new AbortController();
  readonly #guarding: Promise<CornetError | null>;
  readonly #care: NodeJS.Timeout;
  /** The last one whose socket was seen. */
  #listening: ChildProcess;
  readonly #outlived: () => void;

  private constructor(server: Server, command: string[], socket: string, care: number) {
    this.#server = server;
    this.#command = command;
    this.socket = socket;
    this.#listening = server.child;
    this.#guarding = this.#guard();
    this.#care = setInterval(() => void this.#lookAfterFolder(), care).unref();
    this.#outlived = atExit(() => this.kill());
    this.failed = new Promise((resolve, reject) => {
      this.#guarding.then((error) => error !== null && resolve(error), reject);
    });
  }

  get url(): string {
    return socketUrl(this.socket);
  }

  /**
   * Starts the server and waits until it answers.
   * @param care milliseconds between two looks at its folder
   * @param folder under which its own folder is made; the system's temporary folder, because a run folder may be on
   * NFS and its path may be too long for a socket
   * @throws CornetError REDIS_SERVER_FAILED
   */
  static async start(folder: string = tmpdir(), care: number = socketFolder.care): Promise<PrivateRedis> {
    // The parent-death signal is tied to the thread that forks, and only the main thread lives as long as the process.
    if (!isMainThread) {
      throw new CornetError('REDIS_SERVER_FAILED', 'A worker thread cannot start a private redis-server.', {
        hint: 'Start the run from the main thread, or give it the URL of a running Redis.',
      });
    }
    const home = await makeHome(folder);
    const socket = join(home, socketName);
    const command = await serverCommand(home, socket);
    if (command === null) {
      await rmdir(home);
      throw new CornetError('REDIS_SERVER_FAILED', 'There is no redis-server program on this machine.');
    }
    const server = await spawnServer(command, home);
    try {
      await untilReady(server, socket);
    } catch (error) {
      server.child.kill('SIGKILL');
      const log = await readFile(join(home, logName), 'utf8');
      await removeHome(socket);
      const said = log.trim().split('\n').slice(-5).join('\n');
      const message = `redis-server did not start: ${messageOf(error)}\n${said}`;
      throw new CornetError('REDIS_SERVER_FAILED', message, { cause: error });
    }
    return new PrivateRedis(server, command, socket, care);
  }

  /** From now on `say` is told of every death. */
  reportTo(say: (sentence: string) => void): void {
    this.#say = say;
  }

  /** Ends the server (forcibly after `timeouts.stop`) and removes its folder. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    clearInterval(this.#care);
    this.#server.child.kill('SIGTERM');
    const forced = setTimeout(() => this.#server.child.kill('SIGKILL'), timeouts.stop);
    await this.#guarding;
    clearTimeout(forced);
    await removeHome(this.socket);
    this.#outlived();
  }

  /** Ends the server at once, for a process that is about to exit. */
  kill(): void {
    this.#stopping.abort();
    clearInterval(this.#care);
    this.#server.child.kill('SIGKILL');
    rmSync(dirname(this.socket), { recursive: true, force: true });
  }

  /** Starts the server again whenever it dies, until `stop` (null) or until that has failed too often in a row. */
  async #guard(): Promise<CornetError | null> {
    const { signal } = this.#stopping;
    for (let deaths = 0; ; ) {
      const began = performance.now();
      const how = await this.#server.exited;
      if (signal.aborted) return null;
      deaths = performance.now() - began < redisServer.settled ? deaths + 1 : 1;
      if (deaths >= redisServer.failures) {
        const message = `The private redis-server has died ${deaths} times in a row, at last like this: ${how}.`;
        return new CornetError('REDIS_SERVER_FAILED', message);
      }
      this.#say(`The private redis-server died: ${how}. It is restarted, empty.`);
      const pause = redisServer.backOff * 2 ** (deaths - 1);
      await delay(pause, null, { signal }).catch(() => undefined); // stopped meanwhile
      if (signal.aborted) return null;
      this.#server = await this.#startAgain();
      if (signal.aborted) this.#server.child.kill('SIGKILL');
    }
  }

  /** A start that fails is a death like any other: what was in the way may be gone at the next one. */
  async #startAgain(): Promise<Server> {
    try {
      await remakeSocketFolder(this.socket);
      return await spawnServer(this.#command, dirname(this.socket));
    } catch (error) {
      const { child } = this.#server;
      return { child, exited: Promise.resolve(`it could not be started again (${messageOf(error)})`) };
    }
  }

  /** Without its socket it answers whoever is connected already, and no worker that comes later. */
  async #lookAfterFolder(): Promise<void> {
    const { child } = this.#server;
    if (await keepSocketYoung(this.socket)) this.#listening = child;
    else if (this.#listening === child) child.kill('SIGKILL');
  }
}

async function untilReady({ child, exited }: Server, socket: string): Promise<void> {
  const deadline = AbortSignal.timeout(timeouts.redisConnect);
  const ended = exited.then((how) => {
    throw new Error(how);
  });
  ended.catch(() => {}); // reported through the race below; later ends are the guard's to notice
  for (;;) {
    try {
      const connection = await Promise.race([connect(socket), ended]);
      connection.disconnect();
      return;
    } catch (error) {
      if (child.exitCode !== null || child.signalCode !== null) await ended;
      if (deadline.aborted) throw error;
      await delay(redisServer.poll);
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
  return connectRedis(socketUrl(socket), { name: 'cornet-control', bytesNeeded: 0 });
}

const temporaryHint =
  'Set TMPDIR to a folder on a working disk that you may write to, or give --redis the URL of a running Redis.';

const leftoverHint =
  'If another user ran the coordinator before, go on as that user, or have that folder and redis.json of the run folder removed.';

async function makeHome(folder: string): Promise<string> {
  try {
    return dirname(await makeSocketFolder(folderPrefix, socketName, folder));
  } catch (error) {
    if (error instanceof SocketPathTooLong) {
      const hint = 'Set TMPDIR to a folder with a shorter path.';
      throw new CornetError('REDIS_SERVER_FAILED', error.message, { hint });
    }
    throw fileError(error, `make a temporary folder in ${quoteName(resolve(folder))}`, temporaryHint);
  }
}

interface Server {
  readonly child: ChildProcess;
  readonly exited: Promise<string>;
}

/** The command line of the server; null without a redis-server program. */
async function serverCommand(home: string, socket: string): Promise<string[] | null> {
  if (!(await runs('redis-server', ['--version']))) return null;
  const server = ['redis-server', '--port', '0', '--unixsocket', socket, '--unixsocketperm', '700'];
  server.push('--dir', home, '--save', '', '--appendonly', 'no', '--daemonize', 'no');
  const guard = ['setpriv', '--pdeathsig', 'TERM'];
  return (await runs('setpriv', [...guard.slice(1), 'true'])) ? [...guard, ...server] : server;
}

async function spawnServer([program, ...args]: string[], home: string): Promise<Server> {
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
  return 'output' in (await runProgram(program, args, { timeout: timeouts.redisConnect }));
}

async function removeHome(socket: string): Promise<void> {
  const home = dirname(socket);
  try {
    await rm(socket, { force: true });
    await rm(join(home, logName), { force: true });
    await rmdir(home);
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return;
    throw fileError(error, `remove the private redis-server's folder ${quoteName(home)}`, leftoverHint);
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
