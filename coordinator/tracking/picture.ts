/** The first training images as the network sees them, drawn by a process of its own. */
import { constants, setPriority } from 'node:os';
import { trainingChoiceOf } from '../../shared/data/choice-of-run.ts';
import { contactSheet } from '../../shared/defaults.ts';
import { augmentation, type RunConfig } from '../../shared/run-config.ts';
import { startLooking } from '../host/look-at-images.ts';
import type { Picture } from './tensorboard.ts';

/** @param warn takes a sentence about a picture that could not be drawn */
export function drawPicture(config: RunConfig, warn: (sentence: string) => void): Picture {
  const { imageSize } = config.result;
  if (imageSize > contactSheet.largest) {
    warn(
      `TensorBoard gets no picture of training images: they have more than ${contactSheet.largest} pixels.`,
    );
    return { png: Promise.resolve(null), cancel: () => undefined };
  }
  const looking = startLooking(
    {
      root: config.options.dataPath,
      choice: trainingChoiceOf(config),
      splits: ['train'],
      decodeThreads: 1,
      sample: 0,
      duplicates: false,
      sheetOf: imageSize,
      augmentation: augmentation.parse(
        Object.fromEntries(
          Object.keys(augmentation.shape).map((key) => [key, config.result[key as 'augment']]),
        ),
      ),
    },
    'pipe',
  );
  yieldTheProcessor(looking.pid);
  let isCancelled = false;
  const failed = (why: string) => {
    if (!isCancelled) warn(`TensorBoard gets no picture of training images: ${why}`);
    return null;
  };
  const png = looking.ended.then(
    ({ answer, code, signal, said }) => {
      if (answer !== null) return answer.sheet;
      const lastWords = said.trim().split('\n').at(-1) ?? '';
      return failed(lastWords === '' ? `its process ended with ${signal ?? code}.` : lastWords);
    },
    (error: Error) => failed(`${error.message}.`),
  );
  return {
    png,
    cancel: () => {
      isCancelled = true;
      looking.kill();
    },
  };
}

/** The run's workers come first. */
function yieldTheProcessor(pid: number | undefined): void {
  if (pid === undefined) return; // it could not be started, which `ended` says
  try {
    setPriority(pid, constants.priority.PRIORITY_LOW);
  } catch {
    // It has ended already.
  }
}
