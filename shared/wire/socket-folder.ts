/** Unix sockets for the processes of one user: each in a folder of its own below the system's temporary folder. */
import { readFileSync, readlinkSync, realpathSync, statSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, rm, rmdir, stat, utimes } from 'node:fs/promises';
import { connect } from 'node:net';
import { hostname, tmpdir } from 'node:os';
import { basename, dirname, join, resolve } from 'node:path';
import { nanoid } from 'nanoid';
import { socketFolder } from '../defaults.ts';

/** sun_path of unix(7) has 108 bytes, one of them for the final zero. */
const longestSocketPath = 107;

export class SocketPathTooLong extends Error {
  constructor(folder: string, bytes: number) {
    super(
      `The path of the temporary folder ${folder} is too long: a socket in it would have ${bytes} bytes, and ${longestSocketPath} are possible.`,
    );
  }
}

/**
 * Makes a folder that only this user can enter (mkdtemp: mode 0700).
 * @param under may be relative, as TMPDIR may be
 * @returns the path of the socket that may now be made in it
 * @throws SocketPathTooLong, or what the file system says
 */
export async function makeSocketFolder(
  prefix: string,
  socket: string,
  under: string = tmpdir(),
): Promise<string> {
  const folder = resolve(under);
  const bytes = socketPathBytes(folder, prefix, socket);
  if (bytes > longestSocketPath) throw new SocketPathTooLong(folder, bytes);
  return join(await mkdtemp(join(folder, prefix)), socket);
}

function socketPathBytes(folder: string, prefix: string, socket: string): number {
  return Buffer.byteLength(join(folder, `${prefix}XXXXXX`, socket));
}

/** Makes the folder of a socket again where something has cleaned it away; another's folder in its place is an error. */
export async function remakeSocketFolder(socket: string): Promise<void> {
  await mkdir(dirname(socket), { mode: 0o700 }).catch(async (error: unknown) => {
    const { uid, mode } = await stat(dirname(socket));
    if (uid !== process.geteuid?.() || (mode & 0o077) !== 0) throw error;
  });
}

/** What cleans temporary folders goes by the age of files. @returns whether the socket is still there */
export async function keepSocketYoung(socket: string): Promise<boolean> {
  const now = new Date();
  try {
    await utimes(socket, now, now);
    await utimes(dirname(socket), now, now);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== 'ENOENT';
  }
}

/** Removes the folders of sockets whose processes were killed. */
export async function removeDeadSockets(
  prefix: string,
  socket: string,
  under: string = tmpdir(),
): Promise<void> {
  const folders = (await readdir(under)).filter((name) => name.startsWith(prefix));
  await Promise.all(
    folders.map(async (name) => {
      const folder = join(resolve(under), name);
      try {
        const { uid, mtimeMs } = await stat(folder);
        if (uid !== process.geteuid?.()) return;
        const state = await stateOf(join(folder, socket));
        // Without a socket it may belong to a process that is about to listen.
        const young = state === 'missing' && Date.now() - mtimeMs < socketFolder.young;
        if (state === 'alive' || young) return;
        await rm(join(folder, socket), { force: true });
        await rmdir(folder);
      } catch {
        // Somebody else is removing it.
      }
    }),
  );
}

function stateOf(path: string): Promise<'alive' | 'dead' | 'missing'> {
  return new Promise((resolve) => {
    const socket = connect(path, () => {
      socket.destroy();
      resolve('alive');
    });
    socket.on('error', ({ code }: NodeJS.ErrnoException) => {
      resolve(code === 'ECONNREFUSED' ? 'dead' : code === 'ENOENT' ? 'missing' : 'alive');
    });
  });
}

/**
 * Names the machine, its network and its temporary folder as this process and its user see them: processes of the same
 * place reach each other's sockets, and have the same loopback.
 * @param sockets false: this process could make no socket, and shares only its network
 */
export function socketNamespace(sockets = true): string {
  const nobodyElse = `${hostname()} ${process.pid} ${nanoid()}`;
  let network: string;
  try {
    const boot = readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
    network = `${boot},${readlinkSync('/proc/self/ns/net')}`;
  } catch {
    return nobodyElse; // not Linux: reach nobody rather than the wrong one
  }
  return `${network} ${(sockets ? temporaryPlace() : null) ?? nobodyElse}`;
}

/** The temporary folder, whatever is mounted there, and who can enter a folder of this user in it; null: not usable. */
function temporaryPlace(): string | null {
  try {
    const folder = realpathSync(tmpdir());
    if (Buffer.byteLength(folder) > longestSocketPath) return null;
    const { dev, ino } = statSync(folder);
    return `${readlinkSync('/proc/self/ns/user')} ${process.geteuid?.()} ${dev}:${ino} ${folder}`;
  } catch {
    return null;
  }
}

/** Whether an address of the loopback means the same at both places. */
export function shareNetwork(a: string, b: string): boolean {
  return a.split(' ', 1)[0] === b.split(' ', 1)[0];
}

/** The name by which others of this place find the socket again. */
export function folderOf(socket: string): string {
  return basename(dirname(socket));
}
