import { type AnyConfig, type FreeOptions, isInference, type ResultOptions } from '../run-config.ts';
import { type DataChoice, everyImage } from './data-choice.ts';

/** Which images of its data folder a training is about. */
export function trainingChoiceOf({
  result: { imagesPerClass, valSplit, seed },
  options: { trainList, valList, classes, exclude },
}: {
  result: Pick<ResultOptions, 'imagesPerClass' | 'valSplit' | 'seed'>;
  options: Pick<FreeOptions, 'trainList' | 'valList' | 'classes' | 'exclude'>;
}): DataChoice {
  return { trainList, valList, classes, exclude, imagesPerClass, valSplit, seed };
}

/** Which images of its data folder a run is about, unless it is about any folder of images. */
export function dataChoiceOf(config: AnyConfig): DataChoice {
  if (!isInference(config)) return trainingChoiceOf(config);
  const { task } = config.result;
  const { valList, classes, exclude } = config.options;
  const split = task.type === 'validation' ? task.valSplit : null;
  const { part: valSplit, seed } = split ?? { part: everyImage.valSplit, seed: everyImage.seed };
  return { ...everyImage, valList, classes, exclude, valSplit, seed };
}
