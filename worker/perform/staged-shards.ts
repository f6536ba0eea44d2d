/** Shards on their way to the device: the next one goes up while the present one is computed. */
import type { Unreadable } from '../../shared/wire/protocol.ts';
import type { ShardLoader } from '../data/prefetch.ts';
import type { EngineCalls } from './worker-parts.ts';

export interface StagedShard {
  readonly step: number;
  readonly lane: number;
  /** As the engine knows it. */
  readonly name: string;
  /** Settled when its images are decoded and sent to the engine. Rejected when one cannot be read. */
  readonly loaded: Promise<{
    readonly labels: Int32Array<ArrayBuffer>;
    readonly unreadable: readonly Unreadable[];
    /** Settled when the engine has taken them. */
    readonly taken: Promise<void>;
  }>;
}

export class StagedShards {
  readonly #loader: Pick<ShardLoader, 'announce' | 'get' | 'next' | 'reuse'>;
  readonly #engine: Pick<EngineCalls, 'call'>;
  /** The next shard, which no job has asked for yet. */
  #ahead: StagedShard | null = null;
  #count = 0;

  constructor(
    loader: Pick<ShardLoader, 'announce' | 'get' | 'next' | 'reuse'>,
    engine: Pick<EngineCalls, 'call'>,
  ) {
    this.#loader = loader;
    this.#engine = engine;
  }

  /** Announces the lanes served from now on, beginning with their shards of step `step`. */
  announce(lanes: readonly number[], step: number): void {
    const ahead = this.#ahead;
    if (this.#loader.announce(lanes, step, ahead) || ahead === null) return;
    this.#ahead = null;
    this.giveUp(ahead);
  }

  /** The shard that a job asks for; staged now if it was not staged ahead. */
  take(step: number, lane: number): StagedShard {
    const ahead = this.#ahead;
    if (ahead?.step !== step || ahead.lane !== lane) return this.#stage(step, lane);
    this.#ahead = null;
    return ahead;
  }

  /** To be called when the engine has been told to compute: what it is told now, it does beside that. */
  stageAhead(): void {
    if (this.#ahead !== null) return;
    const next = this.#loader.next;
    if (next !== null) this.#ahead = this.#stage(next.step, next.lane);
  }

  /** Nobody will compute it. */
  giveUp({ loaded, name }: StagedShard): void {
    loaded
      .then(({ taken }) => taken)
      .then(() => this.#engine.call('unstage', [name]))
      .catch(() => undefined); // what is wrong with the engine comes to light where it computes
  }

  #stage(step: number, lane: number): StagedShard {
    const name = `${step}:${lane}:${this.#count++}`;
    const loaded = this.#loader.get(step, lane).then(({ images, labels, unreadable }) => {
      const staging = this.#engine.call('stage', [name, images], [images.buffer]);
      const taken = staging.then((emptied) => this.#loader.reuse(emptied));
      taken.catch(() => undefined); // thrown when its job waits for it
      return { labels, unreadable, taken };
    });
    loaded.catch(() => undefined);
    return { step, lane, name, loaded };
  }
}
