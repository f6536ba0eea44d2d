/** Effects applied by everything that can, to images that lie in memory. */
import type { ExecutionContext } from 'ava';
import { applyEffects, type Effect, plainEffects } from '../../worker/data/effects.ts';
import { loadImageAddon } from '../../worker/data/image-addon.ts';

type Apply = (image: Uint8Array, size: number, effects: readonly Effect[]) => Promise<Uint8Array>;

const addon = loadImageAddon();
const limits = [1e9, 1e9, 1e9, 1] as const;

function byAddon(portable: boolean): Apply[] {
  if ('missing' in addon) return [];
  const pool = new addon.ImagePool(1, 1, limits, portable);
  return [
    async (image, size, effects) => {
      const whole = Int32Array.of(0, 0, size, size, size, size, 0, 0, 0);
      const made = new Uint8Array(image.length);
      await pool.resample(image, size, size, whole, plainEffects(effects), size, made, 0);
      return made;
    },
  ];
}

/** By the addon with vector instructions and without, where it is built. */
const others = [...byAddon(false), ...byAddon(true)];

/** The image as TypeScript makes it, which is how the addon must make it, too. */
export async function withEffects(
  t: ExecutionContext,
  image: Uint8Array,
  size: number,
  effects: readonly Effect[],
): Promise<Uint8Array> {
  const made = Uint8Array.from(image); // the slice of a Buffer would share its memory
  applyEffects(made, size, effects);
  for (const apply of others) {
    const same = Buffer.compare(await apply(image, size, effects), made) === 0;
    if (!same) t.fail(`the addon makes another image of ${size} pixels with ${JSON.stringify(effects)}`);
  }
  return made;
}

/** What the addon says of numbers that are no effects; null where there is none. */
export async function refusal(numbers: Float64Array, size: number): Promise<unknown> {
  if ('missing' in addon) return null;
  const pool = new addon.ImagePool(1, 1, limits, false);
  const image = new Uint8Array(size * size * 3);
  const whole = Int32Array.of(0, 0, size, size, size, size, 0, 0, 0);
  try {
    return await pool.resample(image, size, size, whole, numbers, size, image.slice(), 0);
  } catch (error) {
    return error;
  }
}
