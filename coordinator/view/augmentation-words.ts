/** What becomes of a run's images, in words: all that is not the default is named. */
import { isDeepStrictEqual } from 'node:util';
import { plainAugmentation } from '../../shared/defaults.ts';
import type { Augmentation } from '../../shared/run-config.ts';

/** Of training images: `crops of 0.2 to 1 of the area, no flip, blur 4:0 2:5`; empty: as they always were. */
export function augmentationWords(result: Augmentation): string {
  const { augment, cropScale, cropRatio, flip, rotate, colorJitter, grayscale, blur } = result;
  const differs = (name: keyof Augmentation) => !isDeepStrictEqual(result[name], plainAugmentation[name]);
  const decimals = (ends: readonly number[]) => ends.map((end) => Number(end.toPrecision(6))).join(' to ');
  return [
    ...(augment === 'none' ? ['no augmentation'] : []),
    ...(augment === 'center' ? ['centre crop'] : []),
    ...(differs('cropScale') ? [`crops of ${decimals(cropScale)} of the area`] : []),
    ...(differs('cropRatio') ? [`crops of ratio ${decimals(cropRatio)}`] : []),
    ...(flip ? [] : ['no flip']),
    ...(rotate === 0 ? [] : [`rotation up to ${rotate}°`]),
    ...(differs('colorJitter') ? [`colour jitter ${colorJitter.join(' ')}`] : []),
    ...(grayscale === 0 ? [] : [`greyscale ${grayscale}`]),
    ...(blur === '' ? [] : [`blur ${blur.replaceAll(',', ' ')}`]),
  ].join(', ');
}
