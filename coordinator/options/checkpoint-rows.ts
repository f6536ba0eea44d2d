/** The options that say when a training is validated, when its checkpoints are written, and which of them stay. */
import { defaults } from '../../shared/defaults.ts';
import { bounds } from '../../shared/option-bounds.ts';
import { row } from './row.ts';

export const checkpointRows = {
  saveModelSecs: row({
    flags: '--save-model-secs <s>',
    value: bounds.saveModelSeconds,
    unit: 'seconds',
    default: defaults.saveModelSeconds,
    help: 'write a checkpoint every n seconds',
    group: 'Checkpoints and validation',
    rare: true,
    commands: ['start'],
    kind: 'free',
    setting: 'options.saveModelSeconds',
  }),
  saveModelEpochs: row({
    flags: '--save-model-epochs <n>',
    value: bounds.saveModelEpochs,
    unit: 'epochs',
    default: defaults.saveModelEpochs,
    help: 'keep a permanent checkpoint every n epochs',
    group: 'Checkpoints and validation',
    commands: ['start'],
    kind: 'free',
    setting: 'options.saveModelEpochs',
  }),
  saveAt: row({
    flags: '--save-at <points>',
    value: bounds.saveAt,
    help: 'keep permanent checkpoints at these points, too: 0,0.1,1 (epochs), 100s (a step), log:20 (20 steps)',
    details:
      'separated by commas; log:N spaces N steps evenly on a logarithmic scale, from step 1 to the last',
    rare: true,
    group: 'Checkpoints and validation',
    commands: ['start'],
    kind: 'free',
    setting: 'options.saveAt',
  }),
  saveValEpochs: row({
    flags: '--save-val-epochs <n>',
    value: bounds.saveValEpochs,
    unit: 'epochs',
    default: defaults.saveValEpochs,
    help: 'validate every n epochs',
    group: 'Checkpoints and validation',
    commands: ['start'],
    kind: 'free',
    setting: 'options.saveValEpochs',
  }),
  keepCheckpoints: row({
    flags: '--keep-checkpoints <n>',
    value: bounds.keepCheckpoints,
    unit: 'checkpoints',
    default: defaults.keepCheckpoints,
    help: 'newest checkpoints to keep, besides the best and the permanent ones',
    rare: true,
    group: 'Checkpoints and validation',
    commands: ['start'],
    kind: 'free',
    setting: 'options.keepCheckpoints',
  }),
} as const;
