import { totalSteps } from '../../shared/run-config.ts';
import { quoteName } from '../../shared/util/printable.ts';
import { count } from '../view/format.ts';
import type { StartInfo } from './news.ts';

/** What a run is, as names and sentences. */
export function factsOf({ config, redis, devices, page }: StartInfo): [string, string][] {
  const { result, options } = config;
  const workers =
    devices.length === 0
      ? 'no local workers; others join'
      : `${devices.length} × ${devices[0]?.split(':')[0]}`;
  return [
    [
      'data',
      `${quoteName(options.dataPath)}: ${result.trainImages} training and ${result.valImages} validation images, ${result.classes} classes`,
    ],
    [
      'schedule',
      `${count(totalSteps(config), 'step', 'steps')} of ${count(Math.min(result.batchSize, result.trainImages), 'image', 'images')} (${count(options.epochs, 'epoch', 'epochs')}), lr ${result.learningRate}, step size ${result.stepSize}, momentum ${result.momentum}, weight decay ${result.weightDecay}`,
    ],
    [
      'result',
      `${count(result.lanes, 'lane', 'lanes')}, ${count(config.threads, 'thread', 'threads')} each, seed ${result.seed}, ${result.precision}, ${result.imageSize} px`,
    ],
    ...(result.deterministic
      ? []
      : ([['bits', 'NOT the same when repeated: --no-deterministic']] satisfies [string, string][])),
    ['workers', `${workers} over ${redis}`],
    ...(page === null ? [] : ([['page', page]] satisfies [string, string][])),
  ];
}

/** The same as lines, below a title. */
export function announcement(start: StartInfo): string[] {
  const { config, folder } = start;
  const facts = factsOf(start).map(([name, text]) => `  ${name.padEnd(9)} ${text}`);
  return [`CORnet-${config.result.model} run ${config.run} in ${quoteName(folder)}`, ...facts];
}
