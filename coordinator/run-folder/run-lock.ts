/** One coordinator per run folder: a lock file that names the process holding it, and that the kernel holds for it. */
import { createHash } from 'node:crypto';
import { type FileHandle, link, open, readFile, readlink, rename, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { nanoid } from 'nanoid';
import { z } from 'zod';
import { CornetError } from '../../shared/errors.ts';
import { ownCommand } from '../../shared/process/own-command.ts';
import { quoteName } from '../../shared/util/printable.ts';
import { exists, fileError, systemCode } from '../disk/durable-file.ts';
import { lockInKernel } from './kernel-lock.ts';

const holderSchema = z.object({
  host: z.string(),
  pid: z.int().positive(),
  /** When the process started, as the kernel counts: tells it from a later process of the same pid. */
  started: z.string().nullable(),
  /** Where the pid means this process; containers have one each. */
  pidNamespace: z.string().nullable().optional(),
  /** Whether the kernel holds the lock, too. */
  kernelLock: z.boolean().default(false),
});
type Holder = z.infer<typeof holderSchema>;

/** Who holds a lock; `unknown`: on another host or in another container, where only that one can tell. */
export interface LockHolder {
  state: 'alive' | 'unknown' | 'gone';
  sentence: string;
  /** How to get past a lock whose holder is unknown. */
  hint: string | null;
}

export class RunLock {
  readonly #path: string;
  readonly #text: string;
  /** While it is open, the kernel holds the lock. */
  readonly #file: FileHandle;

  private constructor(path: string, text: string, file: FileHandle) {
    this.#path = path;
    this.#text = text;
    this.#file = file;
  }

  /**
   * Takes the lock, or takes it over from a process that is certainly dead.
   * @param host this machine's name
   * @param say takes a sentence about a lock that had to be mended
   * @throws CornetError RUN_LOCKED naming host and pid
   */
  static async acquire(path: string, host: string, say: (sentence: string) => void): Promise<RunLock> {
    const temporary = `${path}.${nanoid()}`;
    let file: FileHandle | null = null;
    try {
      file = await open(temporary, 'wx+');
      // Locked before it has its name: whoever finds it finds it locked.
      const kernelLock = (await lockInKernel(file, 'exclusive')) === 'taken';
      const holder = { ...(await thisProcess(host)), kernelLock };
      // The nonce makes every lock's text its own, so that one lock is never mistaken for another.
      const text = `${JSON.stringify({ ...holder, nonce: nanoid() })}\n`;
      await file.writeFile(text);
      await file.sync();
      await moveInto(path, { temporary, text, holder, say });
      return new RunLock(path, text, file);
    } catch (error) {
      await file?.close();
      throw fileError(error, `write ${quoteName(path)}`);
    } finally {
      await rm(temporary, { force: true }).catch(() => undefined); // the same trouble again
    }
  }

  /**
   * Who holds a lock, without touching it; null where there is none.
   * @param host this machine's name
   */
  static async holder(path: string, host: string): Promise<LockHolder | null> {
    const found = await look(path);
    if (found === null) return null;
    const verdict = await judge(path, found, await thisProcess(host));
    if (verdict.state !== 'gone') return { hint: null, ...verdict };
    const { note } = verdict;
    const sentence = note ?? `It is left over by ${describe(parse(found.text))}, which is gone.`;
    return { state: 'gone', sentence, hint: null };
  }

  /** Somebody may have deleted the file by hand and started another coordinator. */
  async isHeld(): Promise<boolean> {
    return (await readOrNull(this.#path)) === this.#text;
  }

  /** @throws CornetError RUN_LOCKED when the lock is not this one's any more; FOLDER_NOT_WRITABLE when all is gone */
  async check(): Promise<void> {
    const text = await readOrNull(this.#path);
    if (text === this.#text) return;
    const folder = dirname(this.#path);
    if (text === null && !(await exists(folder))) {
      throw await this.#folderGone(folder);
    }
    const now = text === null ? 'was deleted' : `now names ${describe(parse(text))}`;
    throw locked(
      `This coordinator has lost its run: the lock ${quoteName(this.#path)} ${now}. It writes nothing more there.`,
      'Leave the run to the other coordinator; if none is at work on it, start again with --resume.',
    );
  }

  /** The kernel knows in which folder the open lock is now, whatever has become of its name. */
  async #folderGone(folder: string): Promise<CornetError> {
    const path = await readlink(`/proc/self/fd/${this.#file.fd}`).catch(() => this.#path);
    const now = dirname(path);
    if (now === folder || !(await exists(now))) {
      const message = `The run folder ${quoteName(folder)} was deleted during the run, with its checkpoints.`;
      return new CornetError('FOLDER_NOT_WRITABLE', message, { hint: 'Start a new run.' });
    }
    const message = `The run folder ${quoteName(folder)} was moved to ${quoteName(now)} during the run.`;
    const command = ownCommand('coordinator', 'start', ['--resume', '--output-path', now]);
    return new CornetError('FOLDER_NOT_WRITABLE', message, {
      hint: `Move it back, or continue there: ${command}`,
    });
  }

  async release(): Promise<void> {
    if (await this.isHeld()) await rm(this.#path, { force: true });
    await this.#file.close();
  }
}

interface Candidate {
  temporary: string;
  text: string;
  holder: Holder;
  say: (sentence: string) => void;
}

/** Gives the file its name, whole, where there is no lock (link() fails where one is, on NFS too) or a dead one's. */
async function moveInto(path: string, candidate: Candidate): Promise<void> {
  const { temporary, text, holder, say } = candidate;
  for (;;) {
    try {
      return await link(temporary, path);
    } catch (error) {
      if (systemCode(error) !== 'EEXIST') throw error;
    }
    const found = await look(path);
    if (found === null) continue;
    if (found.text === text) return; // over NFS the answer to link() may be lost
    const note = await refuseUnlessStale(path, found, holder);
    // Several may have found the same dead lock. Who may replace it is decided by a lock on that lock.
    const claim = await RunLock.acquire(`${path}.${digest(found.text)}`, holder.host, say);
    try {
      if ((await readOrNull(path)) !== found.text) continue;
      await rename(temporary, path);
      if (note !== null) say(note);
      return;
    } finally {
      await claim.release();
    }
  }
}

interface Found {
  text: string;
  /** Whether the kernel holds it for somebody; null: that cannot be seen here. */
  held: boolean | null;
}

async function look(path: string): Promise<Found | null> {
  let file: FileHandle;
  try {
    file = await open(path, 'r');
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return null;
    throw fileError(error, `read ${quoteName(path)}`);
  }
  try {
    const lock = await lockInKernel(file, 'shared'); // shared: two who look are not in each other's way
    return { text: await file.readFile('utf8'), held: lock === 'unavailable' ? null : lock === 'busy' };
  } finally {
    await file.close();
  }
}

/**
 * @returns what is to be said of a lock that is taken over, or null
 * @throws CornetError RUN_LOCKED unless its holder is certainly dead
 */
async function refuseUnlessStale(path: string, found: Found, self: Holder): Promise<string | null> {
  const verdict = await judge(path, found, self);
  if (verdict.state === 'gone') return verdict.note;
  throw locked(verdict.sentence, verdict.state === 'unknown' ? verdict.hint : undefined);
}

type Verdict =
  | { state: 'alive'; sentence: string }
  | { state: 'unknown'; sentence: string; hint: string }
  /** `note`: what is to be said when it is taken over. */
  | { state: 'gone'; note: string | null };

async function judge(path: string, { text, held }: Found, self: Holder): Promise<Verdict> {
  const holder = parse(text);
  const who = describe(holder);
  const alive = {
    state: 'alive',
    sentence: `This run is controlled by ${who}, which is still running.`,
  } as const;
  if (held) return alive;
  if (holder === null) {
    const note = `warning: ${quoteName(path)} cannot be read, as after a power cut: it is taken over.`;
    return { state: 'gone', note };
  }
  const hint = `If that process is certainly gone, delete ${quoteName(path)} and start again.`;
  const says = `${quoteName(path)} says that ${who} works on this run`;
  if (holder.host !== self.host) {
    return { state: 'unknown', sentence: `${says}; this is host ${self.host}.`, hint };
  }
  if (bootOf(holder) !== bootOf(self)) return { state: 'gone', note: null };
  if (holder.kernelLock && held === false) return { state: 'gone', note: null }; // this kernel would still hold it
  if (holder.pidNamespace !== self.pidNamespace) {
    const sentence = `${says}, in another container, where this one cannot see whether it is alive.`;
    return { state: 'unknown', sentence, hint };
  }
  return (await isAlive(holder)) ? alive : { state: 'gone', note: null };
}

function locked(message: string, hint?: string): CornetError {
  return new CornetError('RUN_LOCKED', message, hint === undefined ? {} : { hint });
}

function parse(text: string): Holder | null {
  try {
    return holderSchema.parse(JSON.parse(text));
  } catch {
    return null;
  }
}

function describe(holder: Holder | null): string {
  if (holder === null) return 'another coordinator';
  return `a coordinator on host ${holder.host} with process id ${holder.pid}`;
}

const digest = (text: string) => createHash('sha256').update(text).digest('hex').slice(0, 16);

async function isAlive(holder: Holder): Promise<boolean> {
  try {
    process.kill(holder.pid, 0);
  } catch (error) {
    if (systemCode(error) === 'ESRCH') return false;
    if (systemCode(error) !== 'EPERM') throw error; // EPERM: it lives, and belongs to somebody else
  }
  return holder.started === null || (await startOf(holder.pid)) === holder.started;
}

async function thisProcess(host: string): Promise<Holder> {
  const pidNamespace = await readlink('/proc/self/ns/pid').catch(() => null); // no /proc
  return { host, pid: process.pid, started: await startOf(process.pid), pidNamespace, kernelLock: false };
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

const bootOf = ({ started }: Holder) => started?.split('/')[0];

async function readOrNull(path: string): Promise<string | null> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    if (systemCode(error) === 'ENOENT' || systemCode(error) === 'ESRCH') return null;
    throw fileError(error, `read ${quoteName(path)}`);
  }
}
