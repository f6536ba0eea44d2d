import test from 'ava';
import { JobRound, jobsPerMember } from '../../coordinator/protocol/job-round.ts';
import { summarize } from '../../coordinator/protocol/validation-summary.ts';
import type { BatchResult } from '../../shared/wire/protocol.ts';

const result = (loss: number, label = 0): BatchResult => ({
  type: 'scores',
  loss,
  top1: 1,
  top5: 2,
  count: 4,
  classes: [{ label, top1: 1, top5: 2, count: 4 }],
  unreadable: [],
});
const given = (round: JobRound, members: string[]) =>
  round.deal(members).map(({ batch, worker }) => `${batch} ${worker}`);

test('a member gets a new batch only when an old one is stored', (t) => {
  const round = new JobRound(0, 9, new Map());
  t.deepEqual(given(round, ['a', 'b']), ['0 a', '1 b', '2 a', '3 b', '4 a', '5 b']);
  t.deepEqual(given(round, ['a', 'b']), []);
  t.true(round.take(0));
  t.is(round.load('a'), jobsPerMember, 'what is being stored still counts');
  t.deepEqual(given(round, ['a', 'b']), []);
  round.finish(0, result(1));
  t.deepEqual(given(round, ['a', 'b']), ['6 a']);
});

test('what an earlier term has stored is not dealt again', (t) => {
  const round = new JobRound(0, 3, new Map([[1, result(1)]]));
  t.deepEqual(given(round, ['a']), ['0 a', '2 a']);
});

test('a result that is there, or is being stored, is not wanted again', (t) => {
  const round = new JobRound(0, 2, new Map());
  round.deal(['a']);
  t.true(round.take(0));
  t.false(round.take(0));
  round.finish(0, result(1));
  t.false(round.take(0));
  t.false(round.take(7));
});

test('what a lost member held is dealt again, unless its result is being stored', (t) => {
  const round = new JobRound(0, 3, new Map());
  round.deal(['a']);
  round.take(1);
  t.is(round.release('a', false), null);
  t.deepEqual(given(round, ['b']), ['0 b', '2 b']);
  round.giveBack(1);
  t.deepEqual(given(round, ['b']), ['1 b']);
});

test('the batch at which three workers die, one after the other, is named', (t) => {
  const round = new JobRound(0, 9, new Map());
  round.deal(['a']);
  t.is(round.release('a', true), null);
  round.deal(['b']);
  t.is(round.release('b', false), null, 'it left, and did not die');
  round.deal(['c']);
  t.is(round.release('c', true), null);
  round.deal(['d']);
  t.is(round.release('d', true), 0);
});

test('a summary has the bits of the sum in batch order, whatever order the batches came in', (t) => {
  const losses = [0.1, 1e16, -1e16, 0.3];
  const inOrder = new JobRound(0, 4, new Map());
  const mixed = new JobRound(0, 4, new Map());
  for (const batch of [0, 1, 2, 3]) if (inOrder.take(batch)) inOrder.finish(batch, result(losses[batch]!));
  for (const batch of [2, 0, 3, 1]) if (mixed.take(batch)) mixed.finish(batch, result(losses[batch]!));
  t.true(inOrder.done && mixed.done);
  t.deepEqual(summarize(mixed.results), summarize(inOrder.results));
  t.is(summarize(mixed.results).loss, (0.1 + 1e16 + -1e16 + 0.3) / 16);
});

test('scores of a class are summed over the batches', (t) => {
  const { classes } = summarize([result(1, 7), result(1, 3), result(1, 7)]);
  t.deepEqual(classes, [
    { label: 3, top1: 1, top5: 2, count: 4 },
    { label: 7, top1: 2, top5: 4, count: 8 },
  ]);
});
