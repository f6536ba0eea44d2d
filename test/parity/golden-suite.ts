/** The same tests of every backend: each model computes what the original computes. */
import test from 'ava';
import type { BackendName } from '../../shared/run-config.ts';
import { testDevice } from '../helpers/device.ts';
import { checkGolden, goldenNames } from './golden-check.ts';

const threads = 2;

export function goldenTests(backend: BackendName): void {
  for (const name of goldenNames) {
    test.serial(`${name} computes what the original computes (${backend})`, (t) => {
      const options = {
        backend,
        threads,
        device: testDevice,
        precision: 'fp32',
        deterministic: true,
      } as const;
      checkGolden(name, options, {
        same: (actual, expected, what) => t.deepEqual(actual, expected, what),
        near: (what, actual, expected, error, tolerance) =>
          t.true(
            error <= tolerance,
            `${what}: ${actual}, not ${expected} (relative error ${error / Math.abs(expected)})`,
          ),
      });
    });
  }
}
