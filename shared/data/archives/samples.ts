/**
 * Images and the files that say their classes, put together as WebDataset does it: files that follow one another and have
 * the same path up to the first dot of the file's name are one sample (`0017.jpg`, `0017.cls`).
 */
import { CornetError } from '../../errors.ts';
import { quoteName } from '../../util/printable.ts';
import type { ArchivedImage } from './archived-image.ts';

export type UnlabelledImage = Omit<ArchivedImage, 'label'>;

/** What the members of a sample have in common: `train/0017`. A file whose name begins with a dot stands alone. */
export function sampleOf(name: string): string {
  const dot = firstDot(name);
  return dot < 0 ? name : name.slice(0, dot);
}

/** What a member is of its sample, in small letters: `cls`. */
export function roleOf(name: string): string {
  const dot = firstDot(name);
  return dot < 0 ? '' : name.slice(dot + 1).toLowerCase();
}

function firstDot(name: string): number {
  const base = name.lastIndexOf('/') + 1;
  const dot = name.indexOf('.', base);
  return dot > base ? dot : -1;
}

/** Whether the images of an archive have classes beside them: all, or none. */
export class LabelledOrNot {
  readonly #title: string;
  #labelled: string | null = null;
  #unlabelled: string | null = null;

  /** @param title what sentences call the archive */
  constructor(title: string) {
    this.#title = title;
  }

  /** @throws CornetError DATA_INVALID */
  saw(image: string, isLabelled: boolean): void {
    if (isLabelled) this.#labelled ??= image;
    else this.#unlabelled ??= image;
    if (this.#labelled === null || this.#unlabelled === null) return;
    const message = `In the archive ${this.#title} the image ${quoteName(this.#unlabelled)} has no class: no .cls file stands beside it, as for ${quoteName(this.#labelled)}.`;
    throw new CornetError('DATA_INVALID', message, {
      hint: 'In a WebDataset shard the members of a sample follow one another (tar --sort=name), and each image has its .cls file.',
    });
  }
}

/** Takes the members of one archive in its order, and gives each image once its sample has ended. */
export class Samples {
  readonly #title: string;
  readonly #all: LabelledOrNot;
  readonly #take: (image: ArchivedImage) => void;
  #key: string | null = null;
  #image: UnlabelledImage | null = null;
  #label: string | null = null;
  /** Of an image that was given before its sample ended. */
  #given: string | null = null;

  constructor(title: string, all: LabelledOrNot, take: (image: ArchivedImage) => void) {
    this.#title = title;
    this.#all = all;
    this.#take = take;
  }

  image(key: string, image: UnlabelledImage): void {
    this.#enter(key);
    if (this.#image !== null) {
      if (this.#label !== null) throw this.#twoImages(this.#image.name, image.name);
      // Two images are no sample: `a.1.jpg` and `a.2.jpg` of a class folder.
      this.#given = this.#image.name;
      this.#give(this.#image);
    }
    this.#image = image;
  }

  /** @param isWeak another label of the same sample counts more */
  label(key: string, label: string, isWeak: boolean): void {
    this.#enter(key);
    if (this.#given !== null && this.#image !== null) throw this.#twoImages(this.#given, this.#image.name);
    if (!isWeak || this.#label === null) this.#label = label;
  }

  /** The archive ends. */
  end(): void {
    if (this.#image !== null) this.#give(this.#image);
    this.#image = null;
    this.#label = null;
    this.#given = null;
  }

  #enter(key: string): void {
    if (key === this.#key) return;
    this.end();
    this.#key = key;
  }

  #give(image: UnlabelledImage): void {
    this.#all.saw(image.name, this.#label !== null);
    const { name, bytes, offset, stored, skip } = image;
    this.#take({ name, label: this.#label, bytes, offset, stored, skip });
  }

  #twoImages(first: string, second: string): CornetError {
    const message = `A sample of the archive ${this.#title} has two images, ${quoteName(first)} and ${quoteName(second)}, for one class.`;
    return new CornetError('DATA_INVALID', message, {
      hint: 'Pack one image into each sample of a WebDataset shard.',
    });
  }
}
