/** With how many time steps the image reaches the decoder: with fewer nothing can be learned, and nothing recognised. */
import { type NetworkOptions, networkOf } from './family.ts';
import { traceModel } from './trace.ts';

/** Of the traced pass: whether the image arrives depends on neither. */
const [batch, imageSize] = [2, 64];

type Network = Pick<NetworkOptions, 'model' | 'custom' | 'times'>;

function reaches(network: Network): boolean {
  return traceModel(networkOf({ ...network, head: 1 }), batch, imageSize).seesImage;
}

/** A sentence when the image does not reach the decoder, and the smallest `--times` with which it does; null: it does. */
export function unreached(network: Network): { sentence: string; needed: number } | null {
  const { model, custom, times } = network;
  if (custom !== undefined || reaches(network)) return null; // a custom one is looked at when its file is read
  let needed = times + 1;
  while (!reaches({ model, times: needed })) needed++;
  const sentence = `With --times ${times} the image does not reach the decoder of CORnet-${model}: its outputs are the same for every image.`;
  return { sentence, needed };
}
