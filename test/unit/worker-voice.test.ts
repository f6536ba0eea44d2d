import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { RunLog } from '../../coordinator/run-folder/run-log.ts';
import { remarks as limits, progressEvery } from '../../shared/defaults.ts';
import { Allowance } from '../../shared/util/allowance.ts';
import { type Remark, remark } from '../../shared/wire/protocol.ts';
import { isForgottenJob } from '../../worker/perform/job-queue.ts';
import { Remarks } from '../../worker/perform/remarks.ts';
import { Voice } from '../../worker/perform/voice.ts';
import { WorkerLog } from '../../worker/perform/worker-log.ts';
import { temporaryFolder } from '../helpers/temporary.ts';

/** A worker that speaks, at a time of ours. */
function speaker({ forPeople, local = false }: { forPeople: boolean; local?: boolean }) {
  const said: string[] = [];
  const state = { now: 0, images: 0 };
  const now = () => state.now;
  const out = { write: (text: string) => said.push(...text.trimEnd().split('\n')) > 0 };
  const remarks = local ? null : new Remarks(now);
  const log = new WorkerLog({ out, forPeople, device: 'cuda:0', remarks });
  const voice = new Voice({ log, remarks, run: 'r', device: 'cuda:0', images: () => state.images, now });
  return { said, state, log, voice };
}

const waiting = { step: 7, sentence: () => 'Waiting at step 7.', doing: 'at step 7' };

test('on a terminal a worker says in plain lines who it is, what it serves, how fast it is and why it leaves', (t) => {
  const { said, state, voice } = speaker({ forPeople: true });
  voice.named('w1', null);
  voice.joined('w1', 120);
  voice.serves([0, 2], 120);
  voice.serves([0, 2], 121);
  state.now = 6_000;
  state.images = 192;
  voice.beat({ ...waiting, step: 123 });
  voice.serves([], 130);
  voice.named('w2', 'not heard for 5 s');
  voice.leaving('received SIGTERM');
  t.deepEqual(said, [
    'Asking to join as worker w1.',
    'Joined run r as worker w1 on cuda:0 at step 120.',
    'Serving lanes 0, 2 from step 120 on.',
    'Step 123: 32 images/s on this worker.',
    'Standing by at step 130: other workers serve all lanes. This worker takes over when one of them leaves.',
    'Dropped from the run; joining again (not heard for 5 s).',
    'Asking to join as worker w2.',
    'Leaving run r (received SIGTERM).',
  ]);
});

test('a worker without work says what the run waits for, and its lines thin out', (t) => {
  const { said, state, voice } = speaker({ forPeople: true });
  for (; state.now < 2 * progressEvery.later; state.now += 1_000) voice.beat(waiting);
  t.deepEqual([...new Set(said)], ['Waiting at step 7.']);
  const most = progressEvery.later / (2 * progressEvery.plain);
  t.true(said.length >= most && said.length < 1.2 * most, String(said.length));
});

test('a worker that nobody needs yet says that it stands by, when it joins and at times', (t) => {
  const { said, state, voice } = speaker({ forPeople: true });
  voice.joined('w1', 6);
  voice.serves([], 7);
  voice.serves([], 8);
  for (; state.now < 4 * progressEvery.plain; state.now += 1_000) voice.beat(waiting);
  t.regex(said[1]!, /^Standing by at step 7: other workers serve all lanes\. This worker takes over/);
  t.deepEqual(said.slice(2), ['Standing by at step 7: other workers serve all lanes.']);
});

test('elsewhere a worker writes JSON lines with ISO times, levels as words and its id', (t) => {
  const { said, voice } = speaker({ forPeople: false });
  voice.named('w1', null);
  voice.joined('w1', 3);
  const line = JSON.parse(said[1]!);
  t.like(line, { level: 'info', worker: 'w1', device: 'cuda:0', event: 'joined', step: 3 });
  t.is(new Date(line.time).toISOString(), line.time);
});

test('a worker that a coordinator reads shows no progress and sends no remarks', (t) => {
  const { said, state, log, voice } = speaker({ forPeople: false, local: true });
  log.main.warn('trouble');
  for (; state.now < 60_000; state.now += 1_000) voice.beat({ ...waiting, step: state.images++ });
  t.is(said.length, 1);
  t.deepEqual(voice.takeRemarks(), []);
});

test('of what a worker says the run gets warnings, and that it joins and leaves', (t) => {
  const { log, voice } = speaker({ forPeople: true });
  log.main.info('Images are decoded.');
  log.main.warn('A \x1b[2Jwarning.');
  voice.joined('w1', 3);
  log.main.debug('Missing key for job 67.');
  voice.leaving('the run is complete');
  t.deepEqual(
    voice.takeRemarks().map(({ level, message }) => `${level}: ${message}`),
    [
      'warn: A \\x1b[2Jwarning.',
      'info: Joined run r as worker w1 on cuda:0 at step 3.',
      'info: Leaving run r (the run is complete).',
    ],
  );
  t.deepEqual(voice.takeRemarks(), []);
});

test('a flood of warnings is cut to a few, says how many are missing, and fits the protocol', (t) => {
  const { state, log, voice } = speaker({ forPeople: true });
  for (let i = 0; i < 1_000; i++) log.main.warn('x'.repeat(10_000));
  t.is(voice.takeRemarks().length, limits.ofWorker.most);
  state.now += limits.ofWorker.every;
  log.main.warn('x'.repeat(10_000));
  const [late] = voice.takeRemarks();
  t.regex(late!.message, /… \(980 earlier lines are in its own output only\)$/);
  const entry = { remark: { era: { term: 1, boot: 0 }, worker: 'w', host: 'h', ...late } };
  t.true(remark.safeParse(entry).success);
});

test('while nobody takes its remarks a worker keeps a bounded number of them', (t) => {
  const { log, voice } = speaker({ forPeople: true });
  for (let i = 0; i < 200; i++) voice.joined('w', i);
  log.main.warn('late');
  t.is(voice.takeRemarks().length, limits.waiting);
});

test('what workers elsewhere say stands in log.jsonl with their id and host, and cannot steer a terminal', (t) => {
  const path = join(temporaryFolder(t), 'log.jsonl');
  const log = new RunLog(path);
  const said: Remark = {
    era: { term: 1, boot: 0 },
    worker: 'w1',
    host: 'node\x1b[31m',
    at: new Date(0).toISOString(),
    level: 'warn',
    message: 'one\ntwo \u202e',
  };
  log.remark(said);
  for (let i = 0; i < 10 * limits.ofAll.most; i++) log.remark({ ...said, level: 'info' });
  log.close();
  const text = readFileSync(path, 'utf8');
  const lines = text.trimEnd().split('\n');
  const host = 'node\\x1b[31m';
  t.like(JSON.parse(lines[0]!), { level: 'warn', worker: 'w1', host, at: said.at, msg: 'one\\ntwo \\u202e' });
  t.true(lines.length < 2 * limits.ofAll.most, String(lines.length));
  t.notRegex(text, /\p{Cc}(?<!\n)/u);
});

test('a line of a local worker keeps its level, and one without a level is its output', (t) => {
  const path = join(temporaryFolder(t), 'log.jsonl');
  const log = new RunLog(path);
  log.ofWorker(JSON.stringify({ level: 'warn', time: 'x', worker: 'w1', msg: 'trouble' }));
  log.ofWorker(JSON.stringify({ level: 'toString', msg: 'odd' }));
  log.ofWorker('Killed');
  log.close();
  const lines = readFileSync(path, 'utf8').trimEnd().split('\n');
  const [first, second, third] = lines.map((line) => JSON.parse(line));
  t.like(first, { level: 'warn', worker: 'w1', msg: 'trouble' });
  t.like(second, { level: 'info', msg: 'odd' });
  t.like(third, { level: 'info', worker: 'output', msg: 'Killed' });
});

test('so much is allowed at once, and then one more each time', (t) => {
  let now = 0;
  const allowance = new Allowance({ most: 2, every: 100 }, () => now);
  t.deepEqual([allowance.take(), allowance.take(), allowance.take()], [true, true, false]);
  now = 150;
  t.deepEqual([allowance.take(), allowance.take()], [true, false]);
  now = 100_000;
  t.deepEqual([allowance.take(), allowance.take(), allowance.take()], [true, true, false]);
});

test('that BullMQ misses a job which its Redis lost is no trouble', (t) => {
  const error = Object.assign(new Error('Missing key for job 67. moveToFinished'), { code: -1 });
  t.true(isForgottenJob(error));
  t.false(isForgottenJob(new Error('connect ECONNREFUSED')));
});
