/** Which TIFF files are read: the kinds of samples of which sharp makes the pixels that Pillow makes. */
import { checkSize, cutShort } from './checks.ts';
import type { Samples } from './through-sharp.ts';
import { readDirectory, tag, withDirectory } from './tiff-directory.ts';

const photometrics = ['white is zero', 'grey', 'RGB', 'palette', 'mask', 'CMYK', 'YCbCr', '', 'LAB'];
/** The compressions that sharp and Pillow both undo, by their number. */
const compressions: Readonly<Record<number, string>> = {
  1: 'none',
  2: 'CCITT',
  3: 'fax 3',
  4: 'fax 4',
  5: 'LZW',
  7: 'JPEG',
  8: 'deflate',
  32773: 'PackBits',
  32946: 'deflate',
};

/**
 * The closed list, each entry of which was compared with Pillow: colours, bits, extra samples (0 of no meaning, 2 alpha),
 * and how sharp is asked for it. Unsigned samples; chunky, unless `planar`.
 */
const kinds: ReadonlyMap<string, { as: Samples; planar?: true }> = new Map([
  ...[1, 2, 4, 8].flatMap((bits) =>
    ['white is zero', 'grey', 'palette'].map((colours) => [`${colours} ${bits}`, { as: 'rgb' }] as const),
  ),
  ['grey 8 +2', { as: 'rgb' }],
  ['grey 16', { as: 'grey16' }],
  ['palette 8 +0', { as: 'rgb' }],
  ['palette 8 +2', { as: 'rgb' }],
  ['RGB 8', { as: 'rgb', planar: true }],
  ...['+?', '+0', '+2', '+999', '+0,0', '+2,0'].map((extra) => [`RGB 8 ${extra}`, { as: 'rgb' }] as const),
  ...['', ' +?', ' +0', ' +2'].map((extra) => [`RGB 16${extra}`, { as: 'rgb' }] as const),
  ['CMYK 8', { as: 'cmyk', planar: true }],
]);
/** YCbCr is only read as JPEG stores it. */
const jpegKinds: ReadonlyMap<string, { as: Samples; planar?: true }> = new Map([['YCbCr 8', { as: 'rgb' }]]);

export interface PlainTiff {
  /** The same first image, with nothing in its directory that no pixel depends on. */
  readonly file: Buffer;
  readonly samples: Samples;
  /** 1 to 8, as EXIF numbers them; 1: as it lies in the file. */
  readonly orientation: number;
}

/**
 * The first image of a TIFF file, and how it is to be read.
 * @throws Error, the rest of the sentence "The image … cannot be read: ", where it is not on the list
 */
export function plainTiff(file: Buffer): PlainTiff {
  const { tags, entries } = readDirectory(file);
  const one = (name: keyof typeof tag, otherwise: number) => tags.get(tag[name])?.[0] ?? otherwise;
  checkSize(one('width', 0), one('height', 0));

  const compression = one('compression', 1);
  const jpeg = compressions[compression] === 'JPEG';
  if (compressions[compression] === undefined) {
    throw new Error(`it is a TIFF with compression ${compression}, which is not supported`);
  }
  const photometric = tags.get(tag.photometric)?.[0];
  if (photometric === undefined) throw new Error('it is a TIFF that does not say what its samples mean');
  const samples = one('samples', 1);
  const extra = tags.get(tag.extraSamples) ?? [];
  const bits = bitsOf(tags.get(tag.bits) ?? [1], samples);
  const colours = photometrics[photometric] || `photometric interpretation ${photometric}`;
  const expected =
    (['RGB', 'YCbCr', 'LAB'].includes(colours) ? 3 : colours === 'CMYK' ? 4 : 1) + extra.length;
  let name = `${colours} ${bits ?? 'of unequal bits'}`;
  if (extra.length > 0) name += ` +${extra}`;
  else if (samples === expected + 1)
    name += ' +?'; // the tag is missing
  else if (samples !== expected) name += ` of ${samples} samples`;

  const refused = (what: string) => new Error(`it is a TIFF with ${what}, which is not supported`);
  const formats = new Set(tags.get(tag.sampleFormat) ?? [1]);
  if (formats.size > 1 || !formats.has(1)) throw refused('samples that are not unsigned integers');
  const kind = kinds.get(name) ?? (jpeg ? jpegKinds.get(name) : undefined);
  if (kind === undefined) throw refused(`samples of the kind ${name}`);
  const planar = one('planar', 1) !== 1;
  if (planar && samples > 1 && (kind.planar === undefined || tags.has(tag.tileWidth) || jpeg)) {
    throw refused(`separate planes of the kind ${name}${tags.has(tag.tileWidth) ? ' in tiles' : ''}`);
  }
  if (one('fillOrder', 1) !== 1 && (compression !== 1 || bits === 16)) throw refused('bits in reverse order');
  if (colours === 'palette' && !(tags.get(tag.colourMap) ?? []).some((value) => value > 255)) {
    throw refused('a palette of 8 bits');
  }
  checkBlocks(file, tags, { bits: bits!, samples, planar: planar && samples > 1, packed: compression !== 1 });
  const orientation = one('orientation', 1);
  // Pillow itself does not turn all grey images of 16 bits alike.
  if (orientation > 8 || (orientation > 1 && kind.as === 'grey16')) {
    throw refused(`orientation ${orientation} and samples of the kind ${name}`);
  }
  // libtiff has a warning for extra samples that nobody names.
  const missing = name.endsWith('?') ? [{ name: tag.extraSamples, short: 0 }] : [];
  return {
    file: withDirectory(file, entries, missing),
    samples: kind.as,
    orientation: Math.max(1, orientation),
  };
}

/** Strips or tiles must be there, all of them and whole: libraries fill in what is missing, each in its own way. */
function checkBlocks(
  file: Buffer,
  tags: ReadonlyMap<number, readonly number[]>,
  { bits, samples, planar, packed }: { bits: number; samples: number; planar: boolean; packed: boolean },
): void {
  const damaged = () => new Error('its strips or tiles are damaged');
  const one = (name: number, otherwise: number) => tags.get(name)?.[0] ?? otherwise;
  const [width, height] = [one(tag.width, 0), one(tag.height, 0)];
  const tiled = tags.has(tag.tileWidth);
  const across = tiled ? one(tag.tileWidth, 0) : width;
  const down = tiled ? one(tag.tileHeight, 0) : Math.min(height, one(tag.stripRows, height));
  if (across < 1 || down < 1 || tiled === tags.has(tag.stripOffsets)) throw damaged();
  const inPlane = Math.ceil(width / across) * Math.ceil(height / down);
  const offsets = tags.get(tiled ? tag.tileOffsets : tag.stripOffsets) ?? [];
  const lengths = tags.get(tiled ? tag.tileBytes : tag.stripBytes) ?? [];
  if (offsets.length !== inPlane * (planar ? samples : 1) || lengths.length !== offsets.length)
    throw damaged();
  const rowBytes = Math.ceil((across * bits * (planar ? 1 : samples)) / 8);
  for (const [i, offset] of offsets.entries()) {
    if (offset + lengths[i]! > file.length) throw cutShort();
    const rows = tiled ? down : Math.min(down, height - (i % inPlane) * down);
    if (!packed && lengths[i]! < rows * rowBytes) throw cutShort();
  }
}

/** Bits of every sample; null where they differ. */
function bitsOf(stored: readonly number[], samples: number): number | null {
  const own = stored.slice(0, samples);
  if (own.length !== samples && stored.length !== 1) return null;
  return own.every((bits) => bits === own[0]) ? (own[0] ?? null) : null;
}
