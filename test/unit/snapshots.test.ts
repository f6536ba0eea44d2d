import test from 'ava';
import { Snapshots } from '../../coordinator/protocol/snapshots.ts';

const ref = { name: 'snapshot', bytes: 1, digest: '0', at: 'redis' };
const between = { last: false, kept: false };

test('a checkpoint that was written before its validation ended is written again with its result', (t) => {
  const snapshots = new Snapshots(() => undefined);
  snapshots.restored({ step: 8, ref });
  t.false(snapshots.isDue(8, { last: true, kept: true }), 'it lies on disk');
  snapshots.wantAgain(8);
  t.true(snapshots.isDue(8, between));
  snapshots.save(false);
  t.true(snapshots.saved(8, 'written'));
  t.false(snapshots.isDue(8, { last: true, kept: true }), 'once');
});
