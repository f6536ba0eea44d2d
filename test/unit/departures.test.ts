import test from 'ava';
import type { RunAction } from '../../coordinator/protocol/run-events.ts';
import { longWait, timeouts } from '../../shared/defaults.ts';
import type { UpBody } from '../../shared/wire/protocol.ts';
import { Computing, hello } from '../helpers/computing.ts';

test('workers that fall silent together make one new generation, and each of their lanes is given out once', (t) => {
  const lanes = 64;
  const computing = new Computing(lanes);
  const staying = computing.workers.slice(0, lanes / 2);
  const generation = computing.run.generation;
  const heard = timeouts.member + 1;
  computing.run.handle({ type: 'tick', heard: heard - 2 });
  for (const worker of staying) computing.say(worker, { type: 'beat', doing: 'computing' });
  const actions = computing.run.handle({ type: 'tick', heard });
  t.is(computing.run.generation, generation + 1);
  t.is(computing.run.phase, 'computing');
  const given = actions.filter((action) => action.type === 'job');
  t.deepEqual(
    given.map(({ job }) => job.type === 'shard' && job.lane).sort((a, b) => Number(a) - Number(b)),
    Array.from({ length: lanes / 2 }, (_, i) => lanes / 2 + i),
  );
  t.deepEqual([...new Set(given.map(({ worker }) => worker))].sort(), [...staying].sort());
  const [members, ...others] = actions.filter((action) => action.type === 'send').map(({ body }) => body);
  t.deepEqual(others, []);
  t.is(members!.type === 'members' && members!.dropped.length, lanes / 2);
});

test('one sentence says who is waited for, with what, since when and after what; a long wait is logged', (t) => {
  const computing = new Computing(2);
  const { run } = computing;
  const reason = 'its process ended (killed by SIGKILL)';
  run.handle({ type: 'tick', heard: 1_000 });
  const both = 'worker-0 (the vector of lane 0), worker-1 (the vector of lane 1)';
  t.is(run.sentence, `Computing gradients at step 0: waiting for ${both}, 1.0 s so far.`);

  t.deepEqual(
    run.workers.map(({ owes }) => owes),
    [0, 1].map((lane) => ({ what: 'vectors', lanes: [lane] })),
  );

  run.handle({ type: 'exited', worker: 'worker-1', reason });
  t.deepEqual(run.departed, [{ id: 'worker-1', reason }]);
  const logged: string[] = [];
  for (let heard = 2_000; heard <= longWait + 2 * timeouts.beat; heard += timeouts.beat) {
    computing.say('worker-0', { type: 'beat', doing: 'computing' });
    const actions = run.handle({ type: 'tick', heard });
    logged.push(...actions.flatMap((action) => (action.type === 'log' ? [action.message] : [])));
  }
  const because = (id: number) => `after worker worker-${id} was dropped: ${reason}.`;
  const waiting =
    'Computing gradients at step 0: waiting for worker-0 (the vectors of lanes 0, 1), 10 s so far';
  t.deepEqual(logged, [`${waiting}, ${because(1)}`]);

  run.handle({ type: 'exited', worker: 'worker-0', reason });
  const ref = { name: 'snapshot', bytes: 1, digest: '0', at: 'redis' };
  run.handle({ type: 'restored', step: 0, ref, validated: true });
  run.handle({ type: 'tick', heard: longWait + 4 * timeouts.beat });
  t.is(run.sentence, `Waiting at step 0 for a worker to join, 2.0 s so far, ${because(0)}`);
});

test('of many workers the sentence names some, and counts the others', (t) => {
  const { run } = new Computing(64);
  const named = Array.from({ length: 8 }, (_, i) => `worker-${i} (the vector of lane ${i})`);
  t.is(run.sentence, `Computing gradients at step 0: waiting for ${named.join(', ')} and 56 more.`);
});

test('a worker that dies at a shard given ahead counts, although its last update was not heard of', (t) => {
  const computing = new Computing(1);
  const { run } = computing;
  const ref = { name: 'snapshot', bytes: 1, digest: '0', at: 'redis' };
  const scores = { loss: 1, top1: 0, top5: 0, count: 1 };
  for (let death = 1; death <= 3; death++) {
    const worker = `worker-${death - 1}`;
    if (death > 1) {
      run.handle({ type: 'restored', step: 0, ref, validated: true });
      computing.say(worker, hello);
      computing.say(worker, { type: 'loaded', step: 0 });
    }
    computing.say(worker, { type: 'vector', step: 0, lane: 0, ref: null, ...scores });
    const { generation } = run;
    const given = computing.say(worker, { type: 'slice', step: 0, generation, ref: null, bad: null });
    t.true(given.some((action) => action.type === 'job' && action.job.step === 1));
    const actions = run.handle({ type: 'exited', worker, reason: 'its process ended (killed by SIGKILL)' });
    const end = actions.find((action) => action.type === 'finish');
    t.is(end?.outcome === 'failed' ? end.failure.code : null, death < 3 ? null : 'POISON_SHARD');
  }
});

test('newcomers whose snapshot died with its publisher get another one together', (t) => {
  const computing = new Computing(2);
  const [a, d] = computing.workers as [string, string];
  const { run } = computing;
  const at = (worker: string) => ({ bytes: 1, digest: '1', at: `unix:cornet-blobs-${worker}` });
  for (const worker of ['b', 'c']) computing.say(worker, hello);
  for (const [lane, worker] of [a, d].entries()) {
    const vector = { type: 'vector', step: 0, lane, loss: 1, top1: 0, top5: 0, count: 1 } as const;
    computing.say(worker, { ...vector, ref: { name: `vector-${lane}`, ...at(worker) } });
  }
  const { generation } = run;
  for (const worker of [a, d]) {
    computing.say(worker, {
      type: 'slice',
      step: 0,
      generation,
      ref: { name: 'slice', ...at(worker) },
      bad: null,
    });
  }
  for (const worker of [a, d]) computing.say(worker, { type: 'applied', step: 1 });
  computing.say(a, { type: 'snapshot-published', step: 1, ref: { name: 'snapshot', ...at(a) } });
  t.is(run.phase, 'loading');
  run.handle({ type: 'exited', worker: a, reason: 'killed' });
  const missing = {
    type: 'missing',
    what: 'snapshot',
    step: 1,
    generation: run.generation,
    lane: null,
  } as const;
  computing.say('b', missing);
  computing.say('c', missing);
  const actions = computing.say(d, {
    type: 'snapshot-published',
    step: 1,
    ref: { name: 'snapshot', ...at(d) },
  });
  const loads = actions.flatMap((action) =>
    action.type === 'send' && action.body.type === 'load' ? [action.body.workers] : [],
  );
  t.deepEqual(loads, [['b', 'c']]);
});

test('whoever is alone may reduce before it has said again what it computed before Redis was lost', (t) => {
  const computing = new Computing(2, 1);
  const [alone] = computing.workers as [string];
  const vector = (lane: number): UpBody => ({
    type: 'vector',
    step: 0,
    lane,
    ref: null,
    loss: 1,
    top1: 0,
    top5: 0,
    count: 1,
  });
  computing.say(alone, vector(0));
  const { generation } = computing.run;
  t.deepEqual(computing.say(alone, { type: 'slice', step: 0, generation, ref: null, bad: null }), []);
  const sent = computing
    .say(alone, vector(1))
    .flatMap((action) => (action.type === 'send' ? [action.body.type] : []));
  t.deepEqual(sent, ['apply']);
});

test('a snapshot is published again although the first that missed it was asked to leave', (t) => {
  const computing = new Computing(1, 3, ['worker-0']);
  const { run } = computing;
  run.handle({ type: 'drain', worker: 'worker-1' });
  const missing: UpBody = { type: 'missing', what: 'snapshot', step: 0, generation: 0, lane: null };
  computing.say('worker-1', missing);
  t.is(run.phase, 'loading', 'worker-2 may have it');
  computing.say('worker-2', missing);
  t.is(run.phase, 'publishing');
});

const lost = (left: number) =>
  ({ type: 'device-given-up', device: 'cuda:1', lastWords: 'no such GPU', left }) as const;
const endOf = (actions: RunAction[]) =>
  actions.flatMap((action) => (action.type === 'finish' ? [action] : []))[0];

test('a post that nobody can take is given up, and ends the run only where nobody is left', (t) => {
  const computing = new Computing(2);
  const { run } = computing;
  for (const left of [1, 0]) {
    const actions = run.handle(lost(left));
    t.deepEqual(actions, [
      {
        type: 'log',
        level: 'warn',
        message: 'The local worker on cuda:1 is given up, and the run continues without it: no such GPU',
      },
    ]);
  }
  for (const worker of computing.workers) run.handle({ type: 'exited', worker, reason: 'killed' });
  const ref = { name: 'snapshot', bytes: 1, digest: '0', at: 'redis' };
  t.is(endOf(run.handle({ type: 'restored', step: 0, ref, validated: true })), undefined);
  t.is(
    endOf(run.handle({ type: 'tick', heard: timeouts.join })),
    undefined,
    'one from elsewhere may come back',
  );
  const end = endOf(run.handle({ type: 'tick', heard: timeouts.join + 1 }));
  t.deepEqual(end, {
    type: 'finish',
    outcome: 'failed',
    failure: { code: 'WORKER_FAILED', message: 'A local worker cannot start: no such GPU' },
  });
});

test('where the last post is given up and nobody else is there, the run ends at once', (t) => {
  const computing = new Computing(1);
  const { run } = computing;
  run.handle({ type: 'exited', worker: 'worker-0', reason: 'killed' });
  const end = endOf(run.handle(lost(0)));
  t.is(end?.outcome === 'failed' ? end.failure.code : null, 'WORKER_FAILED');
});

test('of two looks at the last checkpoint the run waits for the later one', (t) => {
  const computing = new Computing(1);
  const { run } = computing;
  const early = { name: 'early', bytes: 1, digest: '0', at: 'redis' };
  const late = { ...early, name: 'late' };
  const typesOf = (actions: RunAction[]) => actions.map(({ type }) => type);
  const died = run.handle({ type: 'exited', worker: 'worker-0', reason: 'killed' });
  t.is(typesOf(died).filter((type) => type === 'restore').length, 1);
  // What is being written meanwhile may be a later step's.
  t.false(typesOf(run.handle({ type: 'redis-replaced', empty: true })).includes('restore'));
  t.deepEqual(run.handle({ type: 'restored', step: 0, ref: early, validated: true }), [
    { type: 'delete', refs: [early] },
    { type: 'restore' },
  ]);
  t.is(run.phase, 'restoring');
  run.handle({ type: 'restored', step: 1, ref: late, validated: true });
  t.deepEqual([run.phase, run.step], ['waiting', 1]);
});

test('whoever waits for a post that is given up waits no longer', (t) => {
  const computing = new Computing(2);
  const { run } = computing;
  const ref = { name: 'snapshot', bytes: 1, digest: '0', at: 'redis' };
  for (const worker of computing.workers) run.handle({ type: 'exited', worker, reason: 'killed' });
  run.handle({ type: 'restored', step: 0, ref, validated: true });
  computing.say('another', hello);
  t.is(run.phase, 'waiting');
  run.handle(lost(1));
  t.is(run.phase, 'loading');
});

test('a device that fails computing counts as a death at its shard', (t) => {
  const computing = new Computing(1, 3);
  const bye: UpBody = {
    type: 'bye',
    reason: 'its device failed',
    error: { code: 'DEVICE_FAILED', message: 'Xid 79' },
  };
  const ends = computing.workers.map((worker) => endOf(computing.say(worker, bye)));
  t.deepEqual(ends.slice(0, 2), [undefined, undefined]);
  t.is(ends[2]?.outcome === 'failed' ? ends[2].failure.code : null, 'POISON_SHARD');
});

test('a worker that was asked to leave does not count as a death', (t) => {
  const computing = new Computing(1, 3);
  const bye: UpBody = { type: 'bye', reason: 'received SIGTERM', error: null };
  for (const worker of computing.workers) t.is(endOf(computing.say(worker, bye)), undefined);
});

test('a worker whose vectors nobody can read is dropped, and the others go on without it', (t) => {
  const computing = new Computing(2);
  const [a, b] = computing.workers as [string, string];
  const { run } = computing;
  const vector = (worker: string, lane: number) => {
    const ref = { name: `vector-${lane}`, bytes: 64, digest: '1', at: 'unix:cornet-blobs-x' };
    const scores = { loss: 1, top1: 0, top5: 0, count: 1 };
    computing.say(worker, { type: 'vector', step: 0, lane, ref, ...scores });
  };
  vector(a, 0);
  vector(b, 1);
  while (run.workers.length === 2 && run.generation < 20) {
    const { generation } = run;
    computing.say(b, { type: 'missing', step: 0, generation, what: 'vector', lane: 0 });
    vector(a, 0);
  }
  t.deepEqual(
    run.workers.map(({ id }) => id),
    [b],
  );
  t.is(run.phase, 'computing');
  t.is(run.stopping, null);
});
