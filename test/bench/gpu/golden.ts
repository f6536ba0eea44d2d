/**
 * The original's numbers on a device: how far each model is off, in units of what is allowed in fp32 on a CPU.
 * A table and no verdict for tf32 and bf16: numbers of 8 or 11 bits of mantissa follow their own course from the second
 * step on. In fp32, taps, logits and the first two losses have to be right.
 */
import { isDeepStrictEqual } from 'node:util';
import type { Precision } from '../../../shared/run-config.ts';
import { checkGolden, type goldenNames, type Judge } from '../../parity/golden-check.ts';
import { Table, type Target } from './table.ts';

interface Worst {
  what: string;
  value: number;
}

export function benchGolden(
  { device, threads }: Target,
  names: readonly (typeof goldenNames)[number][],
  precisions: readonly Precision[],
): void {
  const table = new Table('Golden values: the largest errors against the original', [
    ...[
      'model',
      'precision',
      'worst, in units of the tolerance in fp32',
      'norms of taps',
      'first two losses',
    ],
  ]);
  const failures: string[] = [];
  for (const precision of precisions) {
    for (const name of names) {
      const worst = { tolerance: none(), early: none(), tap: none(), loss: none() };
      const judge: Judge = {
        same: (actual, expected, what) => {
          if (!isDeepStrictEqual(actual, expected)) throw new Error(`${name}: ${what}`);
        },
        near: (what, _, expected, error, tolerance) => {
          const units = error === 0 ? 0 : error / tolerance;
          raise(worst.tolerance, what, units);
          if (/: |loss$|loss [01]$/.test(what)) raise(worst.early, what, units);
          if (/: l2$/.test(what)) raise(worst.tap, what, error / Math.abs(expected));
          if (/loss$|loss [01]$/.test(what)) raise(worst.loss, what, error / Math.abs(expected));
        },
      };
      checkGolden(name, { backend: 'torch', device, threads, precision, deterministic: true }, judge);
      if (precision === 'fp32' && !(worst.early.value <= 1)) failures.push(`${name} (${worst.early.what})`);
      const shown = `${worst.tolerance.value.toFixed(2)} (${worst.tolerance.what})`;
      table.row([name, precision, shown, rounded(worst.tap), rounded(worst.loss)]);
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
