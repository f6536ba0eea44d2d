/** A picture of the first training images, just as the network gets them. */
import sharp from 'sharp';
import type { FoundSplit } from '../../shared/data/found-splits.ts';
import { contactSheetMark, type ImageFacts } from '../../shared/data/image-facts.ts';
import { Schedule } from '../../shared/data/schedule.ts';
import { contactSheet as look, lookingAtData } from '../../shared/defaults.ts';
import type { Augmentation } from '../../shared/run-config.ts';
import type { ImageDecoder } from './decode.ts';
import { ShardLoader } from './prefetch.ts';

/** Of the paper between images. */
const grey = 128;

/**
 * The first images of a training's first epoch, in rows, from the loader that a training has: whatever it does to an image
 * shows here. One that cannot be read is black.
 * @param train the training split
 * @throws CornetError IMAGE_UNREADABLE: none can be read; IMAGE_UNREACHABLE, DATA_DIFFERS
 */
export async function drawContactSheet(
  { split, index }: FoundSplit,
  {
    imageSize,
    seed,
    augmentation,
    decoder,
  }: { imageSize: number; seed: number; augmentation: Augmentation; decoder: ImageDecoder },
): Promise<{ png: Buffer; facts: NonNullable<ImageFacts['contactSheet']> }> {
  // Of one step over one lane: the order of an epoch depends on neither.
  const shown = Math.min(look.across * look.down, split.size);
  const schedule = new Schedule({ seed, trainSize: split.size, batchSize: shown, lanes: 1 });
  const shards = { files: split, schedule, augmentation, steps: 1, prefetchShards: 0, skipUnreadable: true };
  const loader = new ShardLoader({ index, decoder, imageSize, shards });
  const { images, unreadable } = await loader.get(0, 0);
  await loader.close();

  const bytes = imageSize ** 2 * 3;
  for (const { position } of unreadable) images.fill(0, position * bytes, (position + 1) * bytes);
  const pitch = imageSize + look.gap;
  const width = look.gap + pitch * Math.min(look.across, shown);
  const height = look.gap + pitch * Math.ceil(shown / look.across);
  const sheet = Buffer.alloc(width * height * 3, grey);
  for (let image = 0; image < shown; image++) {
    const left = look.gap + pitch * (image % look.across);
    const top = look.gap + pitch * Math.floor(image / look.across);
    for (let row = 0; row < imageSize; row++) {
      const begin = image * bytes + row * imageSize * 3;
      sheet.set(images.subarray(begin, begin + imageSize * 3), ((top + row) * width + left) * 3);
    }
  }
  const png = await sharp(sheet, { raw: { width, height, channels: 3 }, limitInputPixels: false })
    .withExif({ IFD0: { Software: contactSheetMark } })
    .png()
    .toBuffer();
  const problems = unreadable.slice(0, lookingAtData.problems).map(({ reason }) => reason);
  return { png, facts: { images: shown, unreadable: unreadable.length, problems } };
}
