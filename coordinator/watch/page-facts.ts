/** What the live page says of a run, besides how it stands and its course. */
import type { RunConfig } from '../../shared/run-config.ts';
import { stepsPerEpoch } from '../../shared/run-config.ts';
import { quoteName } from '../../shared/util/printable.ts';
import { shellWords } from '../../shared/util/shell-words.ts';
import type { RunFacts } from '../view/run-view.ts';
import type { StartInfo } from './news.ts';
import { factsOf } from './run-summary.ts';

export interface PageFacts extends Pick<RunFacts, 'resume' | 'command' | 'startedAt' | 'control'> {
  start: StartInfo;
  checkpointsPath: string;
  /** Where the page is served (`127.0.0.1:9464`), and the name of that machine; null: it is not. */
  served: { address: string; host: string } | null;
}

export function pageFactsOf({ start, served, ...known }: PageFacts): RunFacts {
  const { config, join, folder } = start;
  const { batchSize, lanes, stepSize } = config.result;
  return {
    ...known,
    join,
    tunnel: served === null ? null : tunnelTo(served),
    options: [
      ['folder', quoteName(folder)],
      // Whoever reads the page has its address.
      ...factsOf({ ...start, page: null }),
      ['weights', weightsOf(config)],
      ['version', `cornet-ts ${config.version}`],
    ],
    resumed: config.term > 1,
    stepsPerEpoch: stepsPerEpoch(config),
    batchSize,
    lanes,
    stepSize,
  };
}

/** What the run began with. */
function weightsOf({ result: { startingWeights, seed }, options: { startingFile } }: RunConfig): string {
  if (startingWeights.from === 'seed') return `drawn with the seed ${seed}`;
  const { from, sha256, key } = startingWeights;
  const file = startingFile === null ? '' : `${quoteName(startingFile)}, `;
  return `the ${from} ${file}SHA-256 ${sha256}${key === null ? '' : `, at ${key}`}`;
}

/** The page under the same port on the machine where this is run. */
function tunnelTo({ address, host }: { address: string; host: string }): string {
  const port = address.slice(address.lastIndexOf(':') + 1);
  const target = address.replace(/^0\.0\.0\.0:/, '127.0.0.1:').replace(/^\[::\]:/, '[::1]:');
  return shellWords(['ssh', '-L', `${port}:${target}`, host]);
}
