/** The demo on one image: its curves as `coordinator report` draws them, above what the classes look like. */
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { writeDurably } from '../disk/durable-file.ts';
import { escapeMarkup } from '../report/markup.ts';
import { type Drawing, drawRuns, svgDocument } from '../report/picture.ts';
import { findRuns, readRun } from '../report/read-runs.ts';

const tile = { width: 84, height: 60, gap: 8 };
const shownPerClass = 2;
const margin = { left: 24, top: 52, bottom: 24 };

/**
 * Writes an SVG file that needs nothing else.
 * @param run the run folder
 * @param images the data set
 */
export async function writeDemoReport(path: string, run: string, images: string): Promise<void> {
  const runs = await Promise.all((await findRuns([run])).map(readRun));
  const curves = drawRuns(runs, 'CORnet-Z learns ten textures');
  const classes = await drawClasses(join(images, 'val'), curves.width);
  const drawing = {
    width: curves.width,
    height: curves.height + classes.height,
    body: `${curves.body}\n<g transform="translate(0 ${curves.height})">\n${classes.body}\n</g>`,
  };
  const description = 'Loss and accuracy of the demo over epochs, above some of its images';
  await writeDurably(path, [Buffer.from(svgDocument(drawing, description))]);
}

/** A column for each class: its name, and some of its images. */
async function drawClasses(folder: string, width: number): Promise<Drawing> {
  const classes = (await readdir(folder)).sort();
  const parts = [`<text class="heading" x="${margin.left}" y="24">What it was shown</text>`];
  for (const [column, name] of classes.entries()) {
    const x = margin.left + column * (tile.width + tile.gap);
    parts.push(`<text class="soft" x="${x}" y="${margin.top - 8}">${escapeMarkup(name)}</text>`);
    const files = (await readdir(join(folder, name))).sort().slice(0, shownPerClass);
    for (const [row, file] of files.entries()) {
      const y = margin.top + row * (tile.height + tile.gap);
      const data = (await readFile(join(folder, name, file))).toString('base64');
      parts.push(
        `<image x="${x}" y="${y}" width="${tile.width}" height="${tile.height}" preserveAspectRatio="xMidYMid slice" href="data:image/jpeg;base64,${data}"/>`,
      );
    }
  }
  const height = margin.top + shownPerClass * (tile.height + tile.gap) - tile.gap + margin.bottom;
  return { width, height, body: parts.join('\n') };
}
