import test from 'ava';
import { mapBounded } from '../../shared/util/bounded.ts';

test('results come in the order of the items, with no more calls under way than allowed', async (t) => {
  let [under, most] = [0, 0];
  const squares = await mapBounded([5, 1, 4, 2, 3], 2, async (x) => {
    most = Math.max(most, ++under);
    for (let turn = 0; turn < x; turn++) await new Promise(setImmediate); // later items overtake earlier ones
    under--;
    return x * x;
  });
  t.deepEqual(squares, [25, 1, 16, 4, 9]);
  t.is(most, 2);
});

test('after a failure no further call is started, and the error is thrown when the others have ended', async (t) => {
  const [started, ended]: [number[], number[]] = [[], []];
  const failing = mapBounded([0, 1, 2, 3], 2, async (x) => {
    started.push(x);
    if (x === 0) throw new Error('zero');
    await new Promise(setImmediate);
    ended.push(x);
  });
  await t.throwsAsync(failing, { message: 'zero' });
  t.deepEqual([started, ended], [[0, 1], [1]]);
});
