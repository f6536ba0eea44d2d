/** What our own backend computes of a network with formula weights, and how far others are from it. */
import { type Normalization, normalizations, plainRecipe } from '../../shared/defaults.ts';
import { stateLayout } from '../../shared/formats/state-layout.ts';
import { formulaEntry } from '../../shared/models/closed-formula.ts';
import { imageNetClasses } from '../../shared/models/family.ts';
import { isPublished, type Model } from '../../shared/models/model.ts';
import { Engine, type TapValue } from '../../worker/engine/engine.ts';

export interface Subject {
  readonly model: Model;
  readonly times: number;
  readonly size: number;
  /** Outputs of the decoder. Default: ImageNet's. */
  readonly head?: number;
  /** Of images that are bytes. Default: ImageNet's. */
  readonly normalize?: Normalization;
}

export const threads = 2;

/**
 * L2 norm of the difference of an output relative to that of the output: rounding in fp32 alone. Measured with ONNX
 * Runtime 1.30 and libtorch on a CPU with AVX-512, the worst output of each: Z 9e-7, R 2.3e-6, RT 2.0e-6, S 1.5e-6; and
 * none between batches of one, two and three.
 */
export const relativeDifference = 1e-5;

/**
 * @param images normalised: [images, 3, size, size]; or bytes: [images, size, size, 3]
 * @param names of taps; `logits`
 */
export function ownOutputs(
  { model, times, size, head = imageNetClasses, normalize = normalizations.imagenet }: Subject,
  images: Float32Array<ArrayBuffer> | Uint8Array<ArrayBuffer>,
  names: readonly string[],
): Map<string, TapValue> {
  if (!isPublished(model.name)) throw new Error(`${model.name} is one of the four models`);
  const engine = new Engine({
    backend: 'torch',
    device: 'cpu',
    threads,
    precision: 'fp32',
    deterministic: true,
    purpose: 'inference',
    model: model.name,
    times,
    head,
    imageSize: size,
    normalize,
    ...plainRecipe,
    momentum: 0,
    weightDecay: 0,
  });
  engine.load(formulaBody(model), 0);
  const ours = (output: string) => (output === 'logits' ? 'decoder.output' : output);
  const own = engine.taps(images, [...new Set(names.map(ours))]);
  return new Map(names.map((name) => [name, own.get(ours(name))!]));
}

function formulaBody(model: Model): Uint8Array<ArrayBuffer> {
  const entries = new Map(model.entries.map((entry) => [entry.name, entry]));
  const { slots, bytes } = stateLayout(model, 'inference');
  const body = new Uint8Array(bytes);
  for (const { name, dtype, offset } of slots) {
    if (dtype === 'F32') body.set(new Uint8Array(formulaEntry(entries.get(name)!).buffer), offset);
  }
  return body;
}

/** Relative to the norm of what is expected. */
export function differenceOf(actual: Float32Array, expected: Float32Array): number {
  let [difference, norm] = [0, 0];
  for (const [i, value] of expected.entries()) {
    difference += (actual[i]! - value) ** 2;
    norm += value ** 2;
  }
  return norm === 0 ? Math.sqrt(difference) : Math.sqrt(difference / norm);
}
