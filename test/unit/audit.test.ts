import test from 'ava';
import type { RunAction } from '../../coordinator/protocol/run-events.ts';
import { Computing } from '../helpers/computing.ts';

const scores = { loss: 1, top1: 0, top5: 0, count: 1 };

/** A run that audits its shards of lane 0. */
class Audited extends Computing {
  constructor(workers: number) {
    super(2, workers, undefined, { audited: () => [0] });
  }

  vector(worker: string, lane: number, digest: string): RunAction[] {
    const ref = { name: `vector-${lane}-${worker}`, bytes: 64, digest, at: 'redis' };
    return this.say(worker, { type: 'vector', step: 0, lane, ref, ...scores });
  }

  /** The vectors of the two who serve lanes. */
  vectors(): RunAction[] {
    const [a, b] = this.workers as [string, string];
    return [...this.vector(a, 0, 'right'), ...this.vector(b, 1, 'other')];
  }
}

function auditorOf(actions: readonly RunAction[]): string | undefined {
  return actions.flatMap((action) => (action.type === 'job' && action.audit ? [action.worker] : []))[0];
}

const isReduced = (actions: readonly RunAction[]) =>
  actions.some((action) => action.type === 'send' && action.body.type === 'reduce');
const failure = (actions: readonly RunAction[]) =>
  actions.flatMap((action) =>
    action.type === 'finish' && action.outcome === 'failed' ? [action.failure] : [],
  )[0];

test('a step goes on when the second vector of a shard is the first one', (t) => {
  const run = new Audited(2);
  const asked = run.vectors();
  t.is(auditorOf(asked), run.workers[1]);
  t.false(isReduced(asked));
  t.regex(run.run.sentence, /the vector of lane 0, once more/);
  const done = run.vector(run.workers[1]!, 0, 'right');
  t.true(isReduced(done));
  t.true(done.some((action) => action.type === 'delete' && action.refs[0]?.name.startsWith('vector-0')));
});

test('of two that differ nobody can tell which one is right: the run ends and names both', (t) => {
  const run = new Audited(2);
  run.vectors();
  const end = failure([...run.vector(run.workers[1]!, 0, 'wrong'), ...leaveAll(run)]);
  t.is(end?.code, 'NOT_DETERMINISTIC');
  t.regex(end!.message, /worker-0 \(host, cpu\) right, worker-1 \(host, cpu\) wrong\.$/);
});

test('where there is a third worker, it tells who computes wrongly', (t) => {
  for (const [third, odd] of [
    ['right', 'worker-1'],
    ['wrong', 'worker-0'],
  ] as const) {
    const run = new Audited(3);
    const first = auditorOf(run.vectors())!;
    const asked = run.vector(first, 0, 'wrong');
    const second = auditorOf(asked)!;
    t.is(new Set([run.workers[0], first, second]).size, 3);
    const end = failure([...run.vector(second, 0, third), ...leaveAll(run)]);
    t.is(end?.code, 'NOT_DETERMINISTIC');
    const name = odd === 'worker-1' ? first : odd;
    t.true(end?.message.endsWith(`Two of three agree: suspect ${name} (host, cpu).`), end?.message);
  }
});

test('an audit whose auditor dies is given to another, and given up where there is none', (t) => {
  const run = new Audited(3);
  const die = (worker: string) => run.run.handle({ type: 'exited', worker, reason: 'it died' });
  const first = auditorOf(run.vectors())!;
  const second = auditorOf(die(first))!;
  t.is(new Set([run.workers[0], first, second]).size, 3);
  t.true(isReduced(die(second)));
});

test('digests of two kinds are not compared', (t) => {
  for (const [second, differs] of [
    ['crc32:1', false],
    ['sums:2', true],
    ['sums:1', false],
    ['2', false],
  ] as const) {
    const run = new Audited(2);
    const [a, b] = run.workers as [string, string];
    run.vector(a, 0, 'sums:1');
    run.vector(b, 1, 'sums:1');
    const actions = run.vector(b, 0, second);
    t.is(run.run.stopping !== null, differs, second);
    t.is(isReduced(actions), !differs);
  }
});

/** A run that fails ends at once when nobody is left who holds its state. */
function leaveAll(run: Computing): RunAction[] {
  return run.workers.flatMap((worker) => run.run.handle({ type: 'exited', worker, reason: 'it left' }));
}
