/** Which way vectors take, and what everybody reads: the quickest that all who read it can go. */
import test from 'ava';
import { type Common, Roster } from '../../coordinator/protocol/roster.ts';
import type { RunAction } from '../../coordinator/protocol/run-events.ts';
import type { BlobRef, DownBody, Hello } from '../../shared/wire/protocol.ts';
import { Computing, hello } from '../helpers/computing.ts';

const server = (id: string) => ({ id, addresses: [`${id}:1`], encrypted: false });
const serving = (worker: string): Partial<Hello> => ({ host: `host-of-${worker}`, tcp: server(worker) });
const result = { loss: 1, top1: 0, top5: 0, count: 1 };

/** Workers `worker-0`, …, all of them members. */
function rosterOf(carrier: Common['carrier'], ...workers: Partial<Hello>[]): Roster {
  const roster = new Roster(1, { version: '1', fingerprint: 'data', place: 'here', carrier, numerics: null });
  for (const [i, one] of workers.entries()) roster.add(`worker-${i}`, { ...hello, ...one }, 1, 0);
  for (const worker of roster.all) worker.status = 'member';
  return roster;
}

const carriersOf = (carrier: Common['carrier'], ...workers: Partial<Hello>[]) => {
  const roster = rosterOf(carrier, ...workers);
  return [roster.vectorCarrierOf('worker-0'), roster.carrierFor('worker-0')];
};
const carrierOfVectors = (...workers: Partial<Hello>[]) => carriersOf('auto', ...workers)[0];

test('vectors lie in shared memory when all members can map it', (t) => {
  const near = { place: 'here', memory: 'mine' };
  t.is(carrierOfVectors(near, near), 'memory');
  t.is(carrierOfVectors(near, { place: 'here' }), 'local', 'one has no addon');
  t.is(carrierOfVectors({ place: 'here' }, { place: 'here' }), 'local');
  t.is(carrierOfVectors(near, { place: 'here', memory: 'its own' }), 'local', 'one is in another container');
  t.is(carrierOfVectors(near, { place: 'there', memory: 'mine' }), 'redis');
});

test('blobs travel in the way that the user allows where it works, and through Redis elsewhere', (t) => {
  const near = { place: 'here', memory: 'mine' };
  t.deepEqual(carriersOf('auto', near, near), ['memory', 'local']);
  t.deepEqual(carriersOf('memory', near, near), ['memory', 'local']);
  t.deepEqual(carriersOf('memory', { place: 'here' }, near), ['redis', 'local']);
  t.deepEqual(carriersOf('local', near, near), ['local', 'local']);
  t.deepEqual(carriersOf('local', near, {}), ['redis', 'redis']);
  t.deepEqual(carriersOf('redis', near, near), ['redis', 'redis']);
  const far = serving('far');
  for (const [carrier, whereReached] of [
    ['auto', 'tcp'],
    ['memory', 'redis'],
    ['local', 'redis'],
    ['tcp', 'tcp'],
    ['redis', 'redis'],
  ] as const) {
    const roster = rosterOf(carrier, far, near);
    t.is(roster.vectorCarrierOf('worker-0'), 'redis', 'nobody has tried');
    for (const reader of [null, 'worker-1']) roster.reach.record(reader, 'worker-0', null);
    t.is(roster.vectorCarrierOf('worker-0'), whereReached);
    t.is(roster.carrierFor('worker-0'), whereReached);
  }
  const inOnePlace = rosterOf('tcp', { ...near, ...far }, near);
  for (const reader of [null, 'worker-1']) inOnePlace.reach.record(reader, 'worker-0', null);
  t.is(inOnePlace.vectorCarrierOf('worker-0'), 'tcp');
});

test('vectors go over TCP when all other members have reached their maker, what the coordinator reads when it has, and the newcomers that are to load it', (t) => {
  const roster = rosterOf('auto', serving('a'), serving('b'), {});
  const [, , third] = roster.all;
  third!.status = 'newcomer';
  roster.reach.record('worker-1', 'worker-0', null);
  t.is(roster.vectorCarrierOf('worker-0'), 'tcp');
  t.is(roster.vectorCarrierOf('worker-1'), 'redis', 'it was not tried');
  t.is(roster.vectorCarrierOf('worker-2'), 'redis', 'it serves nothing');
  t.is(roster.exchangeCarrier(roster.members), 'tcp', 'some do');
  t.is(roster.carrierFor('worker-0'), 'redis');
  roster.reach.record(null, 'worker-0', null);
  t.is(roster.carrierFor('worker-0'), 'tcp');
  t.is(roster.carrierFor('worker-0', ['worker-2']), 'redis', 'the newcomer has not tried');
  roster.reach.record('worker-2', 'worker-0', 'no route to host');
  t.is(roster.carrierFor('worker-0', ['worker-2']), 'redis');
  t.is(roster.carrierFor('worker-0'), 'tcp');
  t.is(roster.vectorCarrierOf('worker-0'), 'tcp');
  third!.status = 'member';
  t.is(roster.vectorCarrierOf('worker-0'), 'redis');
  roster.drop('worker-2', 'it left');
  t.is(roster.vectorCarrierOf('worker-0'), 'tcp', 'whoever is dropped reads nothing');
  t.is(roster.carrierFor('worker-0'), 'tcp');
  roster.reach.record('worker-1', 'worker-0', 'connection refused');
  t.is(roster.vectorCarrierOf('worker-0'), 'redis');
  roster.reach.record('worker-1', 'worker-0', null);
  roster.reach.record('nobody', 'worker-0', null);
  t.is(roster.vectorCarrierOf('worker-0'), 'tcp');
  roster.drop('worker-0', 'it left');
  const ref: BlobRef = { name: 'vector', bytes: 64, digest: '1', at: 'tcp:a' };
  t.false(roster.canReadVector(ref, 'worker-0'), 'what it served is gone with it');
});

test('memory that cannot be read three times in a step, though everything spoke for it, is used no more', (t) => {
  for (const [allowed, then, said] of [
    ['auto', 'local', 'vectors go over sockets from now on'],
    ['memory', 'redis', 'vectors go through Redis from now on'],
  ] as const) {
    const computing = new Computing(2, 2, undefined, {}, { place: 'here', memory: 'mine' }, allowed);
    let at = 0;
    let log = '';
    for (let time = 0; time < 3; time++) {
      for (const [lane, worker] of computing.workers.entries()) {
        const ref = { name: `vector-${lane}`, bytes: 64, digest: '1', at: `memory:1:1:segment:${++at}` };
        computing.say(worker, { type: 'vector', step: 0, lane, ref, ...result });
      }
      const { generation } = computing.run;
      const missing = { type: 'missing', step: 0, generation, what: 'vector', lane: 0 } as const;
      const actions = computing.say('worker-1', missing);
      t.deepEqual(
        [...new Set(jobsOf(actions).map(({ publish }) => publish))],
        [time < 2 ? 'memory' : then],
        `time ${time + 1}`,
      );
      log += actions.map((action) => (action.type === 'log' ? `${action.message}\n` : '')).join('');
    }
    t.is(log.split(`Shared memory could not be read, 3 times in one step: ${said}`).length, 2);
  }
});

interface ShardJob {
  worker: string;
  lane: number;
  publish: string | null;
}

function jobsOf(actions: readonly RunAction[]): ShardJob[] {
  return actions.flatMap((action) =>
    action.type === 'job' && action.job.type === 'shard'
      ? [{ worker: action.worker, lane: action.job.lane, publish: action.job.publish }]
      : [],
  );
}

function sent<Type extends DownBody['type']>(
  actions: readonly RunAction[],
  type: Type,
): (DownBody & { type: Type })[] {
  return actions.flatMap((action) =>
    action.type === 'send' && action.body.type === type ? [action.body as DownBody & { type: Type }] : [],
  );
}

/** Members that all serve TCP, and have reached each other before they computed. */
class Reached extends Computing {
  constructor(lanes: number, workers: number, except: [reader: string, worker: string, why: string][] = []) {
    super(lanes, workers, [], {}, serving);
    for (const reader of this.workers) {
      const others = this.workers.filter((worker) => worker !== reader);
      const why = (worker: string) => except.find(([r, w]) => r === reader && w === worker)?.[2] ?? null;
      this.say(reader, { type: 'reached', peers: others.map((worker) => ({ worker, why: why(worker) })) });
    }
  }

  /** Returns the jobs of step 0. */
  load(): ShardJob[] {
    return this.workers.flatMap((worker) => jobsOf(this.say(worker, { type: 'loaded', step: 0 })));
  }

  vector(worker: string, lane: number, at: string): RunAction[] {
    const ref = { name: `vector-${lane}`, bytes: 64, digest: '1', at };
    return this.say(worker, { type: 'vector', step: 0, lane, ref, ...result });
  }
}

test('whoever is not reached by all publishes through Redis, the others over TCP', (t) => {
  const run = new Reached(3, 3, [['worker-2', 'worker-1', 'connection refused']]);
  const jobs = run.load();
  t.deepEqual(
    jobs.map(({ publish }) => publish),
    ['tcp', 'redis', 'tcp'],
  );
  const actions = run.workers.flatMap((worker, lane) =>
    run.vector(worker, lane, lane === 1 ? 'redis' : `tcp:${worker}`),
  );
  const [reduce] = sent(actions, 'reduce');
  t.is(reduce?.carrier, 'tcp');
  t.deepEqual(reduce?.unreached, ['worker-1']);
});

test('what turns out not to be reached goes through Redis, all of it at once, and its maker stays', (t) => {
  const lanes = 12;
  const run = new Reached(lanes, 2);
  const jobs = run.load();
  t.true(jobs.every(({ publish }) => publish === 'tcp'));
  for (const { worker, lane } of jobs) run.vector(worker, lane, `tcp:${worker}`);
  const peers = [{ worker: 'worker-0', why: 'connection reset' }];
  t.deepEqual(jobsOf(run.say('worker-1', { type: 'reached', peers })), [], 'a step goes on as it was begun');
  const miss = () =>
    run.say('worker-1', {
      type: 'missing',
      step: 0,
      generation: run.run.generation,
      what: 'vector',
      lane: 0,
    });
  const again = jobsOf(miss());
  t.is(again.length, lanes / 2);
  t.true(again.every(({ worker, publish }) => worker === 'worker-0' && publish === 'redis'));
  // Of an earlier request, perhaps: nobody could read it.
  const late = run.vector('worker-0', 0, 'tcp:worker-0');
  t.true(late.some((action) => action.type === 'delete'));
  const actions = again.flatMap(({ worker, lane }) => run.vector(worker, lane, 'redis'));
  const [reduce] = sent(actions, 'reduce');
  t.is(reduce?.carrier, 'tcp');
  t.deepEqual(reduce?.unreached, ['worker-0']);
  t.true(
    reduce?.vectors.every(
      ({ worker, ref }) => ref?.at === (worker === 'worker-0' ? 'redis' : 'tcp:worker-1'),
    ),
  );
  t.is(run.run.workers.length, 2);
});

test('a server that comes and goes makes nobody leave the run', (t) => {
  const run = new Reached(2, 2);
  run.load();
  for (let time = 0; time < 20; time++) {
    run.say('worker-1', { type: 'reached', peers: [{ worker: 'worker-0', why: null }] });
    run.vector('worker-0', 0, 'tcp:worker-0');
    run.vector('worker-1', 1, 'tcp:worker-1');
    run.say('worker-1', { type: 'reached', peers: [{ worker: 'worker-0', why: 'no answer' }] });
    const { generation } = run.run;
    run.say('worker-1', { type: 'missing', step: 0, generation, what: 'vector', lane: 0 });
  }
  t.is(run.run.stopping, null);
  t.is(run.run.workers.length, 2);
});

test('vectors that a worker serves over TCP are computed again when it is gone', (t) => {
  const run = new Reached(3, 3);
  run.load();
  run.vector('worker-0', 0, 'tcp:worker-0');
  const actions = run.run.handle({ type: 'exited', worker: 'worker-0', reason: 'it died' });
  t.deepEqual(
    jobsOf(actions).map(({ lane }) => lane),
    [0],
  );
});

test('what was asked for through Redis is not asked for again when TCP comes to work', (t) => {
  const run = new Reached(3, 3, [['worker-2', 'worker-1', 'connection refused']]);
  run.load();
  run.say('worker-2', { type: 'reached', peers: [{ worker: 'worker-1', why: null }] });
  const actions = run.run.handle({ type: 'exited', worker: 'worker-2', reason: 'it died' });
  t.deepEqual(
    jobsOf(actions).map(({ lane }) => lane),
    [2],
  );
});

test('vectors computed ahead for members that were there are computed again for one that has not reached their maker', (t) => {
  const run = new Reached(2, 2);
  run.load();
  run.vector('worker-0', 0, 'tcp:worker-0');
  run.vector('worker-1', 1, 'tcp:worker-1');
  const { generation } = run.run;
  const ahead: ShardJob[] = [];
  for (const worker of run.workers) {
    const ref = { name: `slice-${worker}`, bytes: 64, digest: '1', at: `tcp:${worker}` };
    ahead.push(...jobsOf(run.say(worker, { type: 'slice', step: 0, generation, ref, bad: null })));
  }
  t.deepEqual(
    ahead.map(({ publish }) => publish),
    ['tcp', 'tcp'],
  );
  const newcomer = 'worker-2';
  run.say(newcomer, { ...hello });
  run.say('worker-0', { type: 'applied', step: 1 });
  const ref = { name: 'vector-0-ahead', bytes: 64, digest: '1', at: 'tcp:worker-0' };
  run.say('worker-0', { type: 'vector', step: 1, lane: 0, ref, ...result });
  const rest = run.say('worker-1', { type: 'applied', step: 1 });
  const [publish] = sent(rest, 'publish-snapshot');
  t.is(publish?.carrier, 'redis', 'the newcomer has reached nobody');
  const snapshot = { name: 'snapshot-1', bytes: 1, digest: '0', at: 'redis' };
  run.say(publish!.worker, { type: 'snapshot-published', step: 1, ref: snapshot });
  const again = jobsOf(run.say(newcomer, { type: 'loaded', step: 1 }));
  t.deepEqual(
    again.map(({ lane, publish }) => [lane, publish]),
    [
      [0, 'redis'],
      [1, 'redis'],
    ],
  );
});

test('a snapshot for the disk is asked of a member that the coordinator reaches', (t) => {
  const run = new Reached(1, 3, [['worker-2', 'worker-0', 'connection refused']]);
  const peers = run.workers.map((worker) => ({
    worker,
    why: worker === 'worker-0' ? 'connection refused' : null,
  }));
  run.run.handle({ type: 'reached', peers });
  run.load();
  run.vector('worker-0', 0, 'redis');
  run.run.handle({ type: 'save-due' });
  const { generation } = run.run;
  run.say('worker-0', { type: 'slice', step: 0, generation, ref: null, bad: null });
  const actions = run.workers.flatMap((worker) => run.say(worker, { type: 'applied', step: 1 }));
  const [publish] = sent(actions, 'publish-snapshot');
  t.is(publish?.worker, 'worker-1');
  t.is(publish?.carrier, 'tcp');
});

test('a run tells how vectors travel, and what keeps them from a quicker way', (t) => {
  const tell = (...parts: ConstructorParameters<typeof Computing>) => {
    const { carrier, why } = new Computing(...parts).run.exchange;
    return `${carrier}: ${why}`;
  };
  const near = { place: 'here', memory: 'mine' };
  t.is(tell(1, 1), 'null: null');
  t.is(tell(2, 2, undefined, {}, near), 'memory: null');
  t.is(tell(2, 2, undefined, {}, near, 'redis'), 'redis: null');
  t.is(tell(2, 2, undefined, {}, near, 'local'), 'local: null');
  t.is(tell(2, 2, undefined, {}, { place: 'here' }), 'local: worker worker-0 (host) shares no memory');
  const apart = (worker: string) => ({ place: 'here', memory: worker });
  t.is(
    tell(2, 2, undefined, {}, apart),
    'local: worker worker-1 (host) cannot map the memory of worker worker-0 (host)',
  );
  for (const carrier of ['memory', 'local'] as const)
    t.is(
      tell(2, 2, undefined, {}, {}, carrier),
      'redis: worker worker-0 (host) is in another place than the coordinator',
    );
  t.is(
    tell(2, 2),
    'redis: worker worker-0 (host) serves nothing over TCP (1 other worker is not reached by all either)',
  );
  t.is(
    tell(3, 3, undefined, {}, serving),
    'redis: worker worker-1 (host-of-worker-1) has not yet tried to reach worker worker-0 (host-of-worker-0) over TCP (2 other workers are not reached by all either)',
  );
  const run = new Reached(3, 3);
  run.load();
  t.deepEqual(run.run.exchange, { carrier: 'tcp', why: null });
  run.say('worker-2', { type: 'reached', peers: [{ worker: 'worker-1', why: 'connection refused' }] });
  t.deepEqual(run.run.exchange, {
    carrier: 'tcp',
    why: 'worker worker-2 (host-of-worker-2) cannot reach worker worker-1 (host-of-worker-1) over TCP: connection refused',
  });
});
