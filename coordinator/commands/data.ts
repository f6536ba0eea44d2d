/**
 * `coordinator data`: what is understood of a data set. The index is made here, just as a start makes it, and cached for
 * that; images are the worker's, whose command decodes, compares and draws them.
 */
import { availableParallelism } from 'node:os';
import { dirname, resolve } from 'node:path';
import type { DataChoice } from '../../shared/data/data-choice.ts';
import { type FoundSplits, findSplits } from '../../shared/data/found-splits.ts';
import { contactSheetMark } from '../../shared/data/image-facts.ts';
import { userIndexCache } from '../../shared/data/index-cache.ts';
import { contactSheet as sheetLimits } from '../../shared/defaults.ts';
import { CornetError, exitCodes } from '../../shared/errors.ts';
import { Exit } from '../../shared/process/command-line.ts';
import { asCalled } from '../../shared/process/own-command.ts';
import { progressOnStderr } from '../../shared/process/progress-line.ts';
import type { Augmentation } from '../../shared/run-config.ts';
import { oneLine, printableJson, quoteName } from '../../shared/util/printable.ts';
import { exists } from '../disk/durable-file.ts';
import { type OutputKind, outputTarget, writeOutput } from '../disk/output-file.ts';
import { type LookedAt, startLooking } from '../host/look-at-images.ts';
import { chooseAugmentation } from '../options/augmentation.ts';
import { chooseFiles } from '../options/chosen-images.ts';
import type { DataOptions } from '../options/table.ts';
import { type DataSetFacts, indexFacts } from './data-facts.ts';
import { dataLines } from './data-words.ts';

const sheets: OutputKind = {
  flag: '--contact-sheet',
  what: 'contact sheet',
  isOne: (head) => head.includes(contactSheetMark),
};

/**
 * Prints it for people, or as one JSON object. Images that cannot be read are told and are no error.
 * @throws CornetError DATA_MISSING, DATA_INVALID, DATA_DIFFERS; for the contact sheet OPTION_INVALID, OUTPUT_EXISTS,
 *   DISK_FULL, FOLDER_NOT_WRITABLE
 * @throws Exit when the worker command has said what is wrong
 */
export async function describeData(options: DataOptions): Promise<void> {
  const { dataPath, contactSheet, json } = options;
  const target = contactSheet === undefined ? null : await sheetTarget(contactSheet, options);
  const choice: DataChoice = {
    ...chooseFiles(dataPath, options),
    imagesPerClass: options.imagesPerClass ?? null,
    valSplit: options.valSplit ?? 0,
    seed: options.seed,
  };
  const augmentation = chooseAugmentation(options, options.imageSize);
  const notes = new Set<string>(); // one may be of both splits
  const cache = userIndexCache(process.env, (sentence) => notes.add(sentence), progressOnStderr());
  const began = performance.now();
  const found = await findSplits(dataPath, options.splits, cache, choice);
  const seconds = (performance.now() - began) / 1000;
  if (target !== null && found.missing?.name === 'train') throw found.missing.error;

  const { facts: images, sheet } = needsImages(options)
    ? await lookAtImages(found, choice, augmentation, options)
    : { facts: { sample: [], duplicates: null, contactSheet: null }, sheet: null };
  if (target !== null && sheet !== null) await writeOutput(target, sheets, [sheet]);
  const facts: DataSetFacts = {
    ...indexFacts(found, seconds, [...notes]),
    ...images,
    contactSheet: images.contactSheet && { file: contactSheet!, ...images.contactSheet },
  };
  if (json) process.stdout.write(printableJson(`${JSON.stringify(facts, null, 2)}\n`));
  else for (const line of dataLines(facts)) process.stdout.write(`${oneLine(asCalled(line))}\n`);
  if (found.difference !== null) throw found.difference; // said above, but no training can begin with that
}

/** @throws CornetError OPTION_INVALID, OUTPUT_EXISTS, FOLDER_NOT_WRITABLE, before anything takes long */
async function sheetTarget(file: string, { splits, imageSize }: DataOptions): Promise<string> {
  const refuse = (message: string, hint: string) => {
    throw new CornetError('OPTION_INVALID', message, { hint });
  };
  if (!/\.png$/i.test(file)) {
    refuse(
      `${sheets.flag} ${quoteName(file)}: its name must end in .png.`,
      'Use for example --contact-sheet sheet.png.',
    );
  }
  if (!splits.includes('train')) {
    refuse(
      `${sheets.flag} shows training images, and --splits leaves them out.`,
      'Name train in --splits, or omit it.',
    );
  }
  if (imageSize > sheetLimits.largest) {
    refuse(
      `${sheets.flag} shows images of up to ${sheetLimits.largest} pixels, and --image-size is ${imageSize}.`,
      'Give a smaller --image-size: the part of each image that is shown stays the same.',
    );
  }
  const target = await outputTarget(file, sheets);
  const folder = dirname(resolve(target));
  if (await exists(folder)) return target;
  throw new CornetError(
    'FOLDER_NOT_WRITABLE',
    `There is no folder ${quoteName(folder)} for ${quoteName(file)}.`,
    {
      hint: `Make it, or give ${sheets.flag} a file in a folder that exists.`,
    },
  );
}

function needsImages({ sample, duplicates, contactSheet }: DataOptions): boolean {
  return sample > 0 || duplicates || contactSheet !== undefined;
}

/** What the worker command answers; what it says of an error stands on standard error. */
async function lookAtImages(
  { root, found }: FoundSplits,
  choice: DataChoice,
  augmentation: Augmentation,
  { workers, sample, duplicates, contactSheet, imageSize }: DataOptions,
): Promise<LookedAt> {
  const looking = startLooking(
    {
      root,
      choice,
      splits: found.map(({ name }) => name),
      decodeThreads: workers ?? availableParallelism(),
      sample,
      duplicates,
      sheetOf: contactSheet === undefined ? null : imageSize,
      augmentation,
    },
    'inherit',
  );
  const { answer, code, signal } = await looking.ended;
  if (answer !== null) return answer;
  if (signal !== null) process.stderr.write(`error: The worker command was ended by ${signal}.\n`);
  throw new Exit(code ?? exitCodes.error);
}
