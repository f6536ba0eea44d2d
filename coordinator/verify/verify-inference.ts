/** Looks at the files of an inference run that is not finished: its journal, and the features that are stored so far. */
import { open, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { CornetError } from '../../shared/errors.ts';
import { readExactly } from '../../shared/formats/positioned-read.ts';
import { modelOf } from '../../shared/models/family.ts';
import type { InferenceConfig } from '../../shared/run-config.ts';
import { quoteName } from '../../shared/util/printable.ts';
import { exists } from '../disk/durable-file.ts';
import { chooseTaps } from '../inference/choose-taps.ts';
import { type FeatureLayout, featureSpace, layoutOf } from '../inference/feature-files.ts';
import { readJournal } from '../inference/journal.ts';
import { count } from '../view/format.ts';
import { bad, type Finding, note, ok } from './finding.ts';

const journalName = 'journal.jsonl';

/** Names of the files that an inference run has in its folder, besides those of every run. */
export function inferenceFiles(config: InferenceConfig): string[] {
  return [journalName, ...(featuresOf(config)?.files ?? []).map(({ name }) => name)];
}

/** @param live a coordinator is at work: the journal's last line may be half written */
export async function* verifyInference(
  folder: string,
  config: InferenceConfig,
  live: boolean,
): AsyncGenerator<Finding> {
  const { images, batchSize } = config.result;
  const batches = Math.ceil(images / batchSize);
  const path = join(folder, journalName);
  const layout = featuresOf(config);
  let done = 0;
  try {
    const { finished, damaged, unfinishedLine } = await readJournal(path);
    done = finished.size;
    const strange = [...finished.keys()].find((batch) => batch >= batches);
    if (strange !== undefined) {
      throw new CornetError('RUN_DAMAGED', `${quoteName(path)} names batch ${strange} of ${batches}.`);
    }
    if (damaged > 0) {
      const lines = count(damaged, 'damaged line', 'damaged lines');
      throw new CornetError('RUN_DAMAGED', `${quoteName(path)} has ${lines}.`, {
        hint: 'Give the same command again: what they spoke of is computed again.',
      });
    }
    const text = `${done} of ${batches} batches are stored.`;
    if (!unfinishedLine || live) yield ok(journalName, text);
    else yield note(journalName, `${text} A last line was never finished: going on removes it.`);
  } catch (error) {
    yield bad(journalName, error);
  }
  for (const [index, { name, bytes }] of (layout?.files ?? []).entries()) {
    if (!(await exists(join(folder, name)))) {
      if (done === 0) continue;
      if (done >= batches) yield note(name, 'It has been moved to the results.');
      else yield bad(name, new CornetError('RUN_DAMAGED', `${quoteName(join(folder, name))} is missing.`));
      continue;
    }
    yield await verifyFeatures(join(folder, name), { name, bytes, index, layout: layout! }).catch((error) =>
      bad(name, error),
    );
  }
}

function featuresOf({ result }: InferenceConfig): FeatureLayout | null {
  if (result.task.type !== 'features') return null;
  const model = modelOf(result);
  const { taps } = chooseTaps(model, result.imageSize, { tap: result.task.taps.join(',') });
  return layoutOf(featureSpace(result, result.task, taps));
}

interface FeatureFile {
  name: string;
  bytes: number;
  index: number;
  layout: FeatureLayout;
}

/** @throws CornetError RUN_DAMAGED */
async function verifyFeatures(path: string, { name, bytes, index, layout }: FeatureFile): Promise<Finding> {
  const { size } = await stat(path);
  // An archive that was framed has a directory behind its rows.
  if (size < bytes) {
    throw new CornetError('RUN_DAMAGED', `${quoteName(path)} has ${size} bytes instead of ${bytes}.`);
  }
  const file = await open(path, 'r');
  try {
    for (const { file: number, header, begin, array } of layout.places) {
      if (number !== index) continue;
      const found = Buffer.alloc(header.length);
      if ((await readExactly(file, found, begin)) && found.equals(header)) continue;
      throw new CornetError(
        'RUN_DAMAGED',
        `In ${quoteName(path)} the header of ${array.name} is not its own.`,
      );
    }
  } finally {
    await file.close();
  }
  return ok(name, 'It has its size and its headers.');
}
