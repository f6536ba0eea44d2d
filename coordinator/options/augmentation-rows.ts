/** The options that say what becomes of images: augmentation of those of a training, and normalisation of all. */
import { z } from 'zod';
import { plainAugmentation } from '../../shared/defaults.ts';
import { bounds } from '../../shared/option-bounds.ts';
import { numbers } from './recipe-rows.ts';
import { row } from './row.ts';

/** `3/4,4/3` */
const ratios = (text: string): number[] =>
  text.split(',').map((part) => numbers(part.replace('/', ',')).reduce((whole, share) => whole / share));

/** A part of every row of augmentation. */
const augmentation = { rare: true, group: 'Training', commands: ['start', 'data'], kind: 'result' } as const;
/** A part of every row of normalisation. */
const ofAllImages = {
  rare: true,
  group: 'Model and data',
  commands: ['start', 'validate', 'test', 'predict'],
  kind: 'result',
} as const;
const ofWeights = { defaultTold: 'that of the run or checkpoint, else imagenet' } as const;

export const augmentationRows = {
  augment: row({
    ...augmentation,
    flags: '--augment <kind>',
    value: bounds.augment,
    default: plainAugmentation.augment,
    help: 'which part of a training image is seen',
    details:
      "crop: torchvision's RandomResizedCrop, and a flip; center: as validation, and a flip; none: as validation",
    setting: 'augment',
  }),
  cropScale: row({
    ...augmentation,
    flags: '--crop-scale <least,most>',
    value: bounds.cropScale,
    read: numbers,
    help: "share of an image's area that a crop has",
    defaultTold: plainAugmentation.cropScale.join(','),
    setting: 'cropScale',
  }),
  cropRatio: row({
    ...augmentation,
    flags: '--crop-ratio <least,most>',
    value: bounds.cropRatio,
    read: ratios,
    help: 'width of a crop by its height',
    defaultTold: '3/4,4/3',
    setting: 'cropRatio',
  }),
  flip: row({
    ...augmentation,
    flags: '--no-flip',
    value: z.boolean(),
    default: plainAugmentation.flip,
    help: 'do not mirror half of the training images',
    setting: 'flip',
  }),
  rotate: row({
    ...augmentation,
    flags: '--rotate <degrees>',
    value: bounds.rotate,
    unit: 'degrees',
    default: plainAugmentation.rotate,
    help: 'turn training images by up to so much',
    details: "to either side, as torchvision's RandomRotation, bilinear; what comes into sight is black",
    setting: 'rotate',
  }),
  colorJitter: row({
    ...augmentation,
    flags: '--color-jitter <b,c,s,h>',
    value: bounds.colorJitter,
    read: numbers,
    help: "brightness, contrast, saturation, hue: torchvision's ColorJitter",
    details: 'factors from 1-x to 1+x, in an order that is drawn, too; of the hue at most 0.5',
    defaultTold: 'none',
    setting: 'colorJitter',
  }),
  grayscale: row({
    ...augmentation,
    flags: '--grayscale <p>',
    value: bounds.grayscale,
    unit: 'probability',
    default: plainAugmentation.grayscale,
    help: 'probability with which a training image loses its colours',
    setting: 'grayscale',
  }),
  blur: row({
    ...augmentation,
    flags: '--blur <sigma:epoch>',
    value: bounds.blur,
    help: 'Gaussian blur of training images in pixels: 2, or 4:0,2:5,0:10',
    details:
      "σ:epoch holds from that epoch on; low:high@epoch draws each image's σ; as torchvision with a kernel of 2⌈3σ⌉+1 pixels",
    defaultTold: 'none',
    setting: 'blur',
  }),
  normalize: row({
    ...ofAllImages,
    flags: '--normalize <kind>',
    value: bounds.normalizationName,
    help: 'mean and std by which pixels are normalised',
    details: 'half: 0.5 and 0.5; none: 0 and 1',
    defaultTold: 'imagenet',
    setting: 'normalize',
    variants: { validate: ofWeights, test: ofWeights, predict: ofWeights },
  }),
  mean: row({
    ...ofAllImages,
    flags: '--mean <r,g,b>',
    value: bounds.mean,
    read: numbers,
    help: 'means of the channels, 0 to 1, instead of those of --normalize',
  }),
  std: row({
    ...ofAllImages,
    flags: '--std <r,g,b>',
    value: bounds.std,
    read: numbers,
    help: 'deviations of the channels, instead of those of --normalize',
  }),
} as const;
