/** Tests that need the tensorflow backend, which is no part of the default set-up. */
import test from 'ava';
import { CornetError } from '../../shared/errors.ts';
import { findTfjs, loadTfjs } from '../../worker/backend/tensorflow/tfjs.ts';

/** Registers `tests` where the backend was set up, and otherwise the one that an error says how to. */
export function whereSetUp(tests: () => void): void {
  if (findTfjs() !== null) return tests();
  test('the tensorflow backend, which is not set up here, says how to get it', (t) => {
    const error = t.throws(() => loadTfjs(1), { instanceOf: CornetError });
    t.is(error?.code, 'BACKEND_UNAVAILABLE');
    t.regex(error?.hint ?? '', /setup --backend tensorflow/);
  });
}
