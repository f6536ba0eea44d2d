/** `coordinator check-data`: has the worker command decode every image, because images are the worker's. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { availableParallelism } from 'node:os';
import { type ChoiceFile, everyImage } from '../../shared/data/data-choice.ts';
import { exitCodes } from '../../shared/errors.ts';
import { calledAs } from '../../shared/process/own-command.ts';
import { workerEnvironment } from '../../shared/process/worker-environment.ts';
import { workerScript } from '../host/worker-command.ts';
import { chooseFiles } from '../options/chosen-images.ts';

export interface CheckDataOptions extends Partial<Record<ChoiceFile, string>> {
  dataPath: string;
  splits: readonly string[];
  /** Images decoded at once; without it, as many as there are cores. */
  workers?: number;
}

/** Returns the exit code: 1 when a file is bad. */
export async function checkData(options: CheckDataOptions): Promise<number> {
  const { dataPath, splits, workers } = options;
  const cores = availableParallelism();
  const decodeThreads = workers ?? cores;
  const argv = [
    'check-data',
    '--data-path',
    dataPath,
    '--choice',
    JSON.stringify({ ...everyImage, ...chooseFiles(dataPath, options) }),
    '--workers',
    String(decodeThreads),
    '--splits',
    ...splits,
  ];
  const child = spawn(process.execPath, [workerScript, ...argv], {
    stdio: 'inherit',
    env: {
      ...workerEnvironment(process.env, { threads: 1, workers: 1, cores, decodeThreads }),
      ...calledAs,
    },
  });
  const [code] = (await once(child, 'exit')) as [number | null];
  return code ?? exitCodes.error;
}
