import test from 'ava';
import type { Redis } from 'ioredis';
import { Orders } from '../../coordinator/conduct/orders.ts';
import type { RunAction, RunEvent } from '../../coordinator/protocol/run-events.ts';
import type { SeenWorker } from '../../coordinator/protocol/waiting.ts';
import { CornetError } from '../../shared/errors.ts';
import type { AnyConfig } from '../../shared/run-config.ts';
import { type Answer, readAnswer, type Wanted } from '../../shared/wire/orders.ts';
import { trainingConfig } from '../helpers/training-config.ts';

/** What `set` and `get` do in Redis. */
class FakeRedis {
  readonly values = new Map<string, string>();

  set(key: string, value: string, _px: 'PX', _time: number, nx?: 'NX'): Promise<'OK' | null> {
    if (nx === 'NX' && this.values.has(key)) return Promise.resolve(null);
    this.values.set(key, value);
    return Promise.resolve('OK');
  }

  get(key: string): Promise<string | null> {
    return Promise.resolve(this.values.get(key) ?? null);
  }
}

interface FakeWorker {
  id: string;
  draining: boolean;
}

class Stage {
  readonly redis = new FakeRedis();
  readonly told: RunEvent[] = [];
  readonly run = { phase: 'computing' as const, step: 7, workers: [] as FakeWorker[] };
  readonly disk: { trouble: CornetError | null } = { trouble: null };
  readonly orders: Orders;
  #orders = 0;

  constructor(config: AnyConfig = trainingConfig) {
    this.orders = new Orders(
      {
        config,
        run: this.run as unknown as { phase: 'computing'; step: number; workers: SeenWorker[] },
        redis: this.redis as unknown as Redis,
        disk: this.disk,
        log: { info: () => undefined, warn: () => undefined },
        reporter: {
          say: () => undefined,
          latest: { checkpoint: { step: 6, age: 1, interval: 600 } },
        },
      },
      (event) => {
        this.told.push(event);
        if (event.type === 'drain') this.run.workers.find(({ id }) => id === event.worker)!.draining = true;
        this.orders.saw(event, []);
      },
    );
  }

  async give(wanted: Wanted, id = `order${++this.#orders}`): Promise<() => Answer | null> {
    await this.orders.take({ id, host: 'h', ...wanted });
    return () => this.answer(id);
  }

  answer(id: string): Answer | null {
    return readAnswer(this.redis.values.get(`cornet:answer:${id}`) ?? null);
  }

  serve(...ids: string[]): void {
    this.run.workers = ids.map((id) => ({ id, draining: false }));
  }
}

const saved = (step: number, outcome: 'written' | 'lost' | 'failed' = 'written'): RunEvent => ({
  type: 'saved',
  step,
  outcome,
});
const done = (step: number | null, worker: string | null = null): Answer => ({ state: 'done', worker, step });

function messageOf(answer: Answer | null): string {
  return answer?.state === 'failed'
    ? `${answer.error.message} ${answer.error.hint}`
    : `not failed: ${answer?.state}`;
}

test('a checkpoint is the one that is written next, of the step at which it was wanted or a later one', async (t) => {
  const stage = new Stage();
  const answer = await stage.give({ type: 'checkpoint' });
  t.deepEqual(stage.told, [{ type: 'save-due' }]);
  t.deepEqual(answer(), { state: 'taken' });
  stage.orders.saw(saved(5), []); // it was on its way to the disk
  stage.orders.saw(saved(8, 'lost'), []);
  t.deepEqual(answer(), { state: 'taken' });
  stage.orders.saw(saved(8), []);
  t.deepEqual(answer(), done(8));
});

test('a run that goes back to an earlier step writes the checkpoint there', async (t) => {
  const stage = new Stage();
  const answer = await stage.give({ type: 'checkpoint' });
  const ref = { name: 's', bytes: 0, digest: '', at: 'redis' };
  stage.orders.saw({ type: 'restored', step: 2, ref, validated: false }, []);
  stage.orders.saw(saved(3), []);
  t.deepEqual(answer(), done(3));
});

test('a disk that would not take the checkpoint is told, with its trouble', async (t) => {
  const stage = new Stage();
  const answer = await stage.give({ type: 'checkpoint' });
  stage.disk.trouble = new CornetError('DISK_FULL', 'It is full.');
  stage.orders.saw(saved(7, 'failed'), []);
  t.like(answer(), { state: 'failed', error: { code: 'DISK_FULL', message: 'It is full.' } });
});

test('without workers there is nothing newer to write', async (t) => {
  const stage = new Stage();
  Object.assign(stage.run, { phase: 'waiting' });
  stage.orders.saw(saved(7), []);
  t.regex(messageOf((await stage.give({ type: 'checkpoint' }))()), /^No worker serves the run at the moment/);
  t.deepEqual(stage.told, []);
});

test('an inference run refuses checkpoints and obeys a stop', async (t) => {
  const inference = { run: 'r', result: { task: { type: 'validation' } } } as unknown as AnyConfig;
  const stage = new Stage(inference);
  t.regex(messageOf((await stage.give({ type: 'checkpoint' }))()), /^An inference run has no checkpoints/);
  const answer = await stage.give({ type: 'stop' });
  t.like(stage.told, [{ type: 'stop' }]);
  t.deepEqual(answer(), { state: 'taken' });
});

test('a worker is named by the beginning of its id, which must be that of one', async (t) => {
  const stage = new Stage();
  stage.serve('aab', 'aac', 'aa');
  t.regex(messageOf((await stage.give({ type: 'drain', worker: 'x' }))()), /no worker x .* aab, aac, aa\./);
  t.regex(
    messageOf((await stage.give({ type: 'drain', worker: 'a' }))()),
    /^Several workers .* a: aab, aac, aa\./,
  );
  const answer = await stage.give({ type: 'drain', worker: 'aa' });
  t.deepEqual(stage.told, [{ type: 'drain', worker: 'aa' }]);
  t.deepEqual(answer(), { state: 'taken' });
  stage.run.workers = stage.run.workers.filter(({ id }) => id !== 'aa');
  stage.orders.saw(saved(8), []);
  t.deepEqual(answer(), done(null, 'aa'));
});

test('somebody stays: neither the only worker is drained nor the last one beside those that leave', async (t) => {
  const stage = new Stage();
  stage.serve('a');
  t.regex(messageOf((await stage.give({ type: 'drain', worker: 'a' }))()), /^Worker a is the last one/);
  stage.serve('a', 'b');
  const first = await stage.give({ type: 'drain', worker: 'a' });
  const twice = await stage.give({ type: 'drain', worker: 'a' });
  t.regex(messageOf((await stage.give({ type: 'drain', worker: 'b' }))()), /^Worker b is the last one/);
  // The other one died meanwhile.
  stage.run.workers = [{ id: 'a', draining: false }];
  stage.orders.saw(saved(8), []);
  for (const answer of [first, twice]) t.regex(messageOf(answer()), /^Worker a stays: it is the last one\./);
});

test('what is open when the run ends is answered with how it ended', async (t) => {
  const stage = new Stage();
  stage.serve('a', 'b');
  const answers = [
    await stage.give({ type: 'checkpoint' }),
    await stage.give({ type: 'drain', worker: 'a' }),
    await stage.give({ type: 'stop' }),
  ];
  stage.orders.ended(null);
  await stage.orders.answered;
  t.deepEqual(
    answers.map((answer) => answer()),
    [done(6), done(6, 'a'), done(6)],
  );
  t.deepEqual((await stage.give({ type: 'stop' }))(), done(6), 'it came too late, and is true');

  const failing = new Stage();
  const stop = await failing.give({ type: 'stop' });
  failing.orders.ended({ code: 'DISK_FULL', message: 'It is full.' });
  t.regex(messageOf(stop()), /^The run has ended with an error: It is full\. \[DISK_FULL\]/);
});

test('an order is obeyed once, and not at all when it was withdrawn', async (t) => {
  const stage = new Stage();
  await stage.give({ type: 'checkpoint' }, 'x');
  await stage.give({ type: 'checkpoint' }, 'x'); // the stream is read again
  t.is(stage.told.length, 1);
  stage.redis.values.set('cornet:answer:y', '{"state":"withdrawn"}');
  await stage.give({ type: 'stop' }, 'y');
  t.is(stage.told.length, 1);
  t.deepEqual(stage.answer('y'), { state: 'withdrawn' });
});

test('a Redis that comes back empty is told the answers again', async (t) => {
  const stage = new Stage();
  await stage.give({ type: 'checkpoint' }, 'x');
  stage.orders.saw(saved(7), []);
  await stage.give({ type: 'checkpoint' }, 'y');
  stage.redis.values.clear();
  const newEra: RunAction = { type: 'new-era', era: { term: 1, boot: 1 } };
  stage.orders.saw({ type: 'redis-replaced', empty: true }, [newEra]);
  t.deepEqual([stage.answer('x'), stage.answer('y')], [done(7), { state: 'taken' }]);
});
