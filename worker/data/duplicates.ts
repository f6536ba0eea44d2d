/** Images with the same bytes, within a split and in both. */
import { createHash } from 'node:crypto';
import type { FoundSplit } from '../../shared/data/found-splits.ts';
import type { DuplicateFacts } from '../../shared/data/image-facts.ts';
import type { ImageSource } from '../../shared/data/image-source.ts';
import type { Split } from '../../shared/data/split.ts';
import { lookingAtData } from '../../shared/defaults.ts';
import { mapBounded } from '../../shared/util/bounded.ts';
import { imageBytes } from './image.ts';
import { UnreadableImages } from './unreadable-images.ts';

/** Of SHA-256. */
const digestBytes = 32;

export interface ReadCounter {
  /** So many images will be read. */
  expect(images: number): void;
  /** One more was. */
  counted(): void;
}

/**
 * Reads the images that have the size of another one; two parts of one image are not the same image. A million of them
 * take 40 MB.
 * @param atOnce how many images are read at once
 * @throws CornetError DATA_DIFFERS
 */
export async function findDuplicates(
  found: readonly FoundSplit[],
  atOnce: number,
  progress: ReadCounter,
): Promise<DuplicateFacts> {
  const images = new AllImages(found);
  const candidates = images.ofEqualSizes();
  progress.expect(candidates.length);
  const digests = Buffer.alloc(candidates.length * digestBytes);
  const isRead = new Uint8Array(candidates.length);
  const bad = new UnreadableImages();
  await forEachBounded(candidates.length, atOnce, async (row) => {
    const image = candidates[row]!;
    try {
      digests.set(await digestOf(images, image), row * digestBytes);
      isRead[row] = 1;
    } catch (error) {
      bad.add(error, image);
    }
    progress.counted();
  });

  const compare = (a: number, b: number) =>
    digests.compare(digests, b * digestBytes, (b + 1) * digestBytes, a * digestBytes, (a + 1) * digestBytes);
  const rows = Uint32Array.from(candidates.keys())
    .filter((row) => isRead[row] === 1)
    .sort((a, b) => compare(a, b) || candidates[a]! - candidates[b]!);
  const tally = new Tally(images);
  for (let begin = 0; begin < rows.length; ) {
    let end = begin + 1;
    while (end < rows.length && compare(rows[begin]!, rows[end]!) === 0) end++;
    if (end - begin > 1) tally.add(rows.subarray(begin, end).map((row) => candidates[row]!));
    begin = end;
  }
  return { read: candidates.length, ...bad.facts, ...tally.facts };
}

/** The images of all splits, numbered through. */
class AllImages {
  readonly size: number;
  readonly #found: readonly FoundSplit[];

  constructor(found: readonly FoundSplit[]) {
    this.#found = found;
    this.size = found.reduce((sum, { split }) => sum + split.size, 0);
  }

  /** Sorted by size. */
  ofEqualSizes(): Uint32Array {
    const bytes = new Float64Array(this.size);
    let image = 0;
    for (const { split } of this.#found) {
      for (let sample = 0; sample < split.size; sample++) bytes[image++] = split.bytes(sample);
    }
    const order = Uint32Array.from(bytes.keys()).sort((a, b) => bytes[a]! - bytes[b]! || a - b);
    return order.filter((image, i) => {
      const [before, after] = [order[i - 1], order[i + 1]];
      const isLike = (other: number | undefined) => other !== undefined && bytes[other] === bytes[image];
      return isLike(before) || isLike(after);
    });
  }

  of(image: number): { position: number; split: Split; root: string; sample: number } {
    let sample = image;
    let position = 0;
    while (sample >= this.#found[position]!.split.size) sample -= this.#found[position++]!.split.size;
    const { split, index } = this.#found[position]!;
    return { position, split, root: index.root, sample };
  }

  source(image: number): ImageSource {
    const { split, root, sample } = this.of(image);
    return split.source(root, sample);
  }

  path(image: number): string {
    const { split, sample } = this.of(image);
    return split.path(sample);
  }
}

async function digestOf(images: AllImages, image: number): Promise<Buffer> {
  const { split, sample } = images.of(image);
  const box = split.box(sample);
  const hash = createHash('sha256').update(await imageBytes(images.source(image)));
  if (box !== null) hash.update([box.left, box.top, box.width, box.height].join());
  return hash.digest();
}

/** What is counted of images with the same bytes. */
class Tally {
  readonly #images: AllImages;
  #count = 0;
  #contents = 0;
  #leaked = 0;
  readonly #pairs: { readonly leaks: boolean; readonly pair: readonly [number, number] }[] = [];

  constructor(images: AllImages) {
    this.#images = images;
  }

  /** @param alike images with the same bytes, in order */
  add(alike: Uint32Array): void {
    const first = alike[0]!;
    const positionOf = (image: number) => this.#images.of(image).position;
    const inOther = alike.filter((image) => positionOf(image) !== positionOf(first));
    this.#count += alike.length;
    this.#contents++;
    this.#leaked += inOther.length;
    this.#pairs.push({ leaks: inOther.length > 0, pair: [first, inOther[0] ?? alike[1]!] });
    this.#pairs
      .sort((a, b) => Number(b.leaks) - Number(a.leaks) || a.pair[0] - b.pair[0])
      .splice(lookingAtData.pairs);
  }

  get facts(): Pick<DuplicateFacts, 'images' | 'contents' | 'leaked' | 'pairs'> {
    const path = (image: number) => this.#images.path(image);
    const pairs = this.#pairs.map(({ pair: [a, b] }): [string, string] => [path(a), path(b)]);
    return { images: this.#count, contents: this.#contents, leaked: this.#leaked, pairs };
  }
}

/** `mapBounded` over the numbers up to `count`, without results. */
async function forEachBounded(
  count: number,
  limit: number,
  fn: (position: number) => Promise<void>,
): Promise<void> {
  let next = 0;
  const runners = Array.from({ length: Math.min(limit, count) }, (_, runner) => runner);
  await mapBounded(runners, limit, async () => {
    while (next < count) await fn(next++);
  });
}
