import { spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { RunFolder } from '../../coordinator/run-folder/run-folder.ts';
import { RunLock } from '../../coordinator/run-folder/run-lock.ts';
import { checkOutputPlace } from '../../coordinator/training/output-place.ts';
import { CornetError } from '../../shared/errors.ts';
import { version } from '../../shared/process/version.ts';
import { possible } from '../helpers/possible.ts';
import { writeRunFolder } from '../helpers/report-runs.ts';
import { canMount, smallDisk, temporaryFolder } from '../helpers/temporary.ts';

const host = 'here';

/** A run folder as a coordinator that was killed leaves it. */
async function killedRun(t: ExecutionContext): Promise<string> {
  const path = join(temporaryFolder(t), 'run');
  const script = `
    import { RunFolder } from './dist/coordinator/run-folder/run-folder.js';
    const run = await RunFolder.create(${JSON.stringify(path)}, '${host}');
    await run.writeConfig({ id: 'abc' });
    console.log('ready');
    setInterval(() => {}, 1000);`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', script], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  await once(child.stdout, 'data');
  child.kill('SIGKILL');
  await once(child, 'exit');
  return path;
}

test('a run that was begun can be opened again, and holds what was written', async (t) => {
  const path = join(temporaryFolder(t), 'a', 'b');
  const run = await RunFolder.create(path, host);
  await run.writeConfig({ id: 'abc', seed: 0 });
  await run.release();

  const again = await RunFolder.open(path, host);
  t.deepEqual(await again.readConfig(), { id: 'abc', seed: 0 });
  await again.release();
  t.deepEqual(readdirSync(path), ['config.json']);
});

test("a run keeps its token from resume to resume, in a file for its owner's eyes", async (t) => {
  const path = join(temporaryFolder(t), 'run');
  const run = await RunFolder.create(path, host);
  await run.writeConfig({});
  t.is(await run.token(() => 'first'), 'first');
  await run.release();

  const again = await RunFolder.open(path, host);
  t.is(await again.token(() => 'second'), 'first');
  await again.release();
  t.is(statSync(join(path, 'token')).mode & 0o777, 0o600);
});

test('a folder that holds a run is refused without resume', async (t) => {
  const path = temporaryFolder(t);
  const run = await RunFolder.create(path, host);
  await run.writeConfig({});
  await run.release();
  const error = await t.throwsAsync(RunFolder.create(path, host), { instanceOf: CornetError });
  t.is(error?.code, 'RUN_EXISTS');
  t.true(error?.message.includes(path));
});

test('a run that a newer version went on with is refused with both versions', async (t) => {
  const run = await RunFolder.create(temporaryFolder(t), host);
  for (const later of ['99.0.0', '99.0.0-rc.1']) {
    await run.writeConfig({ version: later });
    const error = await t.throwsAsync(run.readConfig(), { instanceOf: CornetError });
    t.is(error?.code, 'RUN_FORMAT');
    t.true(error?.message.includes(`cornet-ts ${later}`) && error.message.includes(`(${version})`));
  }
  for (const earlier of [version, '0.0.9']) {
    await run.writeConfig({ version: earlier });
    t.deepEqual(await run.readConfig(), { version: earlier });
  }
  await run.release();
});

test('a run that lies below the folder given is named', async (t) => {
  const folder = temporaryFolder(t);
  const run = writeRunFolder(join(folder, 'run'));
  const error = await t.throwsAsync(RunFolder.peek(folder), { instanceOf: CornetError });
  t.is(error?.code, 'RUN_MISSING');
  t.is(error?.hint, `Below it is ${run}.`);
});

test('the folder of a new run may lie beside the images, but neither among them nor below a file', async (t) => {
  const root = temporaryFolder(t);
  const data = join(root, 'data');
  for (const split of ['train', 'val']) mkdirSync(join(data, split, 'a'), { recursive: true });
  symlinkSync('data', join(root, 'link'));
  writeFileSync(join(root, 'file'), '');
  const refused = async (outputPath: string, dataPath = data) =>
    (await t.throwsAsync(checkOutputPlace({ outputPath, dataPath }), { instanceOf: CornetError }))!;
  for (const good of [
    root,
    join(data, 'run'),
    join(data, 'training', 'x'),
    join(data, '..train'),
    join(root, 'r'),
  ]) {
    await t.notThrowsAsync(checkOutputPlace({ outputPath: good, dataPath: data }), good);
  }
  for (const bad of [
    data,
    `${data}/`,
    join(root, 'link'),
    join(data, 'train'),
    join(root, 'link/val/a/new'),
  ]) {
    const { code, message } = await refused(bad);
    t.is(code, 'OPTION_INVALID');
    t.regex(message, /: checkpoints would lie among them\.$/);
  }
  for (const below of ['file', 'file/run']) {
    const { message, hint } = await refused(join(root, below));
    const where = below === 'file' ? 'it' : join(root, 'file');
    t.is(message, `Cannot make the output folder ${join(root, below)}: ${where} is a file.`);
    t.regex(hint, /^-o \(--output-path\) names the folder of the run/);
  }
});

test('a folder that holds no run cannot be resumed', async (t) => {
  const error = await t.throwsAsync(RunFolder.open(temporaryFolder(t), host), { instanceOf: CornetError });
  t.is(error?.code, 'RUN_MISSING');
});

test('a run that never began leaves nothing behind', async (t) => {
  const folder = temporaryFolder(t);
  const run = await RunFolder.create(join(folder, 'a', 'b'), host);
  await run.release();
  t.deepEqual(readdirSync(folder), []);
});

test('a run that never began leaves folders alone that it did not make', async (t) => {
  const folder = temporaryFolder(t);
  mkdirSync(join(folder, 'mine'));
  await (await RunFolder.create(join(folder, 'mine'), host)).release();
  t.deepEqual(readdirSync(folder), ['mine']);
  t.deepEqual(readdirSync(join(folder, 'mine')), []);
});

test('a log in the folder of a run that never began is kept', async (t) => {
  const path = join(temporaryFolder(t), 'a');
  const run = await RunFolder.create(path, host);
  writeFileSync(run.logPath, 'x\n');
  await run.release();
  t.deepEqual(readdirSync(path), ['log.jsonl']);
});

test('an output path through a file is refused in words', async (t) => {
  const file = join(temporaryFolder(t), 'file');
  writeFileSync(file, '');
  for (const path of [file, join(file, 'below')]) {
    const error = await t.throwsAsync(RunFolder.create(path, host), { instanceOf: CornetError });
    t.is(error?.code, 'FOLDER_NOT_WRITABLE');
    t.true(error?.message.includes(path));
  }
});

(possible(process.getuid?.() === 0, 'this user is not root') ? test.serial : test.skip)(
  'an output path without write permission (shown when root can become somebody else) is refused in words',
  async (t) => {
    const folder = temporaryFolder(t);
    process.seteuid!(65534);
    try {
      const error = await t.throwsAsync(RunFolder.create(join(folder, 'run'), host), {
        instanceOf: CornetError,
      });
      t.is(error?.code, 'FOLDER_NOT_WRITABLE');
    } finally {
      process.seteuid!(0);
    }
  },
);

(possible(canMount, 'no file system can be mounted (that takes root)') ? test : test.skip)(
  'a full disk (needs the right to mount) is named before a run begins',
  async (t) => {
    const disk = smallDisk(t, 64 * 1024);
    writeFileSync(join(disk, 'big'), Buffer.alloc(64 * 1024));
    const error = await t.throwsAsync(RunFolder.create(join(disk, 'run'), host), { instanceOf: CornetError });
    t.is(error?.code, 'DISK_FULL');
    t.false(existsSync(join(disk, 'run')));
  },
);

test('a second coordinator on a live run is refused with host and process id of the first', async (t) => {
  const path = temporaryFolder(t);
  const run = await RunFolder.create(path, host);
  await run.writeConfig({});
  const error = await t.throwsAsync(RunFolder.open(path, host), { instanceOf: CornetError });
  t.is(error?.code, 'RUN_LOCKED');
  t.regex(error!.message, new RegExp(`host ${host} with process id ${process.pid}`));
  await run.release();
  await (await RunFolder.open(path, host)).release();
});

test('the lock of a killed coordinator on this host is taken over', async (t) => {
  const path = await killedRun(t);
  t.true(existsSync(join(path, 'lock')));
  const run = await RunFolder.open(path, host);
  t.is(JSON.parse(readFileSync(join(path, 'lock'), 'utf8')).pid, process.pid);
  await run.release();
  t.deepEqual(readdirSync(path), ['config.json']);
});

test('of several coordinators that find the lock of a dead one, exactly one gets it', async (t) => {
  const path = await killedRun(t);
  const results = await Promise.allSettled(Array.from({ length: 8 }, () => RunFolder.open(path, host)));
  const won = results.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []));
  for (const run of won) await run.release();
  const lost = results.flatMap((result) => (result.status === 'rejected' ? [result.reason.code] : []));
  t.is(won.length, 1);
  t.deepEqual(lost, Array(7).fill('RUN_LOCKED'));
});

test('the lock of a coordinator on another host is refused with what to do', async (t) => {
  const path = await killedRun(t);
  const error = await t.throwsAsync(RunFolder.open(path, 'elsewhere'), { instanceOf: CornetError });
  t.is(error?.code, 'RUN_LOCKED');
  t.true(error?.hint.includes(`delete ${join(path, 'lock')}`));
});

test('a lock whose process id now belongs to a later process is taken over', async (t) => {
  const path = join(temporaryFolder(t), 'lock');
  writeFileSync(path, JSON.stringify({ host, pid: process.pid, started: 'another boot/1' }));
  const lock = await RunLock.acquire(path, host, () => {});
  await lock.release();
  t.false(existsSync(path));
});

test('a lock that somebody else has taken meanwhile is not removed', async (t) => {
  const path = join(temporaryFolder(t), 'lock');
  const lock = await RunLock.acquire(path, host, () => {});
  writeFileSync(path, 'another');
  await lock.release();
  t.is(readFileSync(path, 'utf8'), 'another');
});

for (const [how, text] of [
  ['empty', ''],
  ['full of zeros', '\0'.repeat(150)],
  ['torn', '{"host":"he'],
] as const) {
  test(`a lock file that a power cut left ${how} is taken over with a warning`, async (t) => {
    const path = join(temporaryFolder(t), 'lock');
    writeFileSync(path, text);
    const said: string[] = [];
    const lock = await RunLock.acquire(path, host, (sentence) => said.push(sentence));
    t.is(said.length, 1);
    t.true(said[0]?.includes(path), said[0]);
    t.is(JSON.parse(readFileSync(path, 'utf8')).pid, process.pid);
    await lock.release();
  });
}

test('an empty lock file whose coordinator is alive is refused: the kernel knows', async (t) => {
  const path = join(temporaryFolder(t), 'lock');
  const lock = await RunLock.acquire(path, host, () => {});
  truncateSync(path);
  const error = await t.throwsAsync(
    RunLock.acquire(path, host, () => {}),
    { instanceOf: CornetError },
  );
  t.is(error?.code, 'RUN_LOCKED');
  await lock.release();
});

test('the private Redis of a killed coordinator is remembered until it is forgotten', async (t) => {
  const run = await RunFolder.create(temporaryFolder(t), host);
  t.is(await run.rememberedRedis(), null);
  await run.rememberRedis('/tmp/x/redis.sock');
  t.is(await run.rememberedRedis(), '/tmp/x/redis.sock');
  await run.forgetRedis();
  t.is(await run.rememberedRedis(), null);
  await run.release();
});
