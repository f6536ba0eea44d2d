/** The sizes of some images of each split, in the place of all. */
import { sampleOf } from '../../shared/data/data-choice.ts';
import { splitNames } from '../../shared/data/dataset-index.ts';
import type { FoundSplit } from '../../shared/data/found-splits.ts';
import type { SampleFacts } from '../../shared/data/image-facts.ts';
import { mapBounded } from '../../shared/util/bounded.ts';
import type { ImageDecoder } from './decode.ts';
import { squash, within } from './transform.ts';
import { UnreadableImages } from './unreadable-images.ts';

/** Side in pixels of the images that are made: small, because only the decoding matters. */
const side = 8;

interface Size {
  readonly width: number;
  readonly height: number;
}

/**
 * Decodes images that are drawn from all splits alike; what a small split does not have goes to the other.
 * @param wanted how many in all
 * @throws CornetError DATA_DIFFERS
 */
export async function lookAtSample(
  found: readonly FoundSplit[],
  { wanted, seed, decoder }: { wanted: number; seed: number; decoder: ImageDecoder },
): Promise<SampleFacts[]> {
  const counts = shares(
    found.map(({ split }) => split.size),
    wanted,
  );
  const facts: SampleFacts[] = [];
  for (const [i, one] of found.entries()) {
    const position = splitNames.indexOf(one.name);
    const samples = sampleOf(seed, position, one.split.size, counts[i]!);
    if (samples.length > 0) facts.push(await lookAt(one, samples, decoder));
  }
  return facts;
}

function shares(sizes: readonly number[], wanted: number): number[] {
  const shared = sizes.map(() => 0);
  let left = wanted;
  const smallestFirst = [...sizes.keys()].sort((a, b) => sizes[a]! - sizes[b]!);
  for (const [taken, i] of smallestFirst.entries()) {
    shared[i] = Math.min(sizes[i]!, Math.floor(left / (sizes.length - taken)));
    left -= shared[i];
  }
  return shared;
}

async function lookAt(
  { name, split, index }: FoundSplit,
  samples: readonly number[],
  decoder: ImageDecoder,
): Promise<SampleFacts> {
  const bad = new UnreadableImages();
  const target = new Uint8Array(side * side * 3); // whichever image comes last
  const sizes: Size[] = [];
  await mapBounded(samples, decoder.underWay, async (sample) => {
    const source = split.source(index.root, sample);
    const squashed = within(split.box(sample), source.name, squash(side));
    let size: Size | null = null;
    const transform = (width: number, height: number) => {
      size = { width, height };
      return squashed(width, height);
    };
    try {
      await decoder.decode(source, transform, side, target, 0);
      if (size !== null) sizes.push(size);
    } catch (error) {
      bad.add(error, sample);
    }
  });
  return { split: name, images: samples.length, pixels: pixelsOf(sizes), ...bad.facts };
}

function pixelsOf(sizes: readonly Size[]): SampleFacts['pixels'] {
  const [first, ...others] = [...sizes].sort(
    (a, b) => a.width * a.height - b.width * b.height || a.width - b.width,
  );
  if (first === undefined) return null;
  const mean = (side: keyof Size) => sizes.reduce((sum, size) => sum + size[side], 0) / sizes.length;
  return {
    mean: { width: mean('width'), height: mean('height') },
    smallest: first,
    largest: others.at(-1) ?? first,
  };
}
