/**
 * The original's numbers on a device: how far each model is off, in units of what is allowed in fp32.
 * A wrong value in fp32 ends it with an error; in tf32 and bf16 one above `allowed` does.
 */
import { isDeepStrictEqual } from 'node:util';
import type { Precision } from '../../../shared/run-config.ts';
import { checkGolden, goldenNames, type Judge } from '../../parity/golden-check.ts';
import { Table, type Target } from './table.ts';

/**
 * Values that single numbers of bfloat16 (8 bits of mantissa) or TensorFloat-32 (11 bits) decide cannot be compared one
 * by one; what is compared are norms and losses, with these relative errors.
 */
const allowed = {
  fp32: { tap: 0, loss: 0 },
  tf32: { tap: 1e-2, loss: 1e-2 },
  bf16: { tap: 5e-2, loss: 5e-2 },
} as const;

interface Worst {
  what: string;
  value: number;
}

export function benchGolden({ device, threads }: Target, precisions: readonly Precision[]): void {
  const table = new Table('Golden values: the largest relative errors against the original', [
    ...[
      'model',
      'precision',
      'in units of what fp32 may be off',
      'norms of taps',
      'losses',
      'within tolerance',
    ],
  ]);
  const failures: string[] = [];
  for (const precision of precisions) {
    for (const name of goldenNames) {
      const worst = { tolerance: none(), tap: none(), loss: none() };
      const judge: Judge = {
        same: (actual, expected, what) => {
          if (!isDeepStrictEqual(actual, expected)) throw new Error(`${name}: ${what}`);
        },
        near: (what, _, expected, error, tolerance) => {
          raise(worst.tolerance, what, error === 0 ? 0 : error / tolerance);
          if (/: l2$/.test(what)) raise(worst.tap, what, error / Math.abs(expected));
          if (/loss/.test(what)) raise(worst.loss, what, error / Math.abs(expected));
        },
      };
      checkGolden(name, { backend: 'torch', device, threads, precision, deterministic: true }, judge);
      const bad =
        precision === 'fp32'
          ? !(worst.tolerance.value <= 1)
          : worst.tap.value > allowed[precision].tap || worst.loss.value > allowed[precision].loss;
      if (bad) failures.push(`${name} in ${precision}`);
      const shown =
        precision === 'fp32' ? `${worst.tolerance.value.toFixed(2)} (${worst.tolerance.what})` : '-';
      table.row([name, precision, shown, rounded(worst.tap), rounded(worst.loss), bad ? 'NO' : 'yes']);
    }
  }
  if (failures.length > 0) throw new Error(`Golden values are off: ${failures.join(', ')}.`);
}

function none(): Worst {
  return { what: '', value: 0 };
}

function raise(worst: Worst, what: string, value: number): void {
  if (value > worst.value || Number.isNaN(value)) Object.assign(worst, { what, value });
}

function rounded({ what, value }: Worst): string {
  return `${value.toExponential(1)} (${what})`;
}
