/** The options of `coordinator test`: which features, and how they are written. */
import { z } from 'zod';
import { bounds } from '../../shared/option-bounds.ts';
import { row } from './row.ts';

const timeStep = z.union([z.enum(['last', 'all']), z.int().min(0)]);

export const featureRows = {
  layer: row({
    flags: '--layer <area>',
    value: z.string(),
    help: 'one of V1, V2, V4, IT, decoder',
    defaultTold: 'decoder',
    group: 'Features',
    commands: ['test'],
    kind: 'result',
    excludes: ['tap'],
  }),
  sublayer: row({
    flags: '--sublayer <name>',
    value: z.string(),
    help: 'which output of the layer: output, conv1, …',
    defaultTold: 'output; avgpool of the decoder',
    group: 'Features',
    commands: ['test'],
    kind: 'result',
    excludes: ['tap'],
  }),
  tap: row({
    flags: '--tap <names>',
    value: z.string(),
    help: 'instead of layer and sublayer: names, all, or everything',
    details:
      'V4.output-t3,IT.output; all: outputs of the areas and decoder.avgpool; everything: every output',
    group: 'Features',
    commands: ['test', 'export'],
    kind: 'result',
    setting: 'taps',
    excludes: ['layer', 'sublayer'],
    variants: {
      export: {
        help: 'outputs of the graph beside the logits: names, all, or everything',
        group: 'Model and data',
      },
    },
  }),
  timeStep: row({
    flags: '--time-step <step>',
    value: timeStep,
    read: (text) => (/^\d+$/.test(text) ? Number(text) : text),
    unit: "calls of the layer's module",
    help: "last, all, or the number of a module's call, from 0",
    details: "with --tap all or everything the default is all; the reference implementation's default is 0",
    defaultTold: 'last',
    group: 'Features',
    commands: ['test'],
    kind: 'result',
  }),
  frames: row({
    flags: '--frames',
    value: z.boolean(),
    default: false,
    help: 'show R or RT a clip: one image per time step',
    details: 'each folder in --data-path is a clip, and the images in it, sorted by name, are its frames',
    group: 'Features',
    commands: ['test'],
    kind: 'result',
    setting: 'frames',
  }),
  format: row({
    flags: '--format <name>',
    value: bounds.format,
    default: 'npy',
    help: 'npy: one file per output; npz: one archive',
    group: 'Features',
    commands: ['test'],
    kind: 'result',
    setting: 'format',
  }),
  dtype: row({
    flags: '--dtype <type>',
    value: bounds.dtype,
    default: 'float32',
    help: 'type of the features',
    group: 'Features',
    commands: ['test'],
    kind: 'result',
    setting: 'dtype',
  }),
} as const;
