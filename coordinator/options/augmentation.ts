/** What becomes of training images, from the options of a command. */
import { isDeepStrictEqual } from 'node:util';
import { plainAugmentation } from '../../shared/defaults.ts';
import { CornetError } from '../../shared/errors.ts';
import type { Augmentation } from '../../shared/run-config.ts';
import { blurPoints, blurRadius } from '../../shared/util/blur-schedule.ts';
import type { StartOptions } from './table.ts';

/** As a user spells them. */
export const augmentationFlags: Readonly<Record<keyof Augmentation, string>> = {
  augment: '--augment',
  cropScale: '--crop-scale',
  cropRatio: '--crop-ratio',
  flip: '--no-flip',
  rotate: '--rotate',
  colorJitter: '--color-jitter',
  grayscale: '--grayscale',
  blur: '--blur',
};

/** @throws CornetError OPTION_INVALID for what would have no effect, and a blur that is too wide for the images */
export function chooseAugmentation(
  options: Pick<StartOptions, keyof Augmentation>,
  imageSize: number,
): Augmentation {
  const names = Object.keys(plainAugmentation) as (keyof Augmentation)[];
  const given = names.filter((name) => options[name] !== undefined).map((name) => [name, options[name]]);
  const chosen: Augmentation = { ...plainAugmentation, ...Object.fromEntries(given) };
  const { augment } = chosen;
  const changed = names.filter(
    (name) => name !== 'augment' && !isDeepStrictEqual(chosen[name], plainAugmentation[name]),
  );
  const ofCrop = (name: keyof Augmentation) => name === 'cropScale' || name === 'cropRatio';
  const idle = augment === 'crop' ? undefined : changed.find((name) => augment === 'none' || ofCrop(name));
  if (idle !== undefined) {
    const flag = augmentationFlags[idle];
    const why = augment === 'none' ? ', which leaves training images as validation sees them' : '';
    throw new CornetError('OPTION_INVALID', `${flag} has no meaning with --augment ${augment}${why}.`, {
      hint: `Use --augment ${ofCrop(idle) ? 'crop' : 'crop or center'}, or omit ${flag}.`,
    });
  }
  for (const name of ['cropScale', 'cropRatio'] as const) {
    const [least, most] = chosen[name];
    if (least <= most) continue;
    throw new CornetError(
      'OPTION_INVALID',
      `${augmentationFlags[name]} ${least},${most} has its least value behind its most.`,
      { hint: `Give the smaller one first: ${augmentationFlags[name]} ${most},${least}` },
    );
  }
  refuseWideBlur(chosen.blur, imageSize);
  return chosen;
}

/** The image is mirrored at its edges, and cannot be mirrored further than it is wide. */
function refuseWideBlur(blur: string, imageSize: number): void {
  const widest = Math.max(0, ...blurPoints(blur).map(({ high }) => high));
  if (blurRadius(widest) < imageSize) return;
  throw new CornetError(
    'OPTION_INVALID',
    `--blur ${widest} reaches ${blurRadius(widest)} pixels to either side, and images of ${imageSize} pixels allow ${imageSize - 1}.`,
    {
      hint: `Use a σ of at most ${Math.floor(((imageSize - 1) / 3) * 100) / 100} pixels, or a larger --image-size.`,
    },
  );
}
