/** One coordinator per run folder: a lock file that names the process holding it. */
import { link, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { nanoid } from 'nanoid';
import { z } from 'zod';
import { CornetError } from '../shared/errors.ts';
import { quoteName } from '../shared/printable.ts';
import { fileError, systemCode } from './durable-file.ts';

const holderSchema = z.object({
  host: z.string(),
  pid: z.int().positive(),
  /** When the process started, as the kernel counts: tells it from a later process of the same pid. */
  started: z.string().nullable(),
});
type Holder = z.infer<typeof holderSchema>;

export class RunLock {
  readonly #path: string;
  readonly #text: string;

  private constructor(path: string, text: string) {
    this.#path = path;
    this.#text = text;
  }

  /**
   * Takes the lock, or takes it over from a process of this host that is dead.
   * @param host this machine's name
   * @throws CornetError RUN_LOCKED naming host and pid
   */
  static async acquire(path: string, host: string): Promise<RunLock> {
    const holder: Holder = { host, pid: process.pid, started: await startOf(process.pid) };
    // The nonce makes every lock's text its own, so that one lock is never mistaken for another.
    const text = `${JSON.stringify({ ...holder, nonce: nanoid() })}\n`;
    for (;;) {
      if (await create(path, text)) return new RunLock(path, text);
      await removeIfStale(path, host);
    }
  }

  async release(): Promise<void> {
    // Somebody may have deleted the file by hand and started another coordinator: that one's lock stays.
    if ((await readOrNull(this.#path)) === this.#text) await rm(this.#path);
  }
}

/** Creates the lock with its whole content at once: link() fails where a lock exists, on NFS too. */
async function create(path: string, text: string): Promise<boolean> {
  const temporary = `${path}.${nanoid()}`;
  try {
    await writeFile(temporary, text, { flag: 'wx' });
    await link(temporary, path);
    return true;
  } catch (error) {
    if (systemCode(error) === 'EEXIST') return false;
    throw fileError(error, `write ${quoteName(path)}`);
  } finally {
    await rm(temporary, { force: true });
  }
}

/** @throws CornetError RUN_LOCKED unless the lock is gone or its holder is certainly dead */
async function removeIfStale(path: string, host: string): Promise<void> {
  const text = await readOrNull(path);
  if (text === null) return;
  const holder = parse(text, path);
  const who = `a coordinator on host ${holder.host} with process id ${holder.pid}`;
  if (holder.host !== host) {
    throw new CornetError(
      'RUN_LOCKED',
      `${quoteName(path)} says that ${who} works on this run; this is host ${host}.`,
      {
        hint: `If that process is certainly gone, delete ${quoteName(path)} and start again.`,
      },
    );
  }
  if (await isAlive(holder)) {
    throw new CornetError('RUN_LOCKED', `This run is served by ${who}, which is alive.`);
  }
  // Two coordinators may find the same dead lock: renaming shows which lock was really taken away.
  const taken = `${path}.${nanoid()}`;
  try {
    await rename(path, taken);
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return;
    throw fileError(error, `replace ${quoteName(path)}`);
  }
  const takenText = await readFile(taken, 'utf8');
  if (takenText !== text) await create(path, takenText);
  await rm(taken, { force: true });
}

function parse(text: string, path: string): Holder {
  try {
    return holderSchema.parse(JSON.parse(text));
  } catch (cause) {
    throw new CornetError('RUN_DAMAGED', `${quoteName(path)} is not the lock file of a coordinator.`, {
      hint: `If no coordinator works on this run, delete ${quoteName(path)} and start again.`,
      cause,
    });
  }
}

async function isAlive(holder: Holder): Promise<boolean> {
  try {
    process.kill(holder.pid, 0);
  } catch (error) {
    if (systemCode(error) === 'ESRCH') return false;
    if (systemCode(error) !== 'EPERM') throw error; // EPERM: it lives, and belongs to somebody else
  }
  return holder.started === null || (await startOf(holder.pid)) === holder.started;
}

/** Boot id and start time in clock ticks (proc(5), field 22 of stat); null where there is no /proc. */
async function startOf(pid: number): Promise<string | null> {
  const stat = await readOrNull(`/proc/${pid}/stat`);
  const boot = await readOrNull('/proc/sys/kernel/random/boot_id');
  if (stat === null || boot === null) return null;
  // The second field, the command's name, may hold blanks and brackets: count from its last bracket.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return `${boot.trim()}/${fields[19]}`;
}

async function readOrNull(path: string): Promise<string | null> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    if (systemCode(error) === 'ENOENT' || systemCode(error) === 'ESRCH') return null;
    throw fileError(error, `read ${quoteName(path)}`);
  }
}
