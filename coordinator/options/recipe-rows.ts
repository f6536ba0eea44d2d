/** The options of the recipe: the optimizer, the schedule of its learning rate, and the loss. */
import { z } from 'zod';
import { defaults, plainRecipe, recipes } from '../../shared/defaults.ts';
import { modelNames } from '../../shared/models/model.ts';
import { bounds } from '../../shared/option-bounds.ts';
import { row } from './row.ts';

/** `10; S: 20`: what most models take, and those that do not. */
export function recipeOf(key: 'learningRate' | 'epochs' | 'stepSize'): string {
  const usual = recipes.R[key];
  const others = modelNames.filter((name) => recipes[name][key] !== usual);
  return [usual, ...others.map((name) => `${name}: ${recipes[name][key]}`)].join('; ');
}

export const recipeRows = {
  learningRate: row({
    flags: '--lr, --learning-rate <x>',
    value: bounds.learningRate,
    unit: 'none',
    help: 'initial learning rate',
    details: 'after the warm-up, if there is one',
    defaultTold: recipeOf('learningRate'),
    group: 'Training',
    commands: ['start'],
    kind: 'result',
    setting: 'learningRate',
  }),
  schedule: row({
    flags: '--schedule <kind>',
    value: bounds.schedule,
    default: plainRecipe.schedule,
    help: 'how the learning rate falls',
    details: 'cosine and poly reach --min-lr at the end of the --epochs that the run begins with',
    rare: true,
    group: 'Training',
    commands: ['start'],
    kind: 'result',
    setting: 'schedule',
  }),
  stepSize: row({
    flags: '--step-size <n>',
    value: bounds.stepSize,
    unit: 'epochs',
    help: 'divide the learning rate by 10 every n epochs',
    details: 'of --schedule step',
    defaultTold: recipeOf('stepSize'),
    group: 'Training',
    commands: ['start'],
    kind: 'result',
    setting: 'stepSize',
  }),
  warmupEpochs: row({
    flags: '--warmup-epochs <n>',
    value: bounds.warmupEpochs,
    unit: 'epochs',
    default: plainRecipe.warmupEpochs,
    help: 'let the learning rate rise linearly at first',
    rare: true,
    group: 'Training',
    commands: ['start'],
    kind: 'result',
    setting: 'warmupEpochs',
  }),
  minLr: row({
    flags: '--min-lr <x>',
    value: bounds.minLr,
    unit: 'none',
    default: plainRecipe.minLr,
    help: 'learning rate at the end of --schedule cosine or poly',
    rare: true,
    group: 'Training',
    commands: ['start'],
    kind: 'result',
    setting: 'minLr',
  }),
  lrScale: row({
    flags: '--lr-scale <name=factor>',
    value: bounds.lrScale,
    several: true,
    help: 'multiply the learning rate of an area or a parameter',
    details:
      "decoder=10,V1=0.1: the longest beginning of a parameter's name counts; can be given several times",
    rare: true,
    group: 'Training',
    commands: ['start'],
    kind: 'result',
    setting: 'lrScale',
  }),
  momentum: row({
    flags: '--momentum <x>',
    value: bounds.momentum,
    unit: 'none',
    default: defaults.momentum,
    help: 'momentum of SGD',
    rare: true,
    group: 'Training',
    commands: ['start'],
    kind: 'result',
    setting: 'momentum',
  }),
  nesterov: row({
    flags: '--nesterov',
    value: z.boolean(),
    default: plainRecipe.nesterov,
    help: 'Nesterov momentum',
    rare: true,
    group: 'Training',
    commands: ['start'],
    kind: 'result',
    setting: 'nesterov',
  }),
  weightDecay: row({
    flags: '--weight-decay <x>',
    value: bounds.weightDecay,
    unit: 'none',
    default: defaults.weightDecay,
    help: 'weight decay of SGD',
    rare: true,
    group: 'Training',
    commands: ['start'],
    kind: 'result',
    setting: 'weightDecay',
  }),
  labelSmoothing: row({
    flags: '--label-smoothing <x>',
    value: bounds.labelSmoothing,
    unit: 'none',
    default: plainRecipe.labelSmoothing,
    help: 'part of the training target that all classes share',
    rare: true,
    group: 'Training',
    commands: ['start'],
    kind: 'result',
    setting: 'labelSmoothing',
  }),
} as const;
