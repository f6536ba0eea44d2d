import { buildModel } from '../../shared/models/family.ts';
import type { RunConfig } from '../../shared/run-config.ts';
import { resultOf } from './state.ts';

/** The configuration of a training, as a run folder has it. */
export const trainingConfig: RunConfig = {
  format: 3,
  run: 'r',
  version: '0.0.1',
  term: 1,
  backend: 'tensorflow',
  threads: 3,
  numerics: null,
  result: resultOf(buildModel('Z', 1), { deterministic: false }),
  options: {
    epochs: 2,
    maxSteps: null,
    dataPath: '/images',
    trainList: null,
    valList: null,
    classes: null,
    exclude: null,
    startingFile: null,
    decodeThreads: 2,
    skipUnreadable: true,
    saveModelSeconds: 7,
    saveModelEpochs: 1,
    saveAt: null,
    saveValEpochs: 0.5,
    keepCheckpoints: 4,
    audit: 0,
    joinTimeout: 12_000,
    workerTimeout: 3_600_000,
    carrier: 'auto',
    tensorboard: false,
    localWorkers: { device: 'cpu', count: 2 },
  },
};
