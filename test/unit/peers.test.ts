/** Workers are told where others serve blobs over TCP, try to reach them, and say what came of it. */
import test from 'ava';
import type { RunAction } from '../../coordinator/protocol/run-events.ts';
import { timeouts } from '../../shared/defaults.ts';
import type { DownBody, Hello } from '../../shared/wire/protocol.ts';
import { Member } from '../../worker/protocol/member.ts';
import { Computing, hello } from '../helpers/computing.ts';

const server = (id: string) => ({ id, addresses: [`${id}:1`], encrypted: false });
const serving = (worker: string): Partial<Hello> => ({ tcp: server(worker) });

const bodies = (actions: readonly RunAction[]): DownBody[] =>
  actions.flatMap((action) => (action.type === 'send' ? [action.body] : []));
const peersTold = (actions: readonly RunAction[]) =>
  bodies(actions).flatMap((body) => (body.type === 'peers' ? [body.peers.map(({ worker }) => worker)] : []));
const loading = (actions: readonly RunAction[]) =>
  bodies(actions).flatMap((body) => (body.type === 'load' ? body.workers : []));
const tried = (actions: readonly RunAction[]) =>
  actions.flatMap((action) => (action.type === 'try-peer' ? [action.worker] : []));
const said = (actions: readonly RunAction[]) =>
  actions.flatMap((action) => (action.type === 'log' ? [`${action.level}: ${action.message}`] : []));
const tick = ({ run }: Computing, heard: number) => run.handle({ type: 'tick', heard });

test('workers that come within a second are told of in one message, and the coordinator tries each at once', (t) => {
  const computing = new Computing(1, 0, []);
  t.deepEqual(tried(computing.say('a', { ...hello, ...serving('a') })), ['a']);
  t.deepEqual(peersTold(tick(computing, 1_000)), [], 'there is nobody to tell');
  t.deepEqual(tried(computing.say('b', { ...hello, ...serving('b') })), ['b']);
  t.deepEqual(tried(computing.say('c', hello)), []);
  t.deepEqual(peersTold(tick(computing, 2_000)), [['a', 'b']]);
  t.deepEqual(peersTold(tick(computing, 3_000)), [], 'all are told');
  computing.say('d', hello);
  t.deepEqual(peersTold(tick(computing, 4_000)), [['a', 'b']], 'it is to try the others');
  computing.run.handle({ type: 'redis-replaced', empty: true });
  const told = tick(computing, 5_000);
  t.deepEqual(peersTold(told), [['a', 'b']], 'messages may have been lost');
  t.deepEqual(tried(told), []);
});

test('nobody tries TCP while all are in one place, or where the user allows it not', (t) => {
  const near = { ...hello, place: 'here' };
  const computing = new Computing(1, 0, []);
  t.deepEqual(tried(computing.say('a', { ...near, ...serving('a') })), []);
  t.deepEqual(tried(computing.say('b', { ...near, ...serving('b') })), []);
  t.deepEqual(peersTold(tick(computing, 1_000)), []);
  t.deepEqual(tried(computing.say('c', hello)), ['a', 'b'], 'it is elsewhere');
  t.deepEqual(peersTold(tick(computing, 2_000)), [['a', 'b']]);
  for (const carrier of ['redis', 'local', 'memory'] as const) {
    const other = new Computing(1, 2, [], {}, serving, carrier);
    t.deepEqual(tried(other.say('c', { ...hello, ...serving('c') })), []);
    t.deepEqual(peersTold(tick(other, 1_000)), []);
  }
  t.deepEqual(tried(new Computing(1, 0, [], {}, {}, 'tcp').say('a', { ...near, ...serving('a') })), ['a']);
});

test('the log names the first that cannot be reached and counts the others, and says when it is reached again', (t) => {
  const computing = new Computing(1, 4, [], {}, (worker) => ({ host: `host-${worker}`, ...serving(worker) }));
  const reached = (...peers: [string, string | null][]) =>
    said(
      computing.say('worker-0', {
        type: 'reached',
        peers: peers.map(([worker, why]) => ({ worker, why })),
      }),
    );
  t.deepEqual(reached(['worker-1', 'connection refused'], ['worker-2', null], ['nobody', 'no such host']), [
    'warn: Worker worker-0 (host-worker-0) cannot reach worker worker-1 (host-worker-1) over TCP: connection refused. What worker-1 publishes goes through Redis.',
  ]);
  t.deepEqual(reached(['worker-1', 'no answer']), [], 'that is known');
  t.deepEqual(reached(['worker-1', null], ['worker-2', null]), [
    'info: Worker worker-0 (host-worker-0) reaches worker worker-1 (host-worker-1) over TCP again.',
  ]);
  t.deepEqual(reached(['worker-1', 'no answer'], ['worker-2', 'no answer'], ['worker-3', 'no answer']), [
    'warn: Worker worker-0 (host-worker-0) cannot reach worker worker-1 (host-worker-1) and 2 others over TCP: no answer. What they publish goes through Redis.',
  ]);
  const here = computing.run.handle({ type: 'reached', peers: [{ worker: 'worker-1', why: 'no answer' }] });
  t.deepEqual(said(here), [
    'warn: The coordinator cannot reach worker worker-1 (host-worker-1) over TCP: no answer. What worker-1 publishes for everybody goes through Redis.',
  ]);
});

test('a worker that only says whom it reaches is not taken to have delivered', (t) => {
  const computing = new Computing(2, 2, undefined, {}, serving);
  const delivered = () => computing.run.workers.map(({ deliveredAt }) => deliveredAt);
  const before = delivered();
  tick(computing, 1_000);
  computing.say('worker-0', { type: 'reached', peers: [{ worker: 'worker-1', why: null }] });
  t.deepEqual(delivered(), before);
  t.is(computing.run.workers[0]!.heardAt, 1_000);
});

/** A run of one worker, at step 1, which a newcomer has joined. */
class Joined extends Computing {
  /** @param during whether step 1 begins with a round, or is computed */
  constructor(during: 'round' | 'step', newcomer: Partial<Hello> = serving('newcomer')) {
    const plan = { totalSteps: 9, roundDue: (step: number) => during === 'round' && step === 1 };
    super(1, 1, undefined, plan, serving);
    this.doStep();
    this.run.handle({ type: 'reached', peers: [{ worker: 'worker-0', why: null }] });
    this.say('newcomer', { ...hello, ...newcomer });
  }

  /** All tries but one; returns the last. */
  tries(why: string | null): () => RunAction[] {
    this.run.handle({ type: 'reached', peers: [{ worker: 'newcomer', why }] });
    this.say('worker-0', { type: 'reached', peers: [{ worker: 'newcomer', why }] });
    return () => this.say('newcomer', { type: 'reached', peers: [{ worker: 'worker-0', why }] });
  }

  /** So much heard time, during which nobody is silent. */
  passes(seconds: number): RunAction[] {
    return Array.from({ length: seconds }, () => {
      for (const { id } of this.run.workers) this.say(id, { type: 'beat', doing: 'this and that' });
      this.#heard += 1_000;
      return tick(this, this.#heard);
    }).flat();
  }

  #heard = 0;
}

/** Who is asked for a snapshot, and how it is to travel. */
const asked = (actions: readonly RunAction[]) =>
  bodies(actions).flatMap((body) =>
    body.type === 'publish-snapshot' ? [`${body.worker}: ${body.carrier}`] : [],
  );

test('a newcomer that comes in a round is taken up as soon as it and the members have tried each other, whatever came of it', (t) => {
  for (const [why, carrier] of [
    [null, 'tcp'],
    ['connection refused', 'redis'],
  ] as const) {
    const run = new Joined('round');
    t.is(run.run.phase, 'validating');
    const last = run.tries(why);
    t.is(run.run.phase, 'validating');
    t.deepEqual(asked(last()), [`worker-0: ${carrier}`]);
    t.is(run.run.phase, 'publishing');
  }
});

test('a newcomer that nobody has tried to reach is taken up when that has lasted for long', (t) => {
  const patience = timeouts.member / 1_000;
  const run = new Joined('round');
  t.deepEqual(asked(run.passes(patience)), []);
  t.deepEqual(asked(run.passes(1)), ['worker-0: redis']);
});

test('a newcomer for whose member nobody has to wait any longer is taken up', (t) => {
  const plan = { totalSteps: 9, roundDue: () => true };
  const run = new Computing(1, 2, undefined, plan, serving);
  t.is(run.run.phase, 'computing');
  for (const worker of run.workers) {
    const peers = run.workers
      .filter((other) => other !== worker)
      .map((other) => ({ worker: other, why: null }));
    run.say(worker, { type: 'reached', peers });
  }
  run.run.handle({ type: 'reached', peers: run.workers.map((worker) => ({ worker, why: null })) });
  const { generation } = run.run;
  const ref = (name: string) => ({ name, bytes: 64, digest: '1', at: 'redis' });
  const scores = { loss: 1, top1: 0, top5: 0, count: 1 };
  run.say('worker-0', { type: 'vector', step: 0, lane: 0, ref: ref('vector'), ...scores });
  run.say('worker-0', { type: 'slice', step: 0, generation, ref: ref('slice'), bad: null });
  for (const worker of run.workers) run.say(worker, { type: 'applied', step: 1 });
  t.is(run.run.phase, 'validating');
  run.say('newcomer', { ...hello, ...serving('newcomer') });
  run.run.handle({ type: 'reached', peers: [{ worker: 'newcomer', why: null }] });
  run.say('worker-0', { type: 'reached', peers: [{ worker: 'newcomer', why: null }] });
  run.say('newcomer', { type: 'reached', peers: [{ worker: 'worker-0', why: null }] });
  const lost = run.run.handle({ type: 'exited', worker: 'worker-1', reason: 'it died' });
  t.deepEqual(asked([...lost, ...tick(run, 1_000)]), ['worker-0: tcp']);
});

test('steps go on while a newcomer is not yet tried, and it is taken up between two of them', (t) => {
  const run = new Joined('step');
  t.deepEqual(asked(run.doStep()), []);
  t.is(run.run.step, 2);
  run.tries(null)();
  t.is(run.run.phase, 'computing');
  t.deepEqual(asked(run.doStep()), ['worker-0: tcp']);
});

test('a newcomer that serves nothing over TCP is taken up at once', (t) => {
  const run = new Joined('round', { tcp: undefined });
  t.is(run.run.phase, 'publishing');
});

test('where there is no member yet, nobody waits for tries', (t) => {
  const run = new Computing(1, 0, []);
  t.deepEqual(loading(run.say('a', { ...hello, ...serving('a') })), ['a']);
});

test('a worker tries all but itself, and says what came of it in whatever state it is', (t) => {
  const { type: _, step: __, ...greeting } = hello;
  const member = new Member(() => 'me', { term: 1, boot: 0 }, greeting);
  member.start();
  const peers = ['me', 'other'].map((worker) => ({ worker, server: server(worker) }));
  const envelope = { era: { term: 1, boot: 0 }, n: 0 };
  const actions = member.handle({ type: 'message', message: { ...envelope, type: 'peers', peers } });
  t.deepEqual(actions, [{ type: 'try-peers', peers: [peers[1]!] }]);
  const [send] = member.handle({ type: 'peers-tried', peers: [{ worker: 'other', why: 'x'.repeat(999) }] });
  const body = { type: 'reached', peers: [{ worker: 'other', why: 'x'.repeat(300) }] };
  t.like(send, { type: 'send', worker: 'me', n: 1, body });
});

test('a slice goes through Redis if not all reach its maker, and over TCP otherwise', (t) => {
  const { type: _, step: __, ...greeting } = hello;
  for (const [unreached, publish] of [
    [['me'], 'redis'],
    [['other'], 'tcp'],
  ] as const) {
    const member = new Member(() => 'me', { term: 1, boot: 0 }, greeting);
    member.start();
    let n = 0;
    const hear = (body: DownBody) =>
      member.handle({ type: 'message', message: { era: { term: 1, boot: 0 }, n: n++, ...body } });
    const ref = { name: 'blob', bytes: 64, digest: '1', at: 'redis' };
    const [load] = hear({ type: 'load', step: 0, workers: ['me'], ref });
    if (load?.type !== 'load') return t.fail();
    member.handle({ type: 'loaded', ticket: load.ticket, ok: true });
    const participants = ['me', 'other'];
    const members = participants.map((worker) => ({ worker, lanes: [] }));
    hear({ type: 'members', generation: 1, step: 0, members, dropped: [] });
    const vectors = [{ lane: 0, weight: 1, worker: 'other', ref }];
    const reduce = { generation: 1, step: 0, participants, vectors };
    const [fetch] = hear({ type: 'reduce', ...reduce, carrier: 'tcp', unreached: [...unreached] });
    if (fetch?.type !== 'fetch-vectors') return t.fail();
    t.like(member.handle({ type: 'vectors-fetched', ticket: fetch.ticket, missing: null })[0], {
      type: 'reduce',
      publish,
    });
  }
});
