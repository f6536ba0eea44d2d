import { totalSteps } from '../../shared/run-config.ts';
import { quoteName } from '../../shared/util/printable.ts';
import type { JoinHint } from '../view/run-view.ts';
import type { StartInfo } from './news.ts';

/** What a run is, as names and sentences. */
export function factsOf({ config, redis, devices, page }: StartInfo): [string, string][] {
  const { result, options } = config;
  const workers =
    devices.length === 0 ? 'no local workers' : `${devices.length} × ${devices[0]?.split(':')[0]}`;
  return [
    [
      'data',
      `${quoteName(options.dataPath)}: ${result.trainImages} training and ${result.valImages} validation images, ${result.classes} classes`,
    ],
    [
      'schedule',
      `${totalSteps(config)} steps of ${result.batchSize} images (${options.epochs} epochs), lr ${result.learningRate}, step size ${result.stepSize}, momentum ${result.momentum}, weight decay ${result.weightDecay}`,
    ],
    [
      'result',
      `${result.lanes} lanes, ${config.threads} threads each, seed ${result.seed}, ${result.precision}, ${result.imageSize} px`,
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
  const { config, folder, join } = start;
  const facts = factsOf(start).map(([name, text]) => `  ${name.padEnd(9)} ${text}`);
  return [
    `CORnet-${config.result.model} run ${config.run} in ${quoteName(folder)}`,
    ...facts,
    ...joinLines(join),
  ];
}

/** The command has a line of its own, to be copied as a whole. */
export function joinLines(join: JoinHint | null): string[] {
  return join === null ? [] : [join.how, `  ${join.command}`];
}
