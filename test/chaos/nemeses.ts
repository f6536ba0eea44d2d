/** What can happen to a run, and how it ends again. Every choice is drawn, so that a seed repeats them. */
import { execFileSync, spawnSync } from 'node:child_process';
import { readdirSync, readFileSync, statfsSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Redis } from 'ioredis';
import type { Draws } from '../../shared/random.ts';
import type { TestRedis } from '../helpers/redis.ts';
import type { WallClock } from './wall-clock.ts';

/** The processes of a run, and what they stand on. */
export interface Target {
  readonly draws: Draws;
  readonly redis: TestRedis;
  /** A connection of the nemesis's own. */
  readonly administrator: Redis;
  readonly clock: WallClock;
  /** The small file system that the run folder lies on, or null. */
  readonly disk: { folder: string; bytes: number } | null;
  /** Milliseconds that something stands still at most. */
  readonly longestPause: number;
  readonly coordinator: number;
  /** Process ids. */
  localWorkers(): number[];
  remoteWorkers(): number[];
  /** All of them, with those that they have started. */
  everybody(): number[];
  /** Asks the coordinator or a worker to stop. */
  terminate(pid: number): void;
  /** A worker from elsewhere comes. */
  join(): void;
}

export interface Blow {
  /** Another name to count it by. */
  name?: string;
  /** What was struck. */
  whom?: string;
  /** No recovery follows. */
  harmless?: true;
  /** Milliseconds that it lasts, and what ends it. */
  lasts?: number;
  end?: () => unknown;
}

export interface Nemesis {
  /** How likely it is, beside the others. */
  weight: number;
  /** Why it cannot be had here, or null. */
  missing?: (target: Pick<Target, 'disk'>) => string | null;
  /** Null if there is nobody to strike. */
  strike: (target: Target) => Blow | null | Promise<Blow | null>;
}

/** Open files that a process may have more than it has. */
const spareFiles = 4;

export const nemeses = {
  worker: {
    weight: 3,
    strike: (target) => {
      const pid = one(target.draws, target.localWorkers());
      if (pid === undefined) return null;
      send(pid, 'SIGKILL');
      return { whom: String(pid) };
    },
  },
  stop: {
    weight: 1,
    strike: (target) => stillStand(target, one(target.draws, target.localWorkers()), 0.1, 0.75),
  },
  remote: {
    weight: 2,
    strike: ({ draws, remoteWorkers, join }) => {
      const there = remoteWorkers();
      if (there.length < 2 && (there.length === 0 || draws.integer(2) > 0)) {
        join();
        return { name: 'join', harmless: true };
      }
      send(there.at(-1)!, 'SIGKILL');
      return {};
    },
  },
  coordinator: {
    weight: 1,
    strike: ({ coordinator }) => {
      send(coordinator, 'SIGKILL');
      return {};
    },
  },
  interrupt: {
    weight: 1,
    strike: ({ coordinator, terminate }) => {
      terminate(coordinator);
      return {};
    },
  },
  'stop-all': {
    weight: 1,
    strike: ({ draws, everybody, terminate }) => {
      for (const pid of shuffled(draws, everybody())) terminate(pid);
      return {};
    },
  },
  'stop-some': {
    weight: 1,
    strike: ({ draws, everybody, terminate }) => {
      const some = shuffled(draws, everybody()).filter(() => draws.integer(2) > 0);
      if (some.length === 0) return null;
      for (const pid of some) terminate(pid);
      return { whom: some.join(', ') };
    },
  },
  /** The coordinator sleeps, and nobody takes its place. */
  sleep: { weight: 1, strike: (target) => stillStand(target, target.coordinator, 0.05, 1) },
  /** Killed, with all that it held, and started again. */
  redis: {
    weight: 1,
    strike: async ({ draws, redis }) => {
      await redis.kill();
      return { lasts: draws.between(0, 1_500), end: () => redis.start() };
    },
  },
  pause: {
    weight: 1,
    strike: ({ draws, redis, longestPause }) => {
      redis.pause();
      return { lasts: draws.between(0.05, 1) * longestPause, end: () => redis.resume() };
    },
  },
  failover: {
    weight: 1,
    strike: ({ draws, administrator, longestPause }) => {
      const begun = administrator.replicaof('127.0.0.1', 1);
      return {
        lasts: draws.between(0, 0.75) * longestPause,
        end: () => begun.then(() => administrator.replicaof('NO', 'ONE')),
      };
    },
  },
  refuse: {
    weight: 1,
    strike: ({ draws, administrator, longestPause }) => {
      const begun = administrator.config('SET', 'min-replicas-to-write', 1);
      return {
        lasts: draws.between(0, 0.75) * longestPause,
        end: () => begun.then(() => administrator.config('SET', 'min-replicas-to-write', 0)),
      };
    },
  },
  'full-disk': {
    weight: 1,
    missing: ({ disk }) => (disk === null ? 'no file system can be mounted (that takes root)' : null),
    strike: async ({ draws, disk, longestPause }) => {
      if (disk === null) return null;
      await leaveNoRoom(disk.folder);
      return {
        lasts: draws.between(0.05, 0.75) * longestPause,
        end: () => resize(disk.folder, disk.bytes),
      };
    },
  },
  descriptors: {
    weight: 1,
    missing: () =>
      spawnSync('prlimit', ['--version']).status === 0 ? null : "there is no `prlimit` (util-linux's)",
    strike: ({ draws, coordinator, localWorkers, longestPause }) => {
      const [name, pid] =
        draws.integer(2) === 0
          ? (['descriptors-worker', one(draws, localWorkers())] as const)
          : (['descriptors-coordinator', coordinator] as const);
      const spare = draws.integer(spareFiles);
      const lasts = draws.between(0.05, 0.5) * longestPause;
      if (pid === undefined) return null;
      const before = openFiles(pid);
      if (before === null || !limitOpenFiles(pid, before.open + spare)) return null;
      return { name, whom: String(pid), lasts, end: () => limitOpenFiles(pid, before.limit) };
    },
  },
  clock: {
    weight: 1,
    strike: ({ draws, clock, everybody }) => {
      const hours = draws.between(-48, 48);
      const all = everybody();
      // Hosts have clocks of their own.
      const some = draws.integer(2) === 0 ? all : all.filter(() => draws.integer(2) > 0);
      clock.jump(Math.round(hours * 3_600_000), some);
      return { whom: `${hours.toFixed(1)} h for ${some.length} of ${all.length}` };
    },
  },
} as const satisfies Record<string, Nemesis>;

export type NemesisName = keyof typeof nemeses;

export const nemesisNames = Object.keys(nemeses) as NemesisName[];

/** A process that has ended meanwhile hears nothing. */
export function send(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}

function stillStand(
  { draws, longestPause }: Target,
  pid: number | undefined,
  shortest: number,
  longest: number,
): Blow | null {
  const lasts = draws.between(shortest, longest) * longestPause;
  if (pid === undefined) return null;
  send(pid, 'SIGSTOP');
  return { whom: String(pid), lasts, end: () => send(pid, 'SIGCONT') };
}

function one<T>(draws: Draws, all: readonly T[]): T | undefined {
  return all[draws.integer(Math.max(1, all.length))];
}

function shuffled<T>(draws: Draws, all: readonly T[]): T[] {
  const result = [...all];
  for (let i = result.length - 1; i > 0; i--) {
    const j = draws.integer(i + 1);
    [result[i], result[j]] = [result[j]!, result[i]!];
  }
  return result;
}

/** The file system shrinks to what is in use: a full one takes no memory. */
async function leaveNoRoom(folder: string): Promise<void> {
  for (;;) {
    const { blocks, bfree, bsize } = statfsSync(folder);
    try {
      return resize(folder, (blocks - bfree) * bsize);
    } catch {
      await sleep(10); // something was written meanwhile
    }
  }
}

function resize(folder: string, bytes: number): void {
  execFileSync('mount', ['-o', `remount,size=${bytes}`, folder], { stdio: 'ignore' });
}

function openFiles(pid: number): { open: number; limit: number } | null {
  try {
    const open = readdirSync(`/proc/${pid}/fd`).length;
    const [, limit] = /^Max open files\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/limits`, 'utf8'))!;
    return { open, limit: Number(limit) };
  } catch {
    return null; // it has ended
  }
}

/** The soft limit. */
function limitOpenFiles(pid: number, files: number): boolean {
  return spawnSync('prlimit', ['--pid', String(pid), `--nofile=${files}:`]).status === 0;
}
