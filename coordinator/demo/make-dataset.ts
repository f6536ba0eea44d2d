/** The demo's data set: ten classes of textures as JPEG files, in the folders that ImageNet comes in. */
import { mkdir, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import sharp from 'sharp';
import { CornetError } from '../../shared/errors.ts';
import { Draws, streams } from '../../shared/random.ts';
import { mapBounded } from '../../shared/util/bounded.ts';
import { quoteName } from '../../shared/util/printable.ts';
import { fileError, partialSuffix } from '../disk/durable-file.ts';
import { drawPattern, patternNames } from './patterns.ts';

export interface DemoDatasetOptions {
  /** An unsigned 32-bit integer: the same seed gives the same images. */
  readonly seed: number;
  readonly trainPerClass: number;
  readonly valPerClass: number;
}

/** Images are between these many pixels wide and high. */
const side = { min: 96, max: 160 };
const jpegQuality = 88;
/** One image waits for its encoder while another is painted. */
const imagesAtOnce = 3;

/** What a finished folder was made with; a change of the images is a new version. */
const recordName = 'demo-dataset.json';
const version = 1;

/**
 * Writes the data set to `root`: `train/<class>/*.JPEG` and `val/<class>/*.JPEG`. It appears there whole or not at all,
 * and one that was made with the same options is left as it is.
 * @returns whether it was made now
 * @throws CornetError DATA_INVALID if `root` holds anything else; DISK_FULL or FOLDER_NOT_WRITABLE
 */
export async function makeDemoDataset(root: string, options: DemoDatasetOptions): Promise<boolean> {
  const { seed, trainPerClass, valPerClass } = options;
  const record = `${JSON.stringify({ version, seed, trainPerClass, valPerClass })}\n`;
  try {
    await mkdir(root, { recursive: true });
    const present = await readdir(root);
    if (present.includes(recordName) && (await readFile(join(root, recordName), 'utf8')) === record)
      return false;
    if (present.length > 0) {
      const message = `The folder ${root} holds something other than this demo's data set.`;
      throw new CornetError('DATA_INVALID', message, {
        hint: `Remove ${quoteName(root)}, or name another folder.`,
      });
    }
    const partial = `${root}${partialSuffix}`;
    await rm(partial, { recursive: true, force: true });
    await paintDataset(partial, options);
    await writeFile(join(partial, recordName), record);
    await rename(partial, root);
  } catch (error) {
    throw fileError(error, `make the demo's data set in ${quoteName(root)}`);
  }
  return true;
}

async function paintDataset(root: string, options: DemoDatasetOptions): Promise<void> {
  const { seed, trainPerClass, valPerClass } = options;
  for (const [label, name] of patternNames.entries()) {
    for (const split of ['train', 'val'] as const) {
      const folder = join(root, split, name);
      await mkdir(folder, { recursive: true });
      const [start, count] = split === 'train' ? [0, trainPerClass] : [trainPerClass, valPerClass];
      const numbers = Array.from({ length: count }, (_, i) => start + i);
      await mapBounded(numbers, imagesAtOnce, async (number) => {
        const image = await paintImage(name, new Draws(seed, streams.data, label, number));
        await writeFile(join(folder, `${name}_${String(number).padStart(5, '0')}.JPEG`), image);
      });
    }
  }
}

/** One image of a class, as a JPEG file. Colours, light and size say nothing about the class. */
async function paintImage(name: string, draws: Draws): Promise<Buffer> {
  const width = side.min + draws.integer(side.max - side.min + 1);
  const height = side.min + draws.integer(side.max - side.min + 1);
  const [figure, ground] = drawColours(draws);
  const pattern = drawPattern(name, draws);
  const lightAngle = draws.between(0, 2 * Math.PI);
  const light = {
    x: Math.cos(lightAngle) / width,
    y: Math.sin(lightAngle) / height,
    depth: draws.between(0, 0.5),
  };
  const grain = draws.between(2, 14);
  const pixels = new Uint8Array(width * height * 3);
  let at = 0;
  for (let row = 0; row < height; row++) {
    for (let column = 0; column < width; column++) {
      const [x, y] = [column - width / 2, row - height / 2];
      const share = Math.min(1, Math.max(0, 0.5 + pattern(x, y)));
      const bright = 1 + light.depth * (light.x * x + light.y * y);
      const noise = (draws.word() / 0x100000000 - 0.5) * grain;
      for (let channel = 0; channel < 3; channel++) {
        const colour = ground[channel]! + share * (figure[channel]! - ground[channel]!);
        pixels[at++] = Math.min(255, Math.max(0, Math.round(colour * bright + noise)));
      }
    }
  }
  return sharp(pixels, { raw: { width, height, channels: 3 } })
    .jpeg({ quality: jpegQuality })
    .toBuffer();
}

type Colour = readonly [number, number, number];

/** Two colours of different hue, one dark and one light, either of which may be the figure's. */
function drawColours(draws: Draws): [Colour, Colour] {
  const hue = draws.uniform();
  const dark = colourOf(hue, draws.between(0.3, 0.8), draws.between(0.14, 0.36));
  const light = colourOf(hue + draws.between(0.15, 0.85), draws.between(0.4, 0.9), draws.between(0.62, 0.86));
  return draws.uniform() < 0.5 ? [dark, light] : [light, dark];
}

/** Hue (in turns), saturation and lightness (0 to 1) as RGB, 0 to 255. */
function colourOf(hue: number, saturation: number, lightness: number): Colour {
  const channel = (offset: number): number => {
    const k = (offset + hue * 12) % 12;
    const swing = saturation * Math.min(lightness, 1 - lightness);
    return 255 * (lightness - swing * Math.max(-1, Math.min(k - 3, 9 - k, 1)));
  };
  return [channel(0), channel(8), channel(4)];
}
