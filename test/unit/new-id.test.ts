import test from 'ava';
import { newId } from '../../shared/util/new-id.ts';

test('an id is ten letters and digits, begins with a letter and is new each time', (t) => {
  const ids = Array.from({ length: 10_000 }, newId);
  t.true(ids.every((id) => /^[A-Za-z][A-Za-z0-9]{9}$/.test(id)));
  t.is(new Set(ids).size, ids.length);
});
