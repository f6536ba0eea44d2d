/** What follows when blobs of a step are not there to be read, again and again. */
import type { Failure } from './run-events.ts';
import type { RunState } from './run-state.ts';

/**
 * How often a step's blobs may vanish before the run gives up on the carrier, and those of one worker before it does on
 * that one; on shared memory it gives up before, because there are other ways.
 */
const limit = 10;
const limitOfOne = 4;
const limitOfMemory = 3;

export class MissingBlobs {
  readonly #state: RunState;
  readonly #step: number;
  #count = 0;
  #inMemory = 0;
  /** By whose vectors could not be read. */
  readonly #of = new Map<string, number>();

  constructor(state: RunState, step: number) {
    this.#state = state;
    this.#step = step;
  }

  /**
   * One more could not be read.
   * @param maker of a vector; undefined: of a slice, or it is not known
   * @returns whom to drop, or why the run fails, or null: it is made again
   */
  add(maker: string | undefined): { drop: string; reason: string } | Failure | null {
    this.#doubtMemory();
    const unreadable = maker === undefined ? null : this.#unreadable(maker);
    if (unreadable !== null) return unreadable;
    if (++this.#count <= limit) return null;
    const message = `Blobs of step ${this.#step} vanished ${limit} times before they could be read.`;
    return { code: 'BLOB_LOST', message };
  }

  /** Perhaps something keeps processes out of each other's memory that nobody could see. */
  #doubtMemory(): void {
    const { roster } = this.#state;
    const { members } = roster;
    if (roster.exchangeCarrier(members) !== 'memory' || ++this.#inMemory < limitOfMemory) return;
    roster.distrustMemory();
    const times = `${limitOfMemory} times in one step`;
    const way = roster.exchangeCarrier(members) === 'redis' ? 'through Redis' : 'over sockets';
    this.#state.log('warn', `Shared memory could not be read, ${times}: vectors go ${way} from now on.`);
  }

  /** Whoever is there, and whose vectors nobody can read, does without: too many open files on its side, perhaps. */
  #unreadable(maker: string): { drop: string; reason: string } | null {
    const { members } = this.#state.roster;
    if (members.length < 2 || !members.includes(maker)) return null;
    const times = (this.#of.get(maker) ?? 0) + 1;
    this.#of.set(maker, times);
    if (times < limitOfOne) return null;
    this.#count = 0;
    return { drop: maker, reason: `its vectors could not be read, ${times} times in one step` };
  }
}
