/** A run's recipe in words: all that is not the default is named. */
import type { ResultOptions } from '../../shared/run-config.ts';

/** `lr 0.1, step size 10`; `lr 0.1, cosine to 0.001 over 25 epochs, warm-up 5 epochs` */
export function scheduleWords(result: ResultOptions): string {
  const { learningRate, warmupEpochs, lrScale } = result;
  return [
    `lr ${learningRate}`,
    kindWords(result),
    ...(warmupEpochs === 0 ? [] : [`warm-up ${epochs(warmupEpochs)}`]),
    ...(lrScale === '' ? [] : [`lr scale ${lrScale.replaceAll(',', ' ')}`]),
  ].join(', ');
}

/** `momentum 0.9, weight decay 0.0001`; `Nesterov momentum 0.9, weight decay 0.0001, label smoothing 0.1` */
export function optimizerWords(result: ResultOptions): string {
  const { weightDecay, clipNorm, labelSmoothing } = result;
  return [
    momentumWords(result),
    `weight decay ${weightDecay}`,
    ...(clipNorm === 0 ? [] : [`norm clipped at ${clipNorm}`]),
    ...(labelSmoothing === 0 ? [] : [`label smoothing ${labelSmoothing}`]),
  ].join(', ');
}

export function momentumWords({
  optimizer,
  betas,
  nesterov,
  momentum,
}: Pick<ResultOptions, 'optimizer' | 'betas' | 'nesterov' | 'momentum'>): string {
  if (optimizer === 'adamw') return `AdamW with betas ${betas.join(' and ')}`;
  return `${nesterov ? 'Nesterov ' : ''}momentum ${momentum}`;
}

export function kindWords(
  result: Pick<ResultOptions, 'schedule' | 'scheduleEpochs' | 'stepSize' | 'minLr'>,
): string {
  const { schedule, scheduleEpochs, stepSize, minLr } = result;
  if (schedule === 'step') return `step size ${stepSize}`;
  if (scheduleEpochs === null) return schedule;
  return `${schedule} to ${minLr} over ${epochs(scheduleEpochs)}`;
}

/** `V1, V2 frozen`; `only decoder trained, frozen norms at rest`; `nothing frozen` */
export function freezingWords({
  freeze,
  trainOnly,
  freezeNorms,
}: Pick<ResultOptions, 'freeze' | 'trainOnly' | 'freezeNorms'>): string {
  const parts = [
    ...(trainOnly.length === 0 ? [] : [`only ${trainOnly.join(', ')} trained`]),
    ...(freeze.length === 0 ? [] : [`${freeze.join(', ')} frozen`]),
    ...(freezeNorms ? ['frozen norms at rest'] : []),
  ];
  return parts.length === 0 ? 'nothing frozen' : parts.join(', ');
}

function epochs(number: number): string {
  return number === 1 ? '1 epoch' : `${number} epochs`;
}
