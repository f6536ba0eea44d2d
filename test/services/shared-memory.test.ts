/** Vectors in shared memory, between real processes. */
import { type ChildProcess, execFile, execFileSync, fork } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, openSync, readdirSync, readFileSync, readlinkSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import test, { type ExecutionContext } from 'ava';
import { idleSweeps, spareReservations } from '../../shared/defaults.ts';
import { packageRoot } from '../../shared/process/package-root.ts';
import { memoryNamespace, memoryPlace, openMemory } from '../../shared/wire/memory.ts';
import { Mappings, openMappings } from '../../worker/memory/mappings.ts';
import { loadMemoryAddon, type MemoryAddon } from '../../worker/memory/memory-addon.ts';
import { OwnMemory } from '../../worker/memory/own-memory.ts';
import type { OwnerOrder } from '../helpers/memory-owner.ts';
import { possible } from '../helpers/possible.ts';

const addon = loadMemoryAddon() as MemoryAddon;
const helper = (name: string) => join(packageRoot, 'dist', 'test', 'helpers', `${name}.js`);
const size = 100_000;
const whole = (at: string, end = size) => ({ at, begin: 0, end });

class Owner {
  readonly process: ChildProcess;

  private constructor(process: ChildProcess) {
    this.process = process;
  }

  static async start(t: ExecutionContext): Promise<Owner> {
    const owner = new Owner(fork(helper('memory-owner')));
    t.teardown(() => owner.process.kill('SIGKILL'));
    await once(owner.process, 'message');
    return owner;
  }

  async #ask<T>(order: OwnerOrder): Promise<T> {
    this.process.send(order);
    const [answer] = (await once(this.process, 'message')) as [T];
    return answer;
  }

  /** @param over all steps before this one are @returns the address of `size` bytes, each with this value */
  offer(of: number, { step = 1, over = 0 } = {}): Promise<string> {
    return this.#ask({ offer: size, of, step, over });
  }

  async kill(): Promise<void> {
    const ended = once(this.process, 'exit');
    this.process.kill('SIGKILL');
    await ended;
  }
}

function read(mappings: Mappings, at: string, end = size): number[] | null {
  return mappings.has(whole(at, end)) ? [...new Set(mappings.view(whole(at, end)))] : null;
}

/** Of this process: what it has mapped of others. */
function mapped(segment: string): number {
  const lines = readFileSync('/proc/self/maps', 'utf8').split('\n');
  return lines.filter((line) => line.includes(`memfd:cornet-${segment}`)).length;
}

test('what one process offers is read by others where it lies, every part of it', async (t) => {
  const owner = await Owner.start(t);
  const at = await owner.offer(7);
  const mappings = new Mappings(addon);
  t.deepEqual(read(mappings, at), [7]);
  t.is(mappings.view({ at, begin: 4_000, end: 5_001 }).byteLength, 1_001);
  t.is(mappings.digest(whole(at)), addon.digest(new Uint8Array(size).fill(7)));
  t.false(mappings.has(whole(at, size + 1)), 'bytes that the segment does not have');
});

test('once a step is over, its places are those of other blobs, and whoever reads late notices', async (t) => {
  const owner = await Owner.start(t);
  const mappings = new Mappings(addon);
  const first = await owner.offer(1, { step: 1 });
  t.deepEqual(read(mappings, first), [1]);
  const second = await owner.offer(2, { step: 2, over: 1 });
  t.not(memoryPlace(second).segment, memoryPlace(first).segment, 'step 1 is not over');
  const third = await owner.offer(3, { step: 3, over: 2 });
  t.is(memoryPlace(third).segment, memoryPlace(first).segment);
  t.false(mappings.has(whole(first)));
  t.deepEqual(read(mappings, second), [2]);
  t.deepEqual(read(mappings, third), [3]);
});

test('memory that no step needs for long is given back', (t) => {
  const own = new OwnMemory(addon);
  t.teardown(() => own.close());
  const first = own.reserve(size, 1);
  own.reserve(size / 2, 1);
  const both = own.bytes;
  own.forgetBefore(2);
  t.is(memoryPlace(own.reserve(size, 2)).segment, memoryPlace(first).segment);
  t.is(own.bytes, both);
  for (let step = 3; step < 3 * spareReservations; step++) {
    own.forgetBefore(step);
    own.reserve(size, step);
  }
  t.true(own.bytes < both, 'the smaller one was not used for long');
  t.true(own.bytes >= size);
});

test('a mapping is kept while it is used, and given back some steps later', async (t) => {
  const owner = await Owner.start(t);
  const at = await owner.offer(1);
  const { segment } = memoryPlace(at);
  const mappings = new Mappings(addon);
  for (let step = 0; step < 3 * idleSweeps; step++) {
    t.true(mappings.has(whole(at)));
    mappings.sweep();
  }
  t.is(mapped(segment), 1);
  for (let step = 0; step <= idleSweeps; step++) mappings.sweep();
  await new Promise((resolve) => setImmediate(resolve));
  t.is(mapped(segment), 0);
  t.deepEqual(read(mappings, at), [1], 'it is mapped again');
});

test('a killed process leaves nothing, and what it offered is missing', async (t) => {
  const owner = await Owner.start(t);
  const [seen, unseen] = [await owner.offer(1), await owner.offer(2)];
  const mappings = new Mappings(addon);
  t.deepEqual(read(mappings, seen), [1]);
  await owner.kill();
  t.false(mappings.has(whole(unseen)));
  t.is(openMemory(memoryPlace(seen)), null);
  t.deepEqual(
    read(mappings, seen),
    [1],
    'pages that somebody has mapped stay, and nothing stops who reads them',
  );
  for (let step = 0; step <= idleSweeps; step++) mappings.sweep();
  t.false(mappings.has(whole(seen)));
  const left = readdirSync('/proc/self/fd').filter((fd) => isSegment(fd));
  t.deepEqual(left, [], 'and no descriptor is kept');
});

function isSegment(fd: string): boolean {
  try {
    return readlinkSync(`/proc/self/fd/${fd}`).startsWith('/memfd:cornet-');
  } catch {
    return false; // that of the listing itself
  }
}

test('an address of anything else is a missing blob, and nobody waits for it', (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'cornet-test-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  const pipe = join(folder, 'pipe');
  execFileSync('mkfifo', [pipe]);
  const fifo = openSync(pipe, 'r+');
  const own = new OwnMemory(addon);
  t.teardown(() => own.close());
  const right = memoryPlace(own.reserve(size, 1));
  const mappings = new Mappings(addon);
  const { pid } = process;
  const addresses = [
    `memory:${pid}:${fifo}:${right.segment}:1`,
    `memory:${pid}:${right.fd}:another:1`,
    `memory:${pid}:${right.fd}:../../etc/passwd:1`,
    `memory:${pid}:0:${right.segment}:1`,
    `memory:${pid}:9999999999:${right.segment}:1`,
    `memory:1:0:${right.segment}:1`,
    `memory:9999999999:3:${right.segment}:1`,
    `memory:${pid}:${right.fd}:${right.segment}:2`,
  ];
  for (const at of addresses) t.false(mappings.has(whole(at)), at);
  t.true(mappings.has(whole(`memory:${pid}:${right.fd}:${right.segment}:1`)));
});

test('a reader that can open no file says so, and reads when it can', async (t) => {
  const owner = await Owner.start(t);
  const at = await owner.offer(1);
  const limited = ['-c', 'ulimit -n 200; exec "$0" "$@"', process.execPath, helper('memory-reader'), at];
  const { stdout } = await promisify(execFile)('bash', [...limited, String(size)]);
  t.deepEqual(stdout.split('\n'), ['OPEN_FILES_LIMIT', 'true', '']);
});

test('the digest is the same on every machine, and another one if any bit is', (t) => {
  const bytes = Uint8Array.from({ length: 1_000 }, (_, i) => (i * 31) % 251);
  const right = digestOf(bytes);
  for (const length of [0, 1, 127, 128, 129, 1_000])
    t.is(addon.digest(bytes.subarray(0, length)), digestOf(bytes.subarray(0, length)));
  const others = new Set([right]);
  for (let bit = 0; bit < 8 * bytes.length; bit++) {
    bytes[bit >> 3]! ^= 1 << (bit & 7);
    others.add(addon.digest(bytes));
    bytes[bit >> 3]! ^= 1 << (bit & 7);
  }
  t.is(others.size, 8 * bytes.length + 1);
  const swapped = Uint8Array.from(bytes);
  swapped.copyWithin(0, 128, 256);
  swapped.set(bytes.subarray(0, 128), 128);
  t.not(addon.digest(swapped), right, 'the order counts');
  t.not(addon.digest(bytes.subarray(0, 999)), addon.digest(Uint8Array.of(...bytes.subarray(0, 999), 0)));
});

/** As `digestOf` in addon.cc, word by word: two sums in each of 16 lanes. */
function digestOf(bytes: Uint8Array): string {
  const wrap = (value: bigint) => BigInt.asUintN(64, value);
  const row = 128;
  const padded = Buffer.alloc(row * (Math.floor(bytes.length / row) + 1));
  padded.set(bytes);
  const sums = Array.from({ length: 16 }, () => [0n, 0n] as [bigint, bigint]);
  for (let i = 0; i < padded.length / 8; i++) {
    const lane = sums[i % 16]!;
    lane[0] = wrap(((lane[0] << 13n) | (lane[0] >> 51n)) + padded.readBigUInt64LE(8 * i));
    lane[1] = wrap(lane[1] + lane[0]);
  }
  let digest = BigInt(bytes.length);
  for (const sum of sums.flat()) {
    digest = wrap((digest ^ sum) * 0x100000001b3n);
    digest ^= digest >> 32n;
  }
  return digest.toString(16).padStart(16, '0');
}

test('without an addon there is no shared memory, and the reason is named', (t) => {
  const nowhere = loadMemoryAddon([join(tmpdir(), 'cornet-nowhere')]);
  t.regex('missing' in nowhere ? nowhere.missing : '', /memory addon has not been built: there is none in/);
  t.not(openMappings(), null);
});

const asRoot = possible(
  process.getuid?.() === 0 && existsSync('/usr/bin/unshare'),
  'no namespaces: root is needed',
)
  ? test
  : test.skip;

asRoot('processes of another PID namespace, or another user, are told apart', (t) => {
  const script = `import('${join(packageRoot, 'dist', 'shared', 'wire', 'memory.js')}').then((m) => console.log(m.memoryNamespace()))`;
  const said = (enter: string[], uid = 0) => {
    const [program, ...argv] = [...enter, process.execPath, '-e', script];
    return execFileSync(program!, argv, { uid, encoding: 'utf8', cwd: '/' }).trim();
  };
  t.is(said([]), memoryNamespace()!);
  t.not(said(['unshare', '--pid', '--fork', '--mount-proc']), memoryNamespace()!);
  t.is(said(['unshare', '--pid', '--fork']), 'null', 'whose /proc is that of other processes');
  t.not(said([], 65_534), memoryNamespace()!);
});

asRoot('a container with a small /dev/shm has as much shared memory as it needs', (t) => {
  const script = `import('${join(packageRoot, 'dist', 'worker', 'memory', 'own-memory.js')}').then(({ shareMemory }) => {
    console.log(shareMemory(console.error).own.reserve(200 * 1024 * 1024, 1));
  })`;
  const mount = 'mount -t tmpfs -o size=64m tmpfs /dev/shm && exec "$0" -e "$1"';
  const at = execFileSync('unshare', ['--mount', 'bash', '-c', mount, process.execPath, script], {
    encoding: 'utf8',
  });
  t.regex(at, /^memory:\d+:\d+:/);
});
