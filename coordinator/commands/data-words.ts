/** What `coordinator data` prints for people: a line for each fact, the words in one column. */
import { type SplitName, splitNames } from '../../shared/data/dataset-index.ts';
import type { DuplicateFacts, SampleFacts } from '../../shared/data/image-facts.ts';
import { gigabytes } from '../../shared/util/gigabytes.ts';
import { quoteName } from '../../shared/util/printable.ts';
import { grouped } from '../view/format.ts';
import type { DataSetFacts, IndexFacts, SplitFacts } from './data-facts.ts';
import { fingerprintDigits, indexing } from './doctor-data.ts';

type Line = readonly [name: string, text: string];

/** Columns of the names. */
const column = 15;

export function dataLines(facts: DataSetFacts): string[] {
  const { path, notes, sample, duplicates, contactSheet } = facts;
  const lines: Line[] = [
    ['data set', quoteName(path)],
    ...presentSplits(facts).flatMap((name) =>
      splitLines(
        name,
        facts,
        sample.find(({ split }) => split === name),
      ),
    ),
    ['classes', classesLine(facts)],
    ['fingerprint', fingerprintLine(facts)],
    ...(duplicates === null ? [] : duplicateLines(duplicates)),
    ...(contactSheet === null ? [] : sheetLines(contactSheet)),
    ...notes.map((note): Line => ['note', note]),
  ];
  const last = sampleLine(facts);
  return [...lines.map(([name, text]) => `${name.padEnd(column)}${text}`), ...(last === null ? [] : [last])];
}

function presentSplits({ splits }: IndexFacts): SplitName[] {
  return splitNames.filter((name) => splits[name] !== undefined);
}

function splitLines(
  name: SplitName,
  { splits, missing }: IndexFacts,
  sample: SampleFacts | undefined,
): Line[] {
  const split = splits[name];
  if (!split) return [[name, `missing: ${missing}`]];
  const { kind, where, images, classes, bytes, meanBytes } = split;
  return [
    [name, `${kind}: ${quoteName(where)}`],
    ['  images', `${grouped(images)} of ${classes === 1 ? '1 class' : `${grouped(classes)} classes`}`],
    ['  per class', perClass(split)],
    ['  on disk', `${size(bytes)}, ${size(meanBytes)} an image`],
    ...(sample === undefined ? [] : pixelLines(sample)),
  ];
}

function perClass({ imagesPerClass: { smallest, median, largest } }: SplitFacts): string {
  if (smallest.images === largest.images) return grouped(smallest.images);
  const named = ({ images, name }: typeof smallest) => `${grouped(images)} (${quoteName(name)})`;
  const middle = Number.isInteger(median) ? grouped(median) : `${grouped(Math.floor(median))}.5`;
  return `${named(smallest)} to ${named(largest)}, median ${middle}`;
}

function imagesOf(count: number): string {
  return count === 1 ? '1 image' : `${grouped(count)} images`;
}

/** 731 bytes, 107.6 kB, 12.3 MB, 137.9 GB. */
function size(bytes: number): string {
  if (bytes < 1e3) return `${Math.round(bytes)} bytes`;
  if (bytes < 999_950) return `${(bytes / 1e3).toFixed(1)} kB`;
  return bytes < 999_950_000 ? `${(bytes / 1e6).toFixed(1)} MB` : gigabytes(bytes);
}

function pixelLines({ images, pixels, unreadable, problems }: SampleFacts): Line[] {
  const by = ({ width, height }: { width: number; height: number }) =>
    `${Math.round(width)} × ${Math.round(height)}`;
  const sampled = `sample of ${imagesOf(images)}`;
  const line =
    pixels && `mean ${by(pixels.mean)}, ${by(pixels.smallest)} to ${by(pixels.largest)} (${sampled})`;
  return [
    ...(line === null ? [] : [['  pixels', line] as const]),
    ...(unreadable === 0 ? [] : unreadableLines(`${grouped(unreadable)} of a ${sampled}`, problems)),
  ];
}

function unreadableLines(which: string, problems: readonly string[]): Line[] {
  return [['  unreadable', which], ...problems.map((sentence): Line => ['', sentence])];
}

function classesLine({ classes: { count, first, difference }, splits }: IndexFacts): string {
  const more = count > first.length ? [`… (${grouped(count)} in all)`] : [];
  const names = [...first.map(quoteName), ...more].join(', ');
  const { train, val } = splits;
  if (!train || !val) return names;
  if (difference !== null) return `${names}; not the same in train and val`;
  const lacking = count - val.classes;
  if (lacking === 0) return `${names}; the same in train and val`;
  return `${names}; val has no image of ${grouped(lacking)} of them`;
}

function fingerprintLine({ fingerprint, splits, ...index }: IndexFacts): string {
  if (fingerprint === null) return `none: no training can use these splits together; ${indexing(index)}`;
  const [only, ...others] = splitNames.filter((name) => splits[name]);
  const whose = others.length === 0 ? ` (of ${only} alone)` : '';
  return `${fingerprint.slice(0, fingerprintDigits)}${whose}; ${indexing(index)}`;
}

function duplicateLines({
  read,
  images,
  contents,
  leaked,
  pairs,
  unreadable,
  problems,
}: DuplicateFacts): Line[] {
  const reading = `${imagesOf(read)} of equal size read`;
  const found =
    images === 0
      ? `none; ${reading}`
      : `${imagesOf(images)} with the same bytes as another one, ${grouped(contents)} without the copies; ${reading}`;
  return [
    ['duplicates', found],
    ...(leaked === 0 ? [] : [['  leak', leakOf(leaked)] as const]),
    ...pairs.map(([a, b]): Line => ['', `${quoteName(a)} = ${quoteName(b)}`]),
    ...(unreadable === 0 ? [] : unreadableLines(`${grouped(unreadable)} of those read`, problems)),
  ];
}

function leakOf(leaked: number): string {
  const are = leaked === 1 ? '1 validation image is' : `${grouped(leaked)} validation images are`;
  return `${are} also trained on, so that validation looks better than it is; --exclude leaves images out`;
}

function sheetLines({
  file,
  images,
  unreadable,
  problems,
}: NonNullable<DataSetFacts['contactSheet']>): Line[] {
  return [
    ['contact sheet', `${quoteName(file)}: the first ${imagesOf(images)} of a training`],
    ...(unreadable === 0 ? [] : unreadableLines(`${grouped(unreadable)} of them, black`, problems)),
  ];
}

/** What the images that were decoded leave open. */
function sampleLine({ sample, splits }: DataSetFacts): string | null {
  const decoded = sample.reduce((sum, { images }) => sum + images, 0);
  const all = Object.values(splits).reduce((sum, split) => sum + (split?.images ?? 0), 0);
  if (decoded === all) return null;
  return `${grouped(decoded)} of ${grouped(all)} images were decoded: \`coordinator check-data\` decodes all.`;
}
