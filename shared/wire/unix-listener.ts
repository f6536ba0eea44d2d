/**
 * A unix socket in a folder that only its user can enter. When its process is killed, the next one to start removes its
 * folder.
 */
import { rmSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { socketFolder } from '../defaults.ts';
import { atExit } from '../util/at-exit.ts';
import { oneAtATime } from '../util/one-at-a-time.ts';
import {
  folderOf,
  keepSocketYoung,
  makeSocketFolder,
  remakeSocketFolder,
  removeDeadSockets,
} from './socket-folder.ts';

const folderPrefix = 'cornet-blobs-';
const socketName = 'socket';

/** All processes of a place have the same temporary folder, so that a name is enough. */
export function unixSocketPath(name: string): string {
  return join(resolve(tmpdir()), name, socketName);
}

export class UnixListener {
  readonly #path: string;
  readonly #serve: (socket: Socket, name: string) => void;
  readonly #care: NodeJS.Timeout;
  #server: Server;
  #closed = false;
  readonly #outlived: () => void;

  private constructor(path: string, serve: (socket: Socket, name: string) => void, care: number) {
    this.#path = path;
    this.#serve = serve;
    this.#server = this.#newServer();
    const look = oneAtATime(() => this.#lookAfterFolder());
    this.#care = setInterval(() => void look().catch(() => undefined), care).unref();
    this.#outlived = atExit(() => rmSync(dirname(this.#path), { recursive: true, force: true }));
  }

  /**
   * @param care milliseconds between two looks at the socket's folder
   * @throws what the file system says
   */
  static async open(
    serve: (socket: Socket, name: string) => void,
    care: number = socketFolder.care,
  ): Promise<UnixListener> {
    await removeDeadSockets(folderPrefix, socketName);
    const listener = new UnixListener(await makeSocketFolder(folderPrefix, socketName), serve, care);
    try {
      await listener.#listen();
    } catch (error) {
      await listener.close();
      throw error;
    }
    return listener;
  }

  /** The folder. */
  get name(): string {
    return folderOf(this.#path);
  }

  async close(): Promise<void> {
    this.#closed = true;
    clearInterval(this.#care);
    await new Promise((resolve) => this.#server.close(resolve));
    this.#outlived();
    await rm(dirname(this.#path), { recursive: true, force: true });
  }

  #newServer(): Server {
    const server = createServer((socket) => this.#serve(socket, this.name));
    // A connection that cannot be accepted (too many open files) is missed by whoever made it.
    server.on('error', () => undefined);
    return server;
  }

  #listen(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#server.once('error', reject);
      this.#server.listen(this.#path, () => {
        this.#server.removeListener('error', reject);
        resolve();
      });
    });
  }

  /** Connections that are there go on without the folder, but there would be no new ones. */
  async #lookAfterFolder(): Promise<void> {
    if ((await keepSocketYoung(this.#path)) || this.#closed) return;
    await remakeSocketFolder(this.#path);
    this.#server.close(); // only listening ends
    this.#server = this.#newServer();
    await this.#listen();
  }
}
