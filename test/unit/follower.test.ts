import {
  appendFileSync,
  existsSync,
  readdirSync,
  renameSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { noFence } from '../../coordinator/disk/durable-file.ts';
import { eventFacts } from '../../coordinator/tracking/events.ts';
import { type Ending, Follower, type Place } from '../../coordinator/tracking/follower.ts';
import { MetricsTail } from '../../coordinator/tracking/metrics-tail.ts';
import { readRecords } from '../../coordinator/tracking/records.ts';
import { TensorBoard } from '../../coordinator/tracking/tensorboard.ts';
import { CornetError } from '../../shared/errors.ts';
import { possible } from '../helpers/possible.ts';
import { until } from '../helpers/run.ts';
import { canMount, fillDisk, smallDisk, temporaryFolder } from '../helpers/temporary.ts';

const line = (step: number) => `{"step":${step},"train/loss":1}\n`;
const lines = (from: number, to: number) =>
  Array.from({ length: to - from + 1 }, (_, i) => line(from + i)).join('');
const steps = (from: number, to: number) => Array.from({ length: to - from + 1 }, (_, i) => from + i);

/** The steps of all lines that are there now. */
async function read(tail: MetricsTail): Promise<number[]> {
  const found: number[] = [];
  for (let piece = await tail.next(); piece !== null; piece = await tail.next()) {
    found.push(...piece.records.map(({ step }) => step));
    tail.taken(piece);
  }
  return found;
}

test('a line is read once it is whole, and damaged ones are passed over', async (t) => {
  const path = join(temporaryFolder(t), 'metrics.jsonl');
  const tail = new MetricsTail(path);
  t.is(await tail.next(), null, 'no file');
  const text = `${line(1)}nonsense\nnull\n${line(2)}`;
  const found: number[] = [];
  for (const byte of Buffer.from(text)) {
    appendFileSync(path, Buffer.from([byte]));
    found.push(...(await read(tail)));
  }
  t.deepEqual(found, [1, 2]);
});

test('a piece comes again until it is taken', async (t) => {
  const path = join(temporaryFolder(t), 'metrics.jsonl');
  writeFileSync(path, lines(1, 2));
  const tail = new MetricsTail(path);
  t.deepEqual(await tail.next(), await tail.next());
  t.deepEqual(await read(tail), [1, 2]);
});

test('a long file comes in pieces, and what is no line at all does not pile up', async (t) => {
  const path = join(temporaryFolder(t), 'metrics.jsonl');
  writeFileSync(path, `${lines(1, 5_000)}${'x'.repeat(200_000)}\n${lines(5_001, 5_002)}`);
  const tail = new MetricsTail(path);
  t.true((await tail.next())!.records.length < 5_000);
  t.deepEqual(await read(tail), steps(1, 5_002));
});

test('a file that was replaced, or cut, is read from its beginning', async (t) => {
  const path = join(temporaryFolder(t), 'metrics.jsonl');
  writeFileSync(path, lines(1, 4));
  const tail = new MetricsTail(path);
  t.deepEqual(await read(tail), [1, 2, 3, 4]);
  writeFileSync(`${path}.new`, lines(1, 5));
  renameSync(`${path}.new`, path);
  t.deepEqual(await read(tail), [1, 2, 3, 4, 5]);
  truncateSync(path, line(1).length);
  t.deepEqual(await read(tail), [1]);
});

/** Notes what it is told, and fails as often as it is said to. */
class Notes implements Place {
  readonly name = 'The place';
  readonly told: (string | number)[] = [];
  failures = 0;
  error: Error = new Error('It cannot');
  ended = false;

  async restored(step: number): Promise<void> {
    this.#mayFail();
    this.told.push(`restored ${step}`);
  }

  async take(records: readonly { step: number }[]): Promise<void> {
    this.#mayFail();
    this.told.push(...records.map(({ step }) => step));
  }

  async end(ending: Ending): Promise<void> {
    this.#mayFail();
    this.told.push(ending);
  }

  async close(): Promise<void> {
    this.ended = true;
  }

  #mayFail(): void {
    if (this.failures === 0) return;
    this.failures--;
    throw this.error;
  }
}

/** @param lastWords milliseconds that the end waits */
function follow<P extends Place>(t: ExecutionContext, place: P, lastWords = 60_000) {
  const path = join(temporaryFolder(t), 'metrics.jsonl');
  const said: string[] = [];
  const limits = { every: 1, firstPause: 1, longestPause: 4, silence: 100, lastWords };
  const follower = new Follower({
    place,
    metricsPath: path,
    tell: (level, sentence) => said.push(`${level}: ${sentence}`),
    notices: {
      note: (sentence) => t.log(sentence),
      warn: (sentence) => said.push(`warning: ${sentence}`),
    },
    limits,
  });
  const append = (from: number, to: number) => {
    appendFileSync(path, lines(from, to));
    follower.grown();
  };
  return { place, said, follower, path, append };
}

test('what is appended arrives in its order, and the end behind it', async (t) => {
  const { place, said, follower, append } = follow(t, new Notes());
  follower.restored(0);
  append(1, 3);
  await until('three lines are there', () => place.told.includes(3));
  append(4, 5);
  await until('five lines are there', () => place.told.includes(5));
  append(6, 6);
  await follower.close('complete');
  t.deepEqual(place.told, ['restored 0', ...steps(1, 6), 'complete']);
  t.deepEqual(said, []);
  t.true(place.ended);
});

test('trouble is said when it begins and when it is over, and costs nothing but time', async (t) => {
  const { place, said, follower, append } = follow(t, new Notes());
  follower.restored(0);
  append(1, 2);
  await until('two lines are there', () => place.told.includes(2));
  place.failures = 5;
  append(3, 4);
  await until('four lines are there', () => place.told.includes(4));
  await follower.close('interrupted');
  t.deepEqual(place.told, ['restored 0', ...steps(1, 4), 'interrupted']);
  t.deepEqual(said, [
    'warn: It cannot. The run continues; The place gets the rest later.',
    'info: The place takes metrics again.',
  ]);
});

test('a restore that fails is tried again before anything else is brought', async (t) => {
  const { place, follower, append } = follow(t, new Notes());
  place.failures = 3;
  append(1, 2);
  follower.restored(2);
  await follower.close('complete');
  t.deepEqual(place.told, ['restored 2', 1, 2, 'complete']);
});

test('after a restore the file is read from its beginning', async (t) => {
  const { place, follower, path, append } = follow(t, new Notes());
  follower.restored(0);
  append(1, 4);
  await until('four lines are there', () => place.told.includes(4));
  writeFileSync(`${path}.new`, lines(1, 2));
  renameSync(`${path}.new`, path);
  follower.restored(2);
  append(3, 5);
  await follower.close('complete');
  t.deepEqual(place.told.slice(-7), ['restored 2', 1, 2, 3, 4, 5, 'complete']);
});

(possible(canMount, 'no file system can be mounted (that takes root)') ? test : test.skip)(
  'a disk that is full for a while is said once, and TensorBoard has every step afterwards',
  async (t) => {
    const disk = smallDisk(t, 4 * 1024 ** 2);
    const folder = join(disk, 'tensorboard');
    const place = new TensorBoard({
      folder,
      hyperparameters: new Map(),
      drawPicture: () => ({ png: Promise.resolve(null), cancel: () => undefined }),
      fence: noFence,
      clock: () => 1_700_000_000_000,
      host: 'node7',
    });
    const { said, follower, append } = follow(t, place);
    follower.restored(0);
    append(1, 2);
    const bytes = () =>
      (existsSync(folder) ? readdirSync(folder) : []).map((name) => statSync(join(folder, name)).size)[0];
    await until('the session and two steps are there', () => (bytes() ?? 0) > 150);
    const makeRoom = fillDisk(disk);
    append(3, 2_000);
    await until('it is said', () => said.length === 1);
    append(2_001, 2_003);
    makeRoom();
    await until('it is over', () => said.length === 2);
    await follower.close('interrupted');
    t.regex(
      said[0]!,
      /^warn: Cannot write .*: no space is left on the device\. The run continues; TensorBoard gets /,
    );
    t.is(said[1], 'info: TensorBoard takes metrics again.');
    const found: number[] = [];
    for await (const { data } of readRecords(join(folder, readdirSync(folder)[0]!))) {
      const { kind, step } = eventFacts(data);
      if (kind === 'train') found.push(step);
    }
    t.deepEqual(found, steps(1, 2_003));
  },
);

test('after a restore the file is read anew even where it seems to be the same one', async (t) => {
  const { place, follower, append } = follow(t, new Notes());
  follower.restored(0);
  append(1, 4);
  await until('four lines are there', () => place.told.includes(4));
  follower.restored(4); // the number of a file that was deleted names another one
  append(5, 5);
  await follower.close('complete');
  t.deepEqual(place.told, ['restored 0', 1, 2, 3, 4, 'restored 4', 1, 2, 3, 4, 5, 'complete']);
});

test('a place that takes nothing holds up the end of a run for bounded time', async (t) => {
  const { place, said, follower, append } = follow(t, new Notes(), 50);
  place.failures = Number.POSITIVE_INFINITY;
  follower.restored(0);
  append(1, 2);
  await follower.close('complete');
  t.deepEqual(place.told, []);
  t.is(said.at(-1), 'warning: The place has not taken the last metrics: a resume brings what is missing.');
  t.true(place.ended);
});

test('a coordinator that has lost the run follows it no more', async (t) => {
  const { place, said, follower, append } = follow(t, new Notes());
  place.error = new CornetError('RUN_LOCKED', 'Another coordinator has the run.');
  place.failures = 1;
  follower.restored(0);
  append(1, 2);
  await follower.close('failed');
  t.deepEqual([place.told, said], [[], []]);
});

test('where no run began there is nothing to wait for', async (t) => {
  const { place, follower } = follow(t, new Notes());
  await follower.close('failed');
  t.deepEqual(place.told, []);
});
