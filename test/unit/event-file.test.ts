import { appendFileSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { noFence } from '../../coordinator/disk/durable-file.ts';
import { EventFile } from '../../coordinator/tracking/event-file.ts';
import {
  imageEvent,
  scalarEvent,
  sessionEndEvent,
  sessionStartEvent,
} from '../../coordinator/tracking/events.ts';
import { hyperparametersOf } from '../../coordinator/tracking/hyperparameters.ts';
import { crc32c, frame, maskedCrc, readRecords } from '../../coordinator/tracking/records.ts';
import { type Scalars, scalarsOf } from '../../coordinator/tracking/scalars.ts';
import { TensorBoard } from '../../coordinator/tracking/tensorboard.ts';
import { CornetError } from '../../shared/errors.ts';
import { readMessage } from '../../shared/formats/proto.ts';
import { possible } from '../helpers/possible.ts';
import { canMount, fillDisk, smallDisk, temporaryFolder } from '../helpers/temporary.ts';
import { trainingConfig } from '../helpers/training-config.ts';

const options = { fence: noFence, clock: () => 1_700_000_000_000, host: 'node7' };

function line(kind: Scalars['kind'], step: number, value = step + 0.5): Scalars {
  return { kind, step, values: [{ tag: `${kind}/loss`, value }] };
}

/** What metrics.jsonl has: every step, and a validation after every second one. */
function linesUpTo(last: number): Scalars[] {
  return Array.from({ length: last }, (_, i) => i + 1).flatMap((step) =>
    step % 2 === 0 ? [line('train', step), line('validation', step)] : [line('train', step)],
  );
}

async function bring(file: EventFile, lines: readonly Scalars[]): Promise<void> {
  const missing = file.missing(lines);
  await file.append(
    missing.map((scalars) => scalarEvent(1, scalars)),
    missing,
  );
}

/** The one that is not empty; at most one is, for whoever still has it open. */
function onlyFile(t: ExecutionContext, folder: string): string {
  const paths = readdirSync(folder).map((name) => join(folder, name));
  const full = paths.filter((path) => statSync(path).size > 0);
  t.is(full.length, 1, paths.join());
  t.true(paths.length <= 2, paths.join());
  return full[0]!;
}

/** The scalars in the only file of a folder, read by nothing that wrote them: `train/loss@3=3.5`. */
function scalarsIn(t: ExecutionContext, folder: string): string[] {
  const content = readFileSync(onlyFile(t, folder));
  const found: string[] = [];
  for (let place = 0; place < content.length; ) {
    const length = Number(content.readBigUInt64LE(place));
    const data = content.subarray(place + 12, place + 12 + length);
    t.is(data.length, length, 'a record is torn');
    place += 16 + length;
    // Field 1, a double; field 2, the step, below 128; then a field of bytes, below 128 of them.
    t.deepEqual([data[0], data[9]], [0x09, 0x10]);
    if (data[11] !== 0x2a) continue; // the version
    const value = data.subarray(15);
    const tag = value.subarray(2, 2 + value[1]!).toString();
    if (tag.startsWith('_hparams_') || tag === 'train/images') continue;
    found.push(`${tag}@${data[10]}=${value.readFloatLE(3 + value[1]!)}`);
  }
  return found;
}

const told = (lines: readonly Scalars[]) =>
  lines.map(({ step, values: [first] }) => `${first!.tag}@${step}=${first!.value}`);

test('checksums are those of RFC 3720, masked as TensorFlow masks them', (t) => {
  t.is(crc32c(Buffer.from('123456789')), 0xe306_9283);
  t.is(crc32c(Buffer.alloc(32)), 0x8a91_36aa);
  t.is(crc32c(Buffer.alloc(32, 0xff)), 0x62a8_ab43);
  t.is(crc32c(Buffer.from(Array.from({ length: 32 }, (_, i) => i))), 0x46dd_794e);
  t.is(maskedCrc(Buffer.from('123456789')), ((0xe306_9283 >>> 15) + (0xe306_9283 << 17) + 0xa282_ead8) >>> 0);
});

test('a file has every line once, in its order, and its name sorts behind the former one', async (t) => {
  const folder = join(temporaryFolder(t), 'tensorboard');
  const first = await EventFile.open(folder, 0, options);
  await bring(first, linesUpTo(5));
  await bring(first, linesUpTo(6)); // as a reader that began anew brings them
  await first.close();
  t.deepEqual(scalarsIn(t, folder), told(linesUpTo(6)));
  const second = await EventFile.open(folder, 6, options);
  await second.close();
  t.deepEqual(scalarsIn(t, folder), told(linesUpTo(6)));
  t.true(second.path > first.path);
});

test('a file that was cut anywhere, or ends with anything, has every line once after a restore', async (t) => {
  const whole = join(temporaryFolder(t), 'tensorboard');
  const file = await EventFile.open(whole, 0, options);
  await file.append([sessionStartEvent(1, new Map([['model', 'Z']]))]);
  await bring(file, linesUpTo(6));
  await file.close();
  const content = readFileSync(file.path);
  // With other values, as without --deterministic: none of the former ones may stay.
  const doneAgain = [line('train', 4, 40), line('validation', 4, 41), line('train', 5, 50)];
  for (let length = 0; length <= content.length; length++) {
    const folder = join(temporaryFolder(t), 'tensorboard');
    const former = await EventFile.open(folder, 0, options);
    await former.close();
    const damage = length % 3 === 0 ? Buffer.alloc(0) : Buffer.alloc(40, length % 3 === 1 ? 0 : 0xa5);
    writeFileSync(former.path, Buffer.concat([content.subarray(0, length), damage]));
    const restored = await EventFile.open(folder, 3, options); // the checkpoint
    await bring(restored, linesUpTo(3));
    await bring(restored, doneAgain);
    await restored.close();
    t.deepEqual(scalarsIn(t, folder), told([...linesUpTo(3), ...doneAgain]), `cut at byte ${length}`);
  }
});

test('a changed bit ends what is kept, wherever it is', async (t) => {
  const folder = join(temporaryFolder(t), 'tensorboard');
  const file = await EventFile.open(folder, 0, options);
  await bring(file, linesUpTo(4));
  await file.close();
  const content = readFileSync(file.path);
  for (let place = 0; place < content.length; place++) {
    const changed = Buffer.from(content);
    changed[place] = changed[place]! ^ 0x10;
    const path = join(temporaryFolder(t), 'changed');
    writeFileSync(path, changed);
    let end = 0;
    for await (const record of readRecords(path)) end = record.end;
    t.true(end <= place, `byte ${place}`);
  }
});

test('records beyond the step, the end of a session, and files that others left are not kept', async (t) => {
  const folder = join(temporaryFolder(t), 'tensorboard');
  const file = await EventFile.open(folder, 0, options);
  await file.append([sessionStartEvent(1, new Map())]);
  await bring(file, linesUpTo(4));
  const { size } = statSync(file.path);
  await file.append([sessionEndEvent(1, 'success')]);
  await file.close();
  writeFileSync(
    join(folder, 'events.out.tfevents.0000000001.node7'),
    'as a coordinator leaves it that is killed here',
  );
  const again = await EventFile.open(folder, 4, options);
  t.true(again.hasSession);
  t.is(statSync(again.path).size, size);
  await again.close();
  const back = await EventFile.open(folder, 1, options);
  t.deepEqual(scalarsIn(t, folder), told(linesUpTo(1)));
  t.deepEqual(back.missing(linesUpTo(2)), linesUpTo(2).slice(1));
  await back.close();
});

test('a file that does not begin as TensorBoard expects is begun anew', async (t) => {
  const folder = join(temporaryFolder(t), 'tensorboard');
  const file = await EventFile.open(folder, 0, options);
  await file.close();
  writeFileSync(file.path, frame(scalarEvent(1, line('train', 1))));
  const again = await EventFile.open(folder, 4, options);
  await bring(again, linesUpTo(2));
  await again.close();
  t.deepEqual(scalarsIn(t, folder), told(linesUpTo(2)));
  t.true(readFileSync(again.path).includes('brain.Event:2'));
});

test('a line that has two validations of one step gives one', async (t) => {
  const folder = join(temporaryFolder(t), 'tensorboard');
  const file = await EventFile.open(folder, 0, options);
  await bring(file, [line('train', 1), line('validation', 1), line('validation', 1), line('train', 2)]);
  await file.close();
  t.deepEqual(scalarsIn(t, folder), ['train/loss@1=1.5', 'validation/loss@1=1.5', 'train/loss@2=2.5']);
});

test('scalars have the names that users of PyTorch expect; what is not a number is left out', (t) => {
  const epoch = { epoch: 0.5 };
  t.deepEqual(
    scalarsOf({
      step: 3,
      ...epoch,
      'train/loss': 1,
      'train/top1': null,
      'train/learning_rate': 0.1,
      'train/images': 8,
    }),
    {
      kind: 'train',
      step: 3,
      values: [
        { tag: 'train/loss', value: 1 },
        { tag: 'train/learning_rate', value: 0.1 },
        { tag: 'epoch', value: 0.5 },
      ],
    },
  );
  t.deepEqual(scalarsOf({ step: 3, ...epoch, 'val/loss': 2, 'val/top5': 0.25, 'val/images': 20 }), {
    kind: 'validation',
    step: 3,
    values: [
      { tag: 'validation/loss', value: 2 },
      { tag: 'validation/top5', value: 0.25 },
    ],
  });
  t.is(scalarsOf({ step: 3 }), null);
});

test('hyperparameters are the result options, flat, without what the run does not have', (t) => {
  const found = hyperparametersOf({
    ...trainingConfig.result,
    classNames: ['a', 'b'],
    blur: 'x'.repeat(600),
  });
  t.is(found.get('model'), 'Z');
  t.is(found.get('startingWeights.from'), 'seed');
  t.is(found.get('betas'), '0.9, 0.999');
  t.is(found.get('deterministic'), false);
  t.is(String(found.get('blur')).length, 500);
  for (const name of ['classNames', 'scheduleEpochs', 'freeze', 'lrScale']) t.false(found.has(name), name);
});

test('numbers of any size stand in a message as they were', (t) => {
  const step = 2 ** 40 + 129;
  const fields = [...readMessage(scalarEvent(1.5, { ...line('train', step) }))];
  t.is(fields.find(({ field }) => field === 2)?.value, step);
  t.is((fields[0]!.value as Buffer).readDoubleLE(), 1.5);
});

/** A PNG file as far as its first chunk goes. */
const png = Buffer.concat([Buffer.alloc(16), Buffer.from([0, 0, 0, 5, 0, 0, 0, 7]), Buffer.alloc(8)]);

function board(folder: string, drawn: () => Promise<Buffer | null>) {
  let cancelled = 0;
  const place = new TensorBoard({
    ...options,
    folder,
    hyperparameters: new Map(),
    drawPicture: () => ({ png: drawn(), cancel: () => cancelled++ }),
  });
  return { place, cancelled: () => cancelled };
}

const record = (step: number) => ({ step, 'train/loss': step + 0.5 });

test('a picture is drawn once, after the first step, and stands in the file when the run ends', async (t) => {
  const folder = join(temporaryFolder(t), 'tensorboard');
  let drawn = 0;
  const draw = async () => {
    drawn++;
    return png;
  };
  const { place } = board(folder, draw);
  await place.restored(0);
  t.is(drawn, 0);
  await place.take([record(1)]);
  await place.take([record(2)]);
  await place.end('complete');
  await place.close();
  const again = board(folder, draw);
  await again.place.restored(2);
  await again.place.take([record(3)]);
  await again.place.close();
  t.is(drawn, 1);
  const image = frame(imageEvent(options.clock() / 1000, png));
  t.true(readFileSync(onlyFile(t, folder)).includes(image));
});

test('a picture that cannot be drawn is no reason to lack anything else, and is not tried at every step', async (t) => {
  const folder = join(temporaryFolder(t), 'tensorboard');
  let tried = 0;
  const { place, cancelled } = board(folder, async () => {
    tried++;
    return null;
  });
  await place.restored(0);
  for (const step of [1, 2, 3]) await place.take([record(step)]);
  await place.end('complete');
  await place.close();
  t.deepEqual([tried, cancelled()], [1, 1]);
  t.deepEqual(scalarsIn(t, folder), ['train/loss@1=1.5', 'train/loss@2=2.5', 'train/loss@3=3.5']);
});

(possible(canMount, 'no file system can be mounted (that takes root)') ? test : test.skip)(
  'a full disk is an error, after which the file ends with a whole record and takes the rest',
  async (t) => {
    const disk = smallDisk(t, 4 * 1024 ** 2);
    const folder = join(disk, 'tensorboard');
    const { place } = board(folder, async () => null);
    await place.restored(0);
    await place.take([record(1)]);
    const makeRoom = fillDisk(disk);
    // The rest of a page that the file has is room: more than that does not fit.
    await t.throwsAsync(
      async () => {
        for (let step = 2; step < 1_000; step++) await place.take([record(step)]);
      },
      { instanceOf: CornetError, code: 'DISK_FULL' },
    );
    const path = onlyFile(t, folder);
    let end = 0;
    for await (const record of readRecords(path)) end = record.end;
    t.is(end, statSync(path).size);
    makeRoom();
    await place.restored(20);
    await place.take(Array.from({ length: 100 }, (_, i) => record(i + 1)));
    await place.close();
    t.deepEqual(
      scalarsIn(t, folder),
      Array.from({ length: 100 }, (_, i) => `train/loss@${i + 1}=${i + 1.5}`),
    );
  },
);

test('whoever lost the run folder writes nothing more', async (t) => {
  const folder = join(temporaryFolder(t), 'tensorboard');
  const fence = async () => {
    throw new CornetError('RUN_LOCKED', 'Another coordinator has the folder.');
  };
  const file = await EventFile.open(folder, 0, options);
  await file.close();
  appendFileSync(file.path, 'x');
  await t.throwsAsync(EventFile.open(folder, 0, { ...options, fence }), { code: 'RUN_LOCKED' });
  t.true(readFileSync(file.path, 'utf8').endsWith('x'));
});
