/** `--normalize`, `--mean` and `--std` together: by what pixels are normalised, and how that is said. */
import { isDeepStrictEqual } from 'node:util';
import { type Normalization, normalizationNames, normalizations } from '../../shared/defaults.ts';
import type { StartOptions } from './table.ts';

type Given = Pick<StartOptions, 'normalize' | 'mean' | 'std'>;

/** @param otherwise what holds where an option is not given */
export function chooseNormalization(
  { normalize, mean, std }: Given,
  otherwise: Normalization = normalizations.imagenet,
): Normalization {
  const base = normalize === undefined ? otherwise : normalizations[normalize];
  return { mean: mean ?? base.mean, std: std ?? base.std };
}

/** `imagenet`; `mean 0.4,0.4,0.4 and std 0.2,0.2,0.2` */
export function normalizationWords({ mean, std }: Normalization): string {
  const name = normalizationNames.find((one) => isDeepStrictEqual(normalizations[one], { mean, std }));
  return name ?? `mean ${mean.join(',')} and std ${std.join(',')}`;
}
