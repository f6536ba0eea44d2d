import { totalSteps } from '../../shared/run-config.ts';
import { quoteName } from '../../shared/util/printable.ts';
import { count } from '../view/format.ts';
import type { JoinHint } from '../view/run-view.ts';
import type { StartInfo } from './news.ts';
import { wrap } from './wrap.ts';

/** What a run is, as names and sentences. */
export function factsOf({ config, redis, devices, page }: StartInfo): [string, string][] {
  const { result, options } = config;
  const workers =
    devices.length === 0
      ? 'no local workers; others join'
      : `${devices.length} × ${devices[0]?.split(':')[0]}`;
  const images = `${result.trainImages} training and ${count(result.valImages, 'validation image', 'validation images')}`;
  const steps = count(totalSteps(config), 'step', 'steps');
  const batch = count(Math.min(result.batchSize, result.trainImages), 'image', 'images');
  return [
    ['data', `${quoteName(options.dataPath)}: ${images}, ${count(result.classes, 'class', 'classes')}`],
    ['schedule', `${steps} of ${batch} (${count(options.epochs, 'epoch', 'epochs')})`],
    [
      'optimizer',
      `lr ${result.learningRate}, step size ${result.stepSize}, momentum ${result.momentum}, weight decay ${result.weightDecay}`,
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

/** Columns of the names of facts, with what stands before and after them. */
const indent = 12;

/**
 * The same as lines, below a title.
 * @param columns that a line may have; what does not fit goes on below
 */
export function announcement(start: StartInfo, columns = Number.POSITIVE_INFINITY): string[] {
  const { config, folder, join } = start;
  const facts = factsOf(start).flatMap(([name, text]) =>
    wrap(text, columns - indent).map((line, i) => `  ${(i === 0 ? name : '').padEnd(indent - 3)} ${line}`),
  );
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
