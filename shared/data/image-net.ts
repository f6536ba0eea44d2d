/** As a multiple of the side of the input (256 for 224, as in the original). */
const shortSide = { numerator: 256, denominator: 224 };

/** The short side in pixels to which validation resizes an image before its centre of `size`² is cut out. */
export function shortSideOf(size: number): number {
  return Math.floor((size * shortSide.numerator) / shortSide.denominator);
}
