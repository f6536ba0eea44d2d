/** What the live page says of a run, besides how it stands and its course. */
import { stepsPerEpoch } from '../../shared/run-config.ts';
import { quoteName } from '../../shared/util/printable.ts';
import { shellWords } from '../../shared/util/shell-words.ts';
import type { RunFacts } from '../view/run-view.ts';
import type { StartInfo } from './news.ts';
import { factsOf } from './run-summary.ts';

/** Digits of a SHA-256. */
const wholeHash = 64;

export interface PageFacts extends Pick<RunFacts, 'resume' | 'command' | 'startedAt' | 'control'> {
  start: StartInfo;
  checkpointsPath: string;
  /** Where the page is served (`127.0.0.1:9464`), and the name of that machine; null: it is not. */
  served: { address: string; host: string } | null;
}

export function pageFactsOf({ start, served, ...known }: PageFacts): RunFacts {
  const { config, join, folder } = start;
  const { batchSize, lanes, schedule, warmupEpochs, stepSize, scheduleEpochs } = config.result;
  return {
    ...known,
    join,
    tunnel: served === null ? null : tunnelTo(served),
    options: [
      ['folder', quoteName(folder)],
      // Whoever reads the page has its address.
      ...factsOf({ ...start, page: null }, wholeHash),
      ['version', `cornet-ts ${config.version}`],
    ],
    resumed: config.term > 1,
    stepsPerEpoch: stepsPerEpoch(config),
    batchSize,
    lanes,
    schedule: { schedule, warmupEpochs, stepSize, scheduleEpochs },
  };
}

/** The page under the same port on the machine where this is run. */
function tunnelTo({ address, host }: { address: string; host: string }): string {
  const port = address.slice(address.lastIndexOf(':') + 1);
  const target = address.replace(/^0\.0\.0\.0:/, '127.0.0.1:').replace(/^\[::\]:/, '[::1]:');
  return shellWords(['ssh', '-L', `${port}:${target}`, host]);
}
