import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { writeDurably } from '../../coordinator/disk/durable-file.ts';
import { LineFile } from '../../coordinator/disk/line-file.ts';
import { PatientDisk } from '../../coordinator/disk/patient-disk.ts';
import { MetricsFile } from '../../coordinator/run-folder/metrics-file.ts';
import { RunLog } from '../../coordinator/run-folder/run-log.ts';
import { diskPatience } from '../../shared/defaults.ts';
import { CornetError } from '../../shared/errors.ts';
import { possible } from '../helpers/possible.ts';
import { canMount, smallDisk, temporaryFolder } from '../helpers/temporary.ts';

function patientDisk(patience = 60_000) {
  const said: string[] = [];
  const time = { now: 0 };
  const say = (level: string, sentence: string) => void said.push(`${level}: ${sentence}`);
  const disk = new PatientDisk({ patience, now: () => time.now });
  disk.onTrouble(say);
  return { disk, said, time };
}

/** A file whose folder is missing until it is made. */
function missing(t: ExecutionContext) {
  const folder = join(temporaryFolder(t), 'missing');
  const path = join(folder, 'file');
  return { path, make: () => mkdirSync(folder), write: () => writeDurably(path, [Buffer.from('x')]) };
}

test('what the disk would not take is said once, and again when that has lasted, and its end', async (t) => {
  const { disk, said, time } = patientDisk();
  const { make, write } = missing(t);
  t.false(await disk.try('the file', write));
  t.false(await disk.try('the file', write));
  t.is(disk.trouble?.code, 'FOLDER_NOT_WRITABLE');
  t.is(said.length, 1);
  t.regex(said[0]!, /^error: Cannot write .* The run continues; what was written before is kept\.$/);
  time.now += diskPatience.repeat;
  t.false(await disk.try('the file', write));
  t.regex(said[1]!, /This persists\.$/);
  make();
  t.true(await disk.try('the file', write));
  t.is(disk.trouble, null);
  t.deepEqual(said.slice(2), ['info: The disk accepts writes again.']);
});

test('a result waits until the disk takes it', async (t) => {
  const { disk, said } = patientDisk();
  const { path, make, write } = missing(t);
  let tries = 0;
  const written = disk.insist('the file', async () => {
    if (++tries === 2) make();
    await write();
  });
  t.true(await written);
  t.is(tries, 2);
  t.is(readFileSync(path, 'utf8'), 'x');
  t.regex(said[1]!, /^error: Waiting for the disk to take the file, 60 s at most/);
});

test('a result waits no longer than it may, nor when the run ends, nor for what cannot pass', async (t) => {
  const { write } = missing(t);
  t.false(await patientDisk(0).disk.insist('the file', write));

  const { disk } = patientDisk();
  const waiting = disk.insist('the file', write, Number.POSITIVE_INFINITY);
  disk.close();
  t.false(await waiting);

  const cause = Object.assign(new Error('too large'), { code: 'EFBIG' });
  let tries = 0;
  const tooLarge = async () => {
    tries++;
    throw new CornetError('DISK_FULL', 'Too large.', { cause });
  };
  t.false(await patientDisk().disk.insist('the file', tooLarge));
  t.is(tries, 1);
});

test('what is no fault of the disk is thrown', async (t) => {
  const { disk } = patientDisk();
  const deleted = new CornetError('FOLDER_NOT_WRITABLE', 'The run folder was deleted during the run.');
  for (const error of [deleted, new CornetError('RUN_LOCKED', 'Lost.'), new TypeError('a mistake')]) {
    const write = () => Promise.reject(error);
    t.is(await t.throwsAsync(disk.try('the file', write)), error);
    t.is(await t.throwsAsync(disk.insist('the file', write)), error);
  }
});

(possible(canMount, 'no file system can be mounted (that takes root)') ? test : test.skip)(
  'lines that a full disk (needs the right to mount) would not take are written when there is room, in order',
  async (t) => {
    const folder = smallDisk(t, 64 * 1024);
    const metrics = await MetricsFile.open(join(folder, 'metrics.jsonl'), 0);
    await metrics.append({ step: 1 });
    t.throws(() => writeFileSync(join(folder, 'filler'), Buffer.alloc(64 * 1024)), { code: 'ENOSPC' });
    const long = 'x'.repeat(5_000); // more than what is left of the last block
    for (const step of [2, 3]) await t.throwsAsync(metrics.append({ step, long }), { code: 'DISK_FULL' });
    t.is(readFileSync(join(folder, 'metrics.jsonl'), 'utf8'), '{"step":1}\n');
    rmSync(join(folder, 'filler'));
    await metrics.sync();
    await metrics.append({ step: 4 });
    await metrics.close();
    const lines = readFileSync(join(folder, 'metrics.jsonl'), 'utf8').trimEnd().split('\n');
    t.deepEqual(
      lines.map((line) => JSON.parse(line).step),
      [1, 2, 3, 4],
    );
  },
);

test('a file of lines is opened anew when the disk has lost it', async (t) => {
  const path = join(temporaryFolder(t), 'lines');
  const file = await LineFile.open(path);
  await file.append(Buffer.from('one\n'));
  await file.close(); // as a network file system may do, the handle is of no use any more
  await t.throwsAsync(file.append(Buffer.from('two\n')));
  await file.append(Buffer.from('two\n'));
  t.is(readFileSync(path, 'utf8'), 'one\ntwo\n');
  await file.close();
});

test('a log that grows too long is continued in a new file, and one former is kept', (t) => {
  const folder = temporaryFolder(t);
  const log = new RunLog(join(folder, 'log.jsonl'), 2_000);
  const words = 'x'.repeat(100);
  for (let line = 0; line < 100; line++) log.main.info({ line }, words);
  log.close();
  t.deepEqual(readdirSync(folder).sort(), ['log.1.jsonl', 'log.jsonl']);
  const lines = ['log.1.jsonl', 'log.jsonl'].flatMap((name) => {
    const text = readFileSync(join(folder, name), 'utf8');
    t.true(text.length < 2_000 + 500);
    return text
      .trimEnd()
      .split('\n')
      .map((line) => (JSON.parse(line) as { line: number }).line);
  });
  t.deepEqual(
    lines,
    Array.from({ length: lines.length }, (_, i) => 100 - lines.length + i),
  );
});
