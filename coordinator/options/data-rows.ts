/** The options that choose images of a data folder: lists, classes, parts. */
import { z } from 'zod';
import { choiceFlags } from '../../shared/data/data-choice.ts';
import { defaults } from '../../shared/defaults.ts';
import { bounds } from '../../shared/option-bounds.ts';
import { row } from './row.ts';

const overDataSets = ['start', 'validate', 'data', 'check-data', 'doctor'] as const;

export const dataRows = {
  trainList: row({
    flags: `${choiceFlags.trainList} <file>`,
    value: bounds.path,
    help: 'training images as a table: path,label',
    details:
      'CSV or TSV with a header; left,top,width,height mark a part of each image; paths are relative to --data-path',
    rare: true,
    group: 'Model and data',
    commands: ['start', 'data', 'check-data', 'doctor'],
    kind: 'free',
    setting: 'options.trainList',
  }),
  valList: row({
    flags: `${choiceFlags.valList} <file>`,
    value: bounds.path,
    help: 'validation images as a table, likewise',
    rare: true,
    group: 'Model and data',
    commands: overDataSets,
    kind: 'free',
    setting: 'options.valList',
  }),
  classes: row({
    flags: `${choiceFlags.classes} <file>`,
    value: bounds.path,
    help: 'classes to use, one per line; the order is that of the labels',
    details: 'where the data have numbers, line i may be the name of class i',
    rare: true,
    group: 'Model and data',
    commands: overDataSets,
    kind: 'free',
    setting: 'options.classes',
  }),
  exclude: row({
    flags: `${choiceFlags.exclude} <file>`,
    value: bounds.path,
    help: 'images to leave out, one path or pattern per line',
    details: 'class/name, with or without train/ or val/ before it; a line without a slash is a name alone',
    rare: true,
    group: 'Model and data',
    commands: overDataSets,
    kind: 'free',
    setting: 'options.exclude',
  }),
  imagesPerClass: row({
    flags: '--images-per-class <n>',
    value: bounds.imagesPerClass,
    unit: 'images',
    help: 'training images of each class, drawn with the seed',
    defaultTold: 'all',
    rare: true,
    group: 'Model and data',
    commands: ['start', 'data'],
    kind: 'result',
    setting: 'imagesPerClass',
  }),
  valSplit: row({
    flags: '--val-split <part>',
    value: bounds.valSplit,
    unit: 'none',
    help: 'validate on this part of the training images',
    details: 'of each class, drawn with the seed; they are not trained on',
    defaultTold: 'validation images of their own',
    rare: true,
    group: 'Model and data',
    commands: ['start', 'validate', 'data'],
    kind: 'result',
    setting: 'valSplit',
    variants: {
      validate: { details: 'the part that a training with this --seed held out' },
    },
  }),
  sample: row({
    flags: '--sample <n>',
    value: bounds.sample,
    unit: 'images',
    default: defaults.sample,
    help: 'images to decode for their sizes in pixels, of all splits together; 0: none',
    group: 'Model and data',
    commands: ['data'],
    kind: 'free',
  }),
  duplicates: row({
    flags: '--duplicates',
    value: z.boolean(),
    default: false,
    help: 'look for images with the same bytes, also in train and val',
    details: 'reads every image that has the size of another one',
    group: 'Model and data',
    commands: ['data'],
    kind: 'free',
  }),
  contactSheet: row({
    flags: '--contact-sheet <file>',
    value: bounds.path,
    help: 'picture (.png) of the first training images as the network gets them',
    group: 'Output and monitoring',
    commands: ['data'],
    kind: 'free',
  }),
} as const;
