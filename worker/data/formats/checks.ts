/** What the readers of every format refuse, in the same words: the rest of the sentence "The image … cannot be read: ". */
import { imageLimits } from '../../../shared/defaults.ts';

export function cutShort(): Error {
  return new Error('the file is cut short');
}

/** @throws Error where there is no pixel or more than the limit */
export function checkSize(width: number, height: number): void {
  if (width < 1 || height < 1) throw new Error(`it has ${width} × ${height} pixels`);
  if (width * height > imageLimits.pixels) {
    throw new Error(`it has ${width} × ${height} pixels, more than the limit`);
  }
}
