/** Turning and mirroring of whole images, as Pillow does to TIFF files while it loads them. */
import type { DecodedImage } from '../resample.ts';

/** @param orientation 1 to 8, as EXIF numbers them: where the first row and the first column of the file belong */
export function upright(image: DecodedImage, orientation: number): DecodedImage {
  if (orientation === 1) return image;
  const swaps = orientation >= 5;
  const mirrorsX = [2, 3, 7, 8].includes(orientation);
  const mirrorsY = [3, 4, 6, 7].includes(orientation);
  const width = swaps ? image.height : image.width;
  const height = swaps ? image.width : image.height;
  const pixels = new Uint8Array(image.pixels.length);
  for (let y = 0, to = 0; y < height; y++) {
    for (let x = 0; x < width; x++, to += 3) {
      // The place in the file: first the axes are exchanged, then each is counted from its other end.
      let [column, row] = swaps ? [y, x] : [x, y];
      if (mirrorsX) column = image.width - 1 - column;
      if (mirrorsY) row = image.height - 1 - row;
      const from = (row * image.width + column) * 3;
      pixels[to] = image.pixels[from]!;
      pixels[to + 1] = image.pixels[from + 1]!;
      pixels[to + 2] = image.pixels[from + 2]!;
    }
  }
  return { width, height, pixels };
}
