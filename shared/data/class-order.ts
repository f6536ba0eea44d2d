/** Which classes a data set has, in which order, and what they are called: the label is the position. */
import { join } from 'node:path';
import { maxClasses } from '../defaults.ts';
import { CornetError } from '../errors.ts';
import { compareCodePoints } from '../util/code-points.ts';
import { quoteName } from '../util/printable.ts';
import { imageNetNames } from './imagenet-classes.ts';
import type { SplitName } from './sources/find-source.ts';
import type { Source } from './sources/source.ts';

/** A class: what a source calls it, and what the data set does. */
export interface NamedClass {
  readonly label: string;
  readonly name: string;
}

/** Names of classes in a sentence. */
const namesShown = 5;

/**
 * The classes of a source: those that `--classes` names, or all, sorted as ImageFolder sorts them (numbers as numbers).
 * @param listed the lines of `--classes`; null: there is none
 * @param note takes a sentence about what numbers are taken for
 * @throws CornetError DATA_INVALID
 */
export function classesOf(
  source: Pick<Source, 'classes' | 'numbered' | 'classNames'>,
  listed: { readonly names: readonly string[]; readonly path: string } | null,
  note: (sentence: string) => void,
): NamedClass[] {
  const { numbered } = source;
  const found = [...source.classes].sort(numbered ? (a, b) => Number(a) - Number(b) : compareCodePoints);
  const known = new Set(found);
  if (listed === null) return numbered ? nameNumbers(found, source.classNames, note) : found.map(plain);
  const { names, path } = listed;
  if (numbered && !names.every((name) => known.has(name))) {
    const beyond = found.find((label) => Number(label) >= names.length);
    if (beyond === undefined) return found.map((label) => ({ label, name: names[Number(label)]! }));
    throw new CornetError(
      'DATA_INVALID',
      `The images have the class ${beyond}, and ${quoteName(path)} of --classes names ${names.length}: 0 to ${names.length - 1}.`,
      { hint: 'Where classes are numbers, each line names one, from 0 on; or it is one of the numbers.' },
    );
  }
  const absent = names.filter((name) => !known.has(name));
  if (absent.length === 0) return names.map(plain);
  throw new CornetError(
    'DATA_INVALID',
    `${subject(absent)} named in ${quoteName(path)} of --classes, and no image is of that class.`,
    {
      hint: `The classes are ${some(found)}.`,
    },
  );
}

function plain(name: string): NamedClass {
  return { label: name, name };
}

function nameNumbers(
  labels: readonly string[],
  classNames: readonly string[] | null,
  note: (sentence: string) => void,
): NamedClass[] {
  // Its 1,000 numbers are the positions of the sorted WordNet ids wherever it is stored with numbers.
  const isImageNet =
    labels.length === imageNetNames.length && labels.every((label, position) => label === String(position));
  const names = isImageNet ? imageNetNames : classNames;
  if (isImageNet) {
    note('The 1,000 numbers of classes are taken for those of ImageNet, in the order of its WordNet ids.');
  }
  const usable =
    names !== null &&
    new Set(names).size === names.length &&
    names.every((name) => name !== '' && !/[/\0\n]/.test(name)) &&
    labels.every((label) => names[Number(label)] !== undefined);
  return labels.map((label) => ({ label, name: usable ? names[Number(label)]! : label }));
}

/**
 * The classes of the training images as the validation images know them, which may be by number.
 * @param source of the training images
 * @returns for each class what the validation calls it
 * @throws CornetError DATA_INVALID when the validation has others
 */
export function matchClasses(
  source: Pick<Source, 'numbered'>,
  train: readonly NamedClass[],
  { classes, numbered, origin }: Pick<Source, 'classes' | 'numbered' | 'origin'>,
  root: string,
): NamedClass[] {
  const known = new Set(train.flatMap(({ label, name }) => [label, name]));
  const byPosition = numbered && !source.numbered && !classes.every((label) => known.has(label));
  const own = new Set(classes);
  const matched = train.map(({ label, name }, position) => {
    const called = byPosition ? String(position) : own.has(name) ? name : label;
    return { label: called, name };
  });
  const taken = new Set(matched.map(({ label }) => label));
  const difference = classDifference(
    join(root, origin.where),
    train.map(({ name }) => name),
    [
      ...matched.filter(({ label }) => own.has(label)).map(({ name }) => name),
      ...classes.filter((label) => !taken.has(label)),
    ],
    origin.kind === 'a list',
  );
  if (difference !== null) throw new CornetError('DATA_INVALID', difference);
  return matched;
}

/**
 * What a message says of splits that do not have the same classes; null: they do.
 * @param where the validation images are
 * @param mayMiss whether the validation need not have all classes
 */
export function classDifference(
  where: string,
  train: readonly string[],
  val: readonly string[],
  mayMiss = false,
): string | null {
  const [inTrain, inVal] = [new Set(train), new Set(val)];
  const missing = mayMiss ? [] : train.filter((name) => !inVal.has(name));
  const surplus = val.filter((name) => !inTrain.has(name)).sort(compareCodePoints);
  const details = [
    ...(missing.length > 0 ? [`${subject(missing)} missing`] : []),
    ...(surplus.length > 0 ? [`${subject(surplus)} not among the training classes`] : []),
  ];
  if (details.length === 0) return null;
  return `The classes in ${quoteName(where)} differ from the training classes: ${details.join('; ')}.`;
}

/** `n01440764 is`; `a, b, c, d, e and 12 more are`. */
function subject(names: readonly string[]): string {
  return `${some(names)} ${names.length === 1 ? 'is' : 'are'}`;
}

function some(names: readonly string[]): string {
  const shown = names.slice(0, namesShown).map(quoteName).join(', ');
  return names.length > namesShown ? `${shown} and ${names.length - namesShown} more` : shown;
}

/** @throws CornetError DATA_INVALID where there is nothing to learn, or more than can be told apart */
export function checkClasses(
  root: string,
  name: SplitName,
  { origin }: Pick<Source, 'origin'>,
  classes: readonly NamedClass[],
): void {
  const where = quoteName(join(root, origin.where));
  const what = origin.kind === 'class folders' ? `The folder ${where}` : `${where}`;
  if (name === 'train' && classes.length === 1) {
    const message = `${what} has a single class (${quoteName(classes[0]!.name)}): there is nothing to learn.`;
    throw new CornetError('DATA_INVALID', message);
  }
  if (classes.length > maxClasses) {
    const message = `${what} has ${classes.length} classes: more than ${maxClasses} cannot be told apart here.`;
    throw new CornetError('DATA_INVALID', message);
  }
}
