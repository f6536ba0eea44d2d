/** A wall clock that jumps, for the processes of one run alone: the machine's stays as it is. */
import { readFileSync, writeFileSync } from 'node:fs';

/** Node ends a process that does not listen to it: it is sent only to those that do. */
const signal = 'SIGUSR2';
const signalNumber = 12;

/** Runs before the program does, and shifts what `Date` says by the milliseconds that stand in a file. */
const preloaded = `
import { readFileSync } from 'node:fs';
import { isMainThread } from 'node:worker_threads';
let shift = 0;
const look = () => {
  try {
    shift = Number(readFileSync(process.env.CORNET_CHAOS_CLOCK, 'utf8')) || 0;
  } catch {} // it may open no file at the moment
};
look();
const now = Date.now;
Date.now = () => now() + shift;
globalThis.Date = new Proxy(Date, {
  construct: (target, values, made) =>
    Reflect.construct(target, values.length > 0 ? values : [target.now()], made),
  apply: (target) => new target(target.now()).toString(),
});
if (isMainThread) process.on('${signal}', look);
`;

export class WallClock {
  readonly #file: string;

  /** @param file does not exist yet */
  constructor(file: string) {
    this.#file = file;
    writeFileSync(file, '0');
  }

  /** What a process needs in its environment so that its clock can jump. */
  get environment(): NodeJS.ProcessEnv {
    const options = `--import=data:text/javascript,${encodeURIComponent(preloaded)}`;
    return { NODE_OPTIONS: options, CORNET_CHAOS_CLOCK: this.#file };
  }

  /** Those that start later, too, are off by so many milliseconds. */
  jump(shift: number, pids: readonly number[]): void {
    writeFileSync(this.#file, String(shift));
    for (const pid of pids) if (listens(pid)) process.kill(pid, signal);
  }
}

/** Whether a process has come so far that it catches the signal. */
function listens(pid: number): boolean {
  try {
    const [, caught] = /^SigCgt:\s*([0-9a-f]+)$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))!;
    return (BigInt(`0x${caught}`) & (1n << BigInt(signalNumber - 1))) !== 0n;
  } catch {
    return false; // it has ended
  }
}
