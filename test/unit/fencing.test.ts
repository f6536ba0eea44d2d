import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import test, { type ExecutionContext } from 'ava';
import { Checkpoints } from '../../coordinator/checkpoints/checkpoints.ts';
import { RunFolder } from '../../coordinator/run-folder/run-folder.ts';
import { Draws } from '../../shared/random.ts';
import { isPaused, until } from '../helpers/run.ts';
import { temporaryFolder } from '../helpers/temporary.ts';
import { tinyLayout } from '../helpers/tiny-state.ts';

const host = 'here';
const elements = 64 * 1024;
const rounds = 12;

class Writer {
  readonly child: ChildProcess;
  readonly #lines: AsyncIterator<string>;

  constructor(t: ExecutionContext, path: string) {
    const argv = ['dist/test/helpers/run-writer.js', path, host, String(elements)];
    this.child = spawn(process.execPath, argv, { stdio: ['ignore', 'pipe', 'inherit'] });
    this.#lines = createInterface({ input: this.child.stdout! })[Symbol.asyncIterator]();
    t.teardown(() => this.child.kill('SIGKILL'));
  }

  /** A signal alone would leave a thread in the middle of a call for a while. */
  async pause(): Promise<void> {
    this.child.kill('SIGSTOP');
    await until('the writer has stopped', () => isPaused(this.child.pid!));
  }

  async line(): Promise<string> {
    return (await this.#lines.next()).value ?? '';
  }

  async lastLine(): Promise<string> {
    let last = '';
    for (let line = await this.line(); line !== ''; line = await this.line()) last = line;
    return last;
  }
}

/** Names, inodes, times of change and sizes of all that lies in a folder. */
function contentOf(folder: string): string[] {
  return readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter((name) => name !== 'checkpoints') // a folder's time tells of a partial file that came and went
    .map((name) => {
      const { ino, mtimeMs, size } = statSync(join(folder, name));
      return `${name} ${ino} ${mtimeMs} ${size}`;
    })
    .sort();
}

async function newRun(t: ExecutionContext): Promise<string> {
  const path = join(temporaryFolder(t), 'run');
  const run = await RunFolder.create(path, host);
  await run.writeConfig({});
  await run.release();
  return path;
}

test('a coordinator that stood still while another one took its run writes nothing more, whenever it stood', async (t) => {
  const draws = new Draws(11, 0);
  for (let round = 0; round < rounds; round++) {
    const path = await newRun(t);
    const older = new Writer(t, path);
    await older.line();
    await sleep(draws.between(0, 40));
    await older.pause();
    rmSync(join(path, 'lock'));
    const newer = new Writer(t, path);
    for (let i = 0; i < 3; i++) await newer.line();
    await newer.pause();
    const before = contentOf(path);

    older.child.kill('SIGCONT');
    t.regex(await older.lastLine(), /^RUN_LOCKED .*now names a coordinator on host here with process id \d+/);
    t.deepEqual(contentOf(path), before);

    newer.child.kill('SIGCONT');
    t.regex(await newer.line(), /^\d+$/, 'the newer one goes on');
    newer.child.kill('SIGKILL');
    await once(newer.child, 'exit');
    const checkpoints = await Checkpoints.open(join(path, 'checkpoints'), tinyLayout(elements), 2);
    t.truthy(await checkpoints.readLatest());
  }
});

test('a coordinator whose lock was deleted ends, and says so', async (t) => {
  const path = await newRun(t);
  const writer = new Writer(t, path);
  await writer.line();
  rmSync(join(path, 'lock'));
  t.regex(await writer.lastLine(), /^RUN_LOCKED .*\/lock was deleted/);
  t.false(existsSync(join(path, 'lock')));
});

test('a coordinator whose run folder was deleted says that, and nothing of its lock', async (t) => {
  const path = await newRun(t);
  const writer = new Writer(t, path);
  await writer.line();
  await writer.pause();
  rmSync(path, { recursive: true });
  writer.child.kill('SIGCONT');
  t.regex(await writer.lastLine(), /^FOLDER_NOT_WRITABLE The run folder .* was deleted during the run/);
});

test('the note of where the private Redis listens is not removed by a coordinator that has lost its run', async (t) => {
  const path = await newRun(t);
  const older = await RunFolder.open(path, host);
  rmSync(join(path, 'lock'));
  const newer = await RunFolder.open(path, host);
  await newer.rememberRedis('/tmp/x/redis.sock');
  await older.forgetRedis();
  await older.release();
  t.is(await newer.rememberedRedis(), '/tmp/x/redis.sock');
  await t.throwsAsync(older.writeConfig({ term: 1 }), { code: 'RUN_LOCKED' });
  t.is(JSON.parse(readFileSync(join(path, 'lock'), 'utf8')).pid, process.pid);
  await newer.release();
});
