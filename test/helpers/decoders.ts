import { wholeFile } from '../../shared/data/image-source.ts';
import type { ImageDecoder } from '../../worker/data/decode.ts';
import { loadImageAddon } from '../../worker/data/image-addon.ts';
import { NativeDecoder } from '../../worker/data/native-decoder.ts';
import { SharpDecoder } from '../../worker/data/sharp-decoder.ts';
import type { Transform } from '../../worker/data/transform.ts';

const addon = loadImageAddon();

/** The decoders of the image addon, by what they are; none where it is not built. */
export const addonDecoders: ReadonlyMap<string, ImageDecoder> =
  'missing' in addon
    ? new Map()
    : new Map([
        ['the addon', new NativeDecoder(addon, 2)],
        ['the addon without vector instructions', new NativeDecoder(addon, 2, true)],
      ]);

/** Every decoder that this machine has. All must make the same images. */
export const decoders: ReadonlyMap<string, ImageDecoder> = new Map([
  ['sharp', new SharpDecoder(2, 'for the test')],
  ...addonDecoders,
]);

/** One image, uint8 RGB [side, side, 3]. */
export async function decodeAlone(
  decoder: ImageDecoder,
  path: string,
  transform: Transform,
  side: number,
): Promise<Uint8Array> {
  const image = new Uint8Array(side * side * 3);
  await decoder.decode(wholeFile(path), transform, side, image, 0);
  return image;
}

/** In levels; -1 if the sizes differ. */
export function largestDifference(a: Uint8Array, b: Uint8Array): number {
  if (a.length !== b.length) return -1;
  return a.reduce((largest, value, i) => Math.max(largest, Math.abs(value - b[i]!)), 0);
}
