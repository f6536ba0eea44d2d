import test from 'ava';
import { withReleasers } from '../../shared/util/releasers.ts';

test('what was acquired is released in reverse order, also after an error', async (t) => {
  const released: string[] = [];
  const work = (fails: boolean) =>
    withReleasers(async (release) => {
      release(() => released.push('first'));
      release(async () => released.push('second'));
      if (fails) throw new Error('in the middle');
      return 'done';
    });
  t.is(await work(false), 'done');
  await t.throwsAsync(work(true), { message: 'in the middle' });
  t.deepEqual(released, ['second', 'first', 'second', 'first']);
});

test('a release that fails hinders no other, and what went wrong first is told', async (t) => {
  const released: string[] = [];
  const work = (fails: boolean) =>
    withReleasers(async (release) => {
      release(() => released.push('first'));
      release(() => {
        throw new Error('cannot be released');
      });
      release(() => released.push('last'));
      if (fails) throw new Error('in the middle');
    });
  await t.throwsAsync(work(false), { message: 'cannot be released' });
  t.deepEqual(released, ['last', 'first']);
  await t.throwsAsync(work(true), { message: 'in the middle' });
});
