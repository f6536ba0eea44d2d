/** What becomes of each image of a training: its geometry and its effects, drawn from streams that never meet. */
import { Draws, streams } from '../../shared/random.ts';
import type { Augmentation } from '../../shared/run-config.ts';
import { type BlurPoint, blurIn, blurPoints } from '../../shared/util/blur-schedule.ts';
import { blurWeights, rotationMap } from './effect-numbers.ts';
import type { Effect } from './effects.ts';
import { randomFlip, randomResizedCrop, resizeAndCentreCrop, type Transform } from './transform.ts';

/** Orders of the four parts of ColorJitter. */
const orders = 24;
const greatestHue = 255;

export class Augmenter {
  readonly #augmentation: Augmentation;
  readonly #size: number;
  readonly #seed: number;
  readonly #blur: readonly BlurPoint[];

  /** @param size pixels of a side */
  constructor(augmentation: Augmentation, size: number, seed: number) {
    this.#augmentation = augmentation;
    this.#size = size;
    this.#seed = seed;
    this.#blur = blurPoints(augmentation.blur);
  }

  transform(epoch: number, sample: number): Transform {
    const geometry = this.#geometry(new Draws(this.#seed, streams.augmentation, epoch, sample));
    const effects = this.#effects(epoch, sample);
    return effects.length === 0
      ? geometry
      : (width, height) => Object.assign(geometry(width, height), { effects });
  }

  #geometry(draws: Draws): Transform {
    const { augment, cropScale, cropRatio, flip } = this.#augmentation;
    if (augment === 'crop') {
      return randomResizedCrop(this.#size, draws, { area: cropScale, ratio: cropRatio }, flip);
    }
    const centred = resizeAndCentreCrop(this.#size);
    if (augment === 'none' || !flip) return centred;
    return (width, height) => ({ ...centred(width, height), flip: randomFlip(draws) });
  }

  /** Every draw is made, in one order, whatever is wanted of them: no effect changes another one's draw. */
  #effects(epoch: number, sample: number): readonly Effect[] {
    const { augment, rotate, colorJitter, grayscale } = this.#augmentation;
    const blur = blurIn(this.#blur, epoch);
    const jitters = colorJitter.some((strength) => strength > 0);
    if (augment === 'none' || (rotate === 0 && !jitters && grayscale === 0 && blur === null)) return [];
    const draws = new Draws(this.#seed, streams.effects, epoch, sample);
    const degrees = draws.between(-rotate, rotate);
    const order = permutation(draws.integer(orders));
    const jitter = this.#jitter(draws);
    const isGrey = draws.uniform() < grayscale;
    const weights = blur === null ? null : blurWeights(draws.between(blur.low, blur.high));
    return [
      ...(rotate === 0 ? [] : [{ kind: 'rotate', map: rotationMap(degrees, this.#size) } as const]),
      ...order.flatMap((part) => (colorJitter[part]! > 0 ? [jitter[part]!] : [])),
      ...(isGrey ? [{ kind: 'grayscale' } as const] : []),
      ...(weights === null ? [] : [{ kind: 'blur', weights } as const]),
    ];
  }

  /** torchvision's `ColorJitter`: factors around one, and a part of the colour wheel. */
  #jitter(draws: Draws): readonly Effect[] {
    const [brightness, contrast, saturation, hue] = this.#augmentation.colorJitter;
    const factor = (strength: number) => Math.fround(draws.between(Math.max(0, 1 - strength), 1 + strength));
    return [
      { kind: 'brightness', factor: factor(brightness) },
      { kind: 'contrast', factor: factor(contrast) },
      { kind: 'saturation', factor: factor(saturation) },
      { kind: 'hue', shift: Math.trunc(draws.between(-hue, hue) * greatestHue) & 0xff },
    ];
  }
}

/** The nth order of 0, 1, 2 and 3, of 24. */
function permutation(n: number): number[] {
  const left = [0, 1, 2, 3];
  let rest = n;
  return [4, 3, 2, 1].map((places) => {
    const [taken] = left.splice(rest % places, 1);
    rest = Math.floor(rest / places);
    return taken!;
  });
}
