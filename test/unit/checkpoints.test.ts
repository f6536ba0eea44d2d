import { type ChildProcess, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { cpSync, existsSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import test, { type ExecutionContext } from 'ava';
import { Checkpoints, type CheckpointToWrite } from '../../coordinator/checkpoints/checkpoints.ts';
import { CornetError } from '../../shared/errors.ts';
import { Draws } from '../../shared/random.ts';
import { alterSynced } from '../helpers/altering-disk.ts';
import { possible } from '../helpers/possible.ts';
import { canMount, smallDisk, temporaryFolder } from '../helpers/temporary.ts';
import { tinyLayout, tinyState } from '../helpers/tiny-state.ts';

const layout = tinyLayout();

function state(step: number, more: Partial<CheckpointToWrite> = {}): CheckpointToWrite {
  const body = tinyState(16, step);
  return { step, epoch: 1, body, identity: { lr: 0.1 }, keepForEver: false, validation: null, ...more };
}

const name = (step: number) => `step-${String(step).padStart(8, '0')}.safetensors`;
const stepsIn = (folder: string) =>
  readdirSync(folder)
    .filter((file) => file.endsWith('.safetensors'))
    .map((file) => Number(file.slice(5, 13)))
    .sort((a, b) => a - b);

test('a new folder has no checkpoint', async (t) => {
  const checkpoints = await Checkpoints.open(join(temporaryFolder(t), 'checkpoints'), layout, 3);
  t.is(checkpoints.latest, null);
  t.is(await checkpoints.readLatest(), null);
});

test('what was written is read back by a later coordinator', async (t) => {
  const folder = temporaryFolder(t);
  await (await Checkpoints.open(folder, layout, 3)).write(
    state(12, { identity: { b: 1, a: [2, { d: 3, c: 4 }] } }),
  );

  const read = await (await Checkpoints.open(folder, layout, 3)).readLatest();
  t.is(read?.path, join(folder, name(12)));
  t.is(read?.step, 12);
  t.is(read?.epoch, 1);
  t.is(read?.identity, '{"a":[2,{"c":4,"d":3}],"b":1}');
  t.deepEqual(Buffer.from(read!.body), Buffer.from(tinyState(16, 12)));
});

test('equal states are equal bytes, in any folder and after any history', async (t) => {
  const [one, two] = [temporaryFolder(t), temporaryFolder(t)];
  const first = await Checkpoints.open(one, layout, 3);
  await first.write(state(1));
  await first.write(state(2, { identity: { a: 1, b: 2 }, keepForEver: true }));
  const second = await Checkpoints.open(two, layout, 1);
  await second.write(state(2, { identity: { b: 2, a: 1 }, validation: { top1: 0.5, loss: 1 } }));
  t.deepEqual(readFileSync(join(one, name(2))), readFileSync(join(two, name(2))));
});

test('a checkpoint that is named only later is kept from then on', async (t) => {
  const folder = temporaryFolder(t);
  const before = await Checkpoints.open(folder, layout, 2);
  for (const step of [0, 1]) await before.write(state(step));
  const checkpoints = await Checkpoints.open(folder, layout, 1);
  await checkpoints.keep((step) => step === 1);
  t.deepEqual(
    (await Checkpoints.open(folder, layout, 1)).records.map(({ kept }) => kept),
    [false, true],
  );
  for (const step of [2, 3]) await checkpoints.write(state(step));
  t.deepEqual(stepsIn(folder), [1, 3]);
});

test('latest.json names the file, its SHA-256, its step and its validation', async (t) => {
  const folder = temporaryFolder(t);
  const checkpoints = await Checkpoints.open(folder, layout, 3);
  await checkpoints.write(state(4, { validation: { top1: 0.25, loss: 2 } }));
  const latest = JSON.parse(readFileSync(join(folder, 'latest.json'), 'utf8'));
  const sha256 = createHash('sha256')
    .update(readFileSync(join(folder, name(4))))
    .digest('hex');
  t.like(latest, { file: name(4), sha256, step: 4, validation: { top1: 0.25, loss: 2 } });
});

test('a validation whose loss is not finite can be read again, and any other is better', async (t) => {
  const folder = temporaryFolder(t);
  const first = await Checkpoints.open(folder, layout, 3);
  await first.write(state(1, { validation: { top1: 0.25, loss: Number.NaN } }));
  const again = await Checkpoints.open(folder, layout, 3);
  t.is(again.latest?.validation?.loss, Number.NaN);
  t.is((await again.readLatest())?.step, 1);
  await again.write(state(2, { validation: { top1: 0.25, loss: 9 } }));
  t.is(again.best?.step, 2);
});

test('the newest, those kept forever and the best stay, also across a restart', async (t) => {
  const folder = temporaryFolder(t);
  let checkpoints = await Checkpoints.open(folder, layout, 2);
  await checkpoints.write(state(1, { validation: { top1: 0.9, loss: 1 } }));
  await checkpoints.write(state(2, { keepForEver: true }));
  for (const step of [3, 4]) await checkpoints.write(state(step));
  t.deepEqual(stepsIn(folder), [1, 2, 3, 4]);

  checkpoints = await Checkpoints.open(folder, layout, 2);
  for (const step of [5, 6]) await checkpoints.write(state(step));
  t.deepEqual(stepsIn(folder), [1, 2, 5, 6]);
  t.deepEqual(
    checkpoints.records.map(({ step }) => step),
    [1, 2, 5, 6],
    'the records name each',
  );
  t.is(checkpoints.best?.step, 1);

  await checkpoints.write(state(7, { validation: { top1: 0.95, loss: 1 } }));
  t.deepEqual(stepsIn(folder), [2, 6, 7]);
});

test('the best is the one with higher top-1, then with lower loss, then the earlier', async (t) => {
  const folder = temporaryFolder(t);
  const checkpoints = await Checkpoints.open(folder, layout, 1);
  const bestAfter = async (step: number, top1: number, loss: number) => {
    await checkpoints.write(state(step, { validation: { top1, loss } }));
    t.is(JSON.parse(readFileSync(join(folder, 'best.json'), 'utf8')).step, checkpoints.best?.step);
    return checkpoints.best?.step;
  };
  t.is(await bestAfter(1, 0.5, 3), 1);
  t.is(await bestAfter(2, 0.4, 1), 1);
  t.is(await bestAfter(3, 0.5, 2), 3);
  t.is(await bestAfter(4, 0.5, 2), 3);
  t.is(await bestAfter(5, 0.6, 9), 5);
});

test('a step written again keeps its mark and its validation', async (t) => {
  const checkpoints = await Checkpoints.open(temporaryFolder(t), layout, 1);
  await checkpoints.write(state(3, { keepForEver: true, validation: { top1: 0.5, loss: 1 } }));
  const again = await checkpoints.write(state(3));
  t.true(again.kept);
  t.deepEqual(again.validation, { top1: 0.5, loss: 1 });
});

test('a run that went back forgets the later checkpoints, and replaces them as it passes them', async (t) => {
  const folder = temporaryFolder(t);
  const checkpoints = await Checkpoints.open(folder, layout, 2);
  for (const step of [1, 2, 3, 4, 5]) await checkpoints.write(state(step));
  await checkpoints.write(state(3));
  t.is((await Checkpoints.open(folder, layout, 2)).latest?.step, 3);
  await checkpoints.write(state(6));
  t.deepEqual(stepsIn(folder), [3, 6]);
});

test('a run that goes back to a checkpoint has it as its latest at once, wherever the file is', async (t) => {
  const folder = temporaryFolder(t);
  const checkpoints = await Checkpoints.open(folder, layout, 3);
  for (const step of [1, 2, 3]) await checkpoints.write(state(step));
  const elsewhere = join(temporaryFolder(t), 'copy.safetensors');
  cpSync(join(folder, name(1)), elsewhere);

  await checkpoints.goBack(await checkpoints.read(join(folder, name(2))));
  const later = await Checkpoints.open(folder, layout, 3);
  t.deepEqual(
    later.records.map(({ step }) => step),
    [1, 2],
  );
  t.deepEqual(stepsIn(folder), [1, 2, 3], 'the run has not passed the later one yet');

  await later.goBack(await later.read(elsewhere));
  const latest = await (await Checkpoints.open(folder, layout, 3)).readLatest();
  t.is(latest?.step, 1);
  t.deepEqual(readFileSync(join(folder, name(1))), readFileSync(elsewhere));
});

const damages: [string, (path: string) => void, RegExp][] = [
  ['torn', (path) => truncateSync(path, 100), /header is cut off/],
  [
    'cut at its end',
    (path) => truncateSync(path, readFileSync(path).length - 4),
    /4 bytes of data are missing/,
  ],
  ['altered by one bit', (path) => writeFileSync(path, flipLastBit(readFileSync(path))), /SHA-256/],
  ['deleted', (path) => rmSync(path), /does not exist/],
];
for (const [how, damage, message] of damages) {
  test(`a checkpoint that was ${how} is refused by name, and the one before is offered`, async (t) => {
    const folder = temporaryFolder(t);
    const writer = await Checkpoints.open(folder, layout, 3);
    for (const step of [1, 2, 3]) await writer.write(state(step));
    damage(join(folder, name(3)));

    const checkpoints = await Checkpoints.open(folder, layout, 3);
    const error = await t.throwsAsync(checkpoints.readLatest(), { instanceOf: CornetError, message });
    t.is(error?.code, 'CHECKPOINT_DAMAGED');
    t.true(error?.message.includes(join(folder, name(3))));
    t.true(error?.hint.includes(`--resume --restore-path ${join(folder, name(2))}`));
    t.is((await checkpoints.read(join(folder, name(2)))).step, 2);

    damage(join(folder, name(2)));
    const both = await t.throwsAsync(checkpoints.readLatest(), { instanceOf: CornetError });
    t.true(both?.hint.includes(join(folder, name(1))), 'only a good one is offered');
  });
}

test('a checkpoint of another model is refused with the first difference', async (t) => {
  const folder = temporaryFolder(t);
  await (await Checkpoints.open(folder, tinyLayout(8), 1)).write(state(1, { body: tinyState(8, 1) }));
  const error = await t.throwsAsync((await Checkpoints.open(folder, layout, 1)).readLatest(), {
    instanceOf: CornetError,
    message: /holds weight: F32 \[8\] where the model has weight: F32 \[16\]/,
  });
  t.is(error?.code, 'CHECKPOINT_DAMAGED');
});

test('a checkpoint of a later format is called that, not damaged', async (t) => {
  const folder = temporaryFolder(t);
  await (await Checkpoints.open(folder, layout, 3)).write(state(1));
  const path = join(folder, name(1));
  const later = readFileSync(path).toString('latin1').replace('"format_version":"1"', '"format_version":"2"');
  writeFileSync(join(folder, 'later.safetensors'), later, 'latin1');
  const reading = (await Checkpoints.open(folder, layout, 3)).read(join(folder, 'later.safetensors'));
  const error = await t.throwsAsync(reading, { instanceOf: CornetError });
  t.is(error?.code, 'RUN_FORMAT');
  t.regex(error!.message, /of format 2: a newer cornet-ts wrote it/);
});

test('a latest.json that makes no sense is refused by name', async (t) => {
  const folder = temporaryFolder(t);
  writeFileSync(join(folder, 'latest.json'), '{"file":"../../etc/passwd"}');
  const error = await t.throwsAsync(Checkpoints.open(folder, layout, 1), { instanceOf: CornetError });
  t.is(error?.code, 'CHECKPOINT_DAMAGED');
  t.true(error?.message.includes(join(folder, 'latest.json')));
});

(possible(canMount, 'no file system can be mounted (that takes root)') ? test : test.skip)(
  'a full disk (needs the right to mount) leaves the old checkpoints, no partial file, and says so',
  async (t) => {
    const elements = 64 * 1024;
    const folder = join(smallDisk(t, 640 * 1024), 'checkpoints');
    const checkpoints = await Checkpoints.open(folder, tinyLayout(elements), 3);
    const write = (step: number) => checkpoints.write(state(step, { body: tinyState(elements, step) }));
    await write(1);
    await write(2);
    const error = await t.throwsAsync(write(3), { instanceOf: CornetError, message: /no space is left/ });
    t.is(error?.code, 'DISK_FULL');
    t.deepEqual(readdirSync(folder).sort(), ['latest.json', name(1), name(2)]);
    t.is((await checkpoints.readLatest())?.step, 2);

    rmSync(join(folder, name(1)));
    t.is((await write(3)).step, 3, 'with room again the run can go on');
  },
);

test('a checkpoint that the disk alters is removed, and the older ones stay', async (t) => {
  const folder = temporaryFolder(t);
  const elements = 3 * 1024 * 1024 + 5; // more than is read at once, and no whole number of blocks
  const checkpoints = await Checkpoints.open(folder, tinyLayout(elements), 1);
  const write = (step: number) => checkpoints.write(state(step, { body: tinyState(elements, step) }));
  await write(1);
  const mend = await alterSynced(new RegExp(`^${folder}/step-.*partial$`));
  t.teardown(mend);
  for (const step of [1, 2]) {
    const error = await t.throwsAsync(write(step), {
      instanceOf: CornetError,
      message: /cannot be read back/,
    });
    t.is(error?.code, 'READ_BACK_DIFFERS');
    t.true(error?.message.includes(join(folder, name(step))));
    t.deepEqual(readdirSync(folder).sort(), ['latest.json', name(1)]);
    t.is((await checkpoints.readLatest())?.step, 1);
  }

  mend();
  t.is((await write(2)).step, 2, 'the run can go on');
  t.deepEqual(stepsIn(folder), [2]);
});

test('a writer killed at any moment leaves a whole latest checkpoint and nothing unfinished', async (t) => {
  const folder = temporaryFolder(t);
  const elements = 256 * 1024;
  const draws = new Draws(7, 0);
  let next = 1;
  let unfinished = 0;
  // A dozen kills, and more until one has hit a writer in the middle of a file.
  for (let round = 0; round < 12 || unfinished === 0; round++) {
    const writer = spawn(
      process.execPath,
      ['dist/test/helpers/checkpoint-writer.js', folder, `${elements}`, `${next}`],
      {
        stdio: ['ignore', 'pipe', 'inherit'],
      },
    );
    const acknowledged = await killAfterLine(t, writer, draws.between(0, 20));

    unfinished += readdirSync(folder).filter((file) => file.endsWith('.partial')).length;
    const checkpoints = await Checkpoints.open(folder, tinyLayout(elements), 2);
    t.deepEqual(
      readdirSync(folder).filter((file) => !/^(step-\d+\.safetensors|latest\.json|best\.json)$/.test(file)),
      [],
    );
    const latest = await checkpoints.readLatest();
    t.true(latest!.step >= acknowledged, 'what was acknowledged is there');
    t.true(Buffer.from(latest!.body).equals(tinyState(elements, latest!.step)));
    t.is((await checkpoints.read(join(folder, checkpoints.best!.file))).step, checkpoints.best!.step);
    for (let kept = 7; kept <= latest!.step; kept += 7) t.true(existsSync(join(folder, name(kept))));
    next = latest!.step + 1;
  }
});

/** Kills the process `delay` ms after its first line; the last number it wrote. */
async function killAfterLine(t: ExecutionContext, child: ChildProcess, delay: number): Promise<number> {
  t.teardown(() => child.kill('SIGKILL'));
  let last = 0;
  for await (const line of createInterface({ input: child.stdout! })) {
    if (last === 0) setTimeout(() => child.kill('SIGKILL'), delay);
    last = Number(line);
  }
  if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
  t.is(child.signalCode, 'SIGKILL');
  return last;
}

function flipLastBit(bytes: Buffer): Buffer {
  bytes[bytes.length - 1]! ^= 1;
  return bytes;
}
