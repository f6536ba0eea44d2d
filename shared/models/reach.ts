/** With how many time steps the image reaches the decoder: with fewer nothing can be learned, and nothing recognised. */
import { buildModel } from './family.ts';
import type { ModelName } from './model.ts';
import { traceModel } from './trace.ts';

/** Of the traced pass: whether the image arrives depends on neither. */
const [batch, imageSize] = [2, 64];

function reaches(name: ModelName, times: number): boolean {
  return traceModel(buildModel(name, times), batch, imageSize).seesImage;
}

/** A sentence when the image does not reach the decoder, and the smallest `--times` with which it does; null: it does. */
export function unreached(name: ModelName, times: number): { sentence: string; needed: number } | null {
  if (reaches(name, times)) return null;
  let needed = times + 1;
  while (!reaches(name, needed)) needed++;
  const sentence = `With --times ${times} the image does not reach the decoder of CORnet-${name}: its outputs are the same for every image.`;
  return { sentence, needed };
}
