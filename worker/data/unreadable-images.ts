/** Images that cannot be read, counted and not thrown. */
import { lookingAtData } from '../../shared/defaults.ts';
import { CornetError } from '../../shared/errors.ts';

export class UnreadableImages {
  #count = 0;
  readonly #problems: { readonly position: number; readonly sentence: string }[] = [];

  /**
   * @param position in the order in which the first ones are named
   * @throws what is no trouble with an image
   */
  add(error: unknown, position: number): void {
    if (!(error instanceof CornetError) || !/^IMAGE_/.test(error.code)) throw error;
    this.#count++;
    this.#problems.push({ position, sentence: error.message });
    this.#problems.sort((a, b) => a.position - b.position).splice(lookingAtData.problems);
  }

  /** How many, and what is said of the first ones. */
  get facts(): { unreadable: number; problems: string[] } {
    return { unreadable: this.#count, problems: this.#problems.map(({ sentence }) => sentence) };
  }
}
