/** Files of which sharp (libvips) makes the pixels. Each format hands over only what was compared with Pillow. */
import sharp, { type Sharp } from 'sharp';
import { imageLimits } from '../../../shared/defaults.ts';
import type { DecodedImage } from '../resample.ts';

sharp.concurrency(1); // the images are the parallelism
sharp.cache(false); // no image is read twice in a row
// Only loaders of raster formats: a drawing (SVG) or a document has no pixels of its own.
sharp.block({ operation: ['VipsForeignLoad'] });
sharp.unblock({
  operation: ['Jpeg', 'Png', 'Webp', 'Tiff'].map((format) => `VipsForeignLoad${format}`),
});

/** How the samples of a file become RGB of 8 bits. */
export type Samples = 'rgb' | 'grey16' | 'cmyk';

/** @throws Error, whose message may have several lines */
export function throughSharp(
  file: Buffer,
  samples: Samples = 'rgb',
  failOn: 'error' | 'warning' = 'error',
): Promise<DecodedImage> {
  // a warning (a few zero bytes in the middle) is no reason to stop, as with Pillow; a file cut short is
  const image = sharp(file, { failOn, ignoreIcc: true, limitInputPixels: imageLimits.pixels });
  switch (samples) {
    case 'cmyk':
      return pixelsOf(image.pipelineColourspace('cmyk').toColourspace('cmyk'), 'uchar', cmykToRgb);
    case 'grey16':
      return pixelsOf(image.toColourspace('grey16'), 'ushort', grey16ToRgb);
    case 'rgb':
      return pixelsOf(image.removeAlpha().toColourspace('srgb'), 'uchar', (pixels) => pixels);
  }
}

async function pixelsOf(
  image: Sharp,
  depth: 'uchar' | 'ushort',
  toRgb: (samples: Buffer) => Uint8Array,
): Promise<DecodedImage> {
  const { data, info } = await image.raw({ depth }).toBuffer({ resolveWithObject: true });
  return { width: info.width, height: info.height, pixels: toRgb(data) };
}

/** Pillow's conversion, without a colour profile: each channel is (255 − K)·(255 − ink)/255. */
function cmykToRgb(cmyk: Buffer): Uint8Array {
  const rgb = new Uint8Array((cmyk.length / 4) * 3);
  for (let from = 0, to = 0; from < cmyk.length; from += 4, to += 3) {
    const light = 255 - cmyk[from + 3]!;
    for (let ink = 0; ink < 3; ink++) rgb[to + ink] = light - Math.round((cmyk[from + ink]! * light) / 255);
  }
  return rgb;
}

/** Pillow cuts off what does not fit into 8 bits (mode I;16), although it scales colours of 16 bits. */
function grey16ToRgb(grey: Buffer): Uint8Array {
  const values = new Uint16Array(grey.buffer, grey.byteOffset, grey.length / 2);
  const rgb = new Uint8Array(values.length * 3);
  for (const [i, value] of values.entries()) rgb.fill(Math.min(value, 255), 3 * i, 3 * i + 3);
  return rgb;
}
