/** What `worker look-at-images` finds, and `coordinator data` says. */
import { z } from 'zod';
import { splitNames } from './sources/find-source.ts';

const count = z.int().nonnegative();
const size = z.object({ width: z.number(), height: z.number() });

/** Images that cannot be read: how many, and what is said of the first ones. */
const unreadable = { unreadable: count, problems: z.array(z.string()) };

export const imageFacts = z.object({
  /** Of each split that was sampled. */
  sample: z.array(
    z.object({
      split: z.enum(splitNames),
      images: count,
      /** In pixels, of those that can be decoded: the smallest and the largest have the fewest and the most. Null: there is none. */
      pixels: z.object({ mean: size, smallest: size, largest: size }).nullable(),
      ...unreadable,
    }),
  ),
  /** Null: they were not looked for. */
  duplicates: z
    .object({
      /** Images that had to be read, because others have their size. */
      read: count,
      ...unreadable,
      /** Images that have the bytes of another one, and how many different ones these are. */
      images: count,
      contents: count,
      /** Validation images that are training images, too. */
      leaked: count,
      /** The first ones, by their paths relative to the data folder: those that leak come before others. */
      pairs: z.array(z.tuple([z.string(), z.string()])),
    })
    .nullable(),
  /** Null: there is none. */
  contactSheet: z.object({ images: count, ...unreadable }).nullable(),
});
export type ImageFacts = z.infer<typeof imageFacts>;
export type SampleFacts = ImageFacts['sample'][number];
export type DuplicateFacts = NonNullable<ImageFacts['duplicates']>;

/** What a contact sheet names as its software: by this it is known again. */
export const contactSheetMark = 'cornet-contact-sheet';
