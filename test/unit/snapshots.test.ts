import test from 'ava';
import { Snapshots } from '../../coordinator/protocol/snapshots.ts';

const blob = (name: string) => ({ name, bytes: 1, digest: '0', at: 'redis' });
const between = { last: false, kept: false };
const kept = { last: false, kept: true };

/** Publishes the state of a step and lets it be held. */
function hold(snapshots: Snapshots, step: number, why = kept): void {
  snapshots.publish({ step, ref: blob(`snapshot ${step}`) });
  snapshots.save(why);
  snapshots.held(step);
  snapshots.retire();
}

test('a checkpoint that was written before its validation ended is written again with its result', (t) => {
  const snapshots = new Snapshots(() => undefined);
  snapshots.restored({ step: 8, ref: blob('snapshot') }, false);
  t.false(snapshots.isDue(8, { last: true, kept: true }), 'it lies on disk');
  snapshots.wantAgain(8);
  t.true(snapshots.isDue(8, between));
  snapshots.save(between);
  t.true(snapshots.held(8));
  t.true(snapshots.saved(8, true)?.due);
  t.false(snapshots.isDue(8, { last: true, kept: true }), 'once');
});

test('the state that a run begins with is due if the plan keeps it and no checkpoint has it', (t) => {
  const snapshots = new Snapshots(() => undefined);
  snapshots.restored({ step: 0, ref: blob('snapshot') }, true);
  t.true(snapshots.isDue(0, kept));
  snapshots.save(kept);
  t.true(snapshots.held(0));
  t.true(snapshots.saved(0, true)?.due);
  t.false(snapshots.isDue(0, kept), 'once');
});

test('while a checkpoint is written, one that is due at a step is still due, and one that is due by time waits', (t) => {
  const snapshots = new Snapshots(() => undefined);
  hold(snapshots, 2);
  t.true(snapshots.isDue(4, kept));
  snapshots.want();
  t.false(snapshots.isDue(3, between));
  snapshots.saved(2, true);
  t.true(snapshots.isDue(3, between));
});

test('two states are held at most, and a third one waits until the disk has taken the first', (t) => {
  const snapshots = new Snapshots(() => undefined);
  hold(snapshots, 2);
  t.false(snapshots.full);
  hold(snapshots, 4);
  t.true(snapshots.full);
  snapshots.saved(2, true);
  t.false(snapshots.full);
  t.is(snapshots.savedStep, 2);
});

test('a state that vanished before it was held is due again, and its step lies still until then', (t) => {
  const snapshots = new Snapshots(() => undefined);
  snapshots.publish({ step: 2, ref: blob('snapshot') });
  snapshots.save(kept);
  t.true(snapshots.fetching);
  t.false(snapshots.isDue(2, kept), 'it is being fetched');
  t.true(snapshots.lost(2));
  t.false(snapshots.fetching);
  t.is(snapshots.published, null, 'somebody else publishes it');
  t.true(snapshots.isDue(2, kept));
});

test('a state that the disk did not take is not tried again at once, unless it is the last one', (t) => {
  const snapshots = new Snapshots(() => undefined);
  hold(snapshots, 2);
  t.deepEqual(snapshots.saved(2, false), {
    step: 2,
    ref: blob('snapshot 2'),
    last: false,
    due: true,
  } as never);
  t.false(snapshots.isDue(2, kept));
  t.true(snapshots.isDue(2, { last: true, kept: false }));
});
