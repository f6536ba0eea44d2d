/** The engine as the worker's main thread sees it: calls answered by another thread, one at a time, in order. */
import { Worker } from 'node:worker_threads';
import { CornetError } from '../../shared/errors.ts';
import type { Numerics } from '../../shared/wire/protocol.ts';
import type { Engine, EngineOptions } from './engine.ts';
import type { ShardScores } from './scores.ts';
import type { ShardSeconds } from './training-pass.ts';

export type ShardReport = ShardScores & { readonly seconds: ShardSeconds };

export type EngineMethods = Pick<
  Engine,
  | 'load'
  | 'snapshot'
  | 'unstage'
  | 'vectorBytes'
  | 'offerVector'
  | 'reduce'
  | 'sliceBytes'
  | 'gather'
  | 'apply'
  | 'evaluate'
  | 'features'
  | 'vitals'
> & {
  /** Stages a shard, and gives its images back: their memory serves again. */
  stage(...args: Parameters<Engine['stage']>): Uint8Array<ArrayBuffer>;
  /** A shard's scores, with what it took; the digest of its vector, where that was given a target. */
  computeShard(...args: Parameters<Engine['computeShard']>): ShardReport & { readonly digest: string | null };
  /** Makes the engine and lets it compute its probe, and a shard of this many images if it is to warm up. */
  open(
    options: EngineOptions,
    warmUp: number | null,
  ): {
    numerics: Numerics;
    notes: readonly string[];
    vectorLength: number;
    probe: string;
  };
};
type Method = keyof EngineMethods;

export type EngineRequest = { [M in Method]: { method: M; args: Parameters<EngineMethods[M]> } }[Method];
export type EngineAnswer = { id: number } & (
  | { value: unknown }
  | { error: { code: string; message: string; hint?: string } }
);

interface Pending {
  resolve: (value: never) => void;
  reject: (error: unknown) => void;
}

export class EngineClient {
  readonly #thread: Worker;
  readonly #pending = new Map<number, Pending>();
  #next = 0;
  #turn: Promise<unknown> = Promise.resolve();

  /** Begins to load the thread's modules; `open` comes first. */
  constructor() {
    this.#thread = new Worker(new URL('./engine-thread.js', import.meta.url));
    this.#thread.on('message', (answer: EngineAnswer) => {
      const pending = this.#pending.get(answer.id);
      this.#pending.delete(answer.id);
      if ('error' in answer) pending?.reject(CornetError.fromJSON(answer.error));
      else pending?.resolve(answer.value as never);
    });
    this.#thread.on('error', (error) => this.#end(error));
    this.#thread.on('exit', () => this.#end(new Error('The engine thread has ended.')));
  }

  /**
   * Runs `work` when all earlier work has ended, so that what it asks of the engine is not interleaved with
   * anything else; failures of earlier work do not reach it.
   */
  exclusively<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.#turn.then(work, work);
    this.#turn = turn.catch(() => undefined); // its caller has the error
    return turn;
  }

  /** @param transfer buffers that are given away, not copied */
  call<M extends Method>(
    method: M,
    args: Parameters<EngineMethods[M]>,
    transfer: ArrayBuffer[] = [],
  ): Promise<ReturnType<EngineMethods[M]>> {
    const id = this.#next++;
    return new Promise((resolve, reject) => {
      this.#pending.set(id, { resolve, reject });
      this.#thread.postMessage({ id, method, args }, transfer);
    });
  }

  async close(): Promise<void> {
    await this.#thread.terminate();
  }

  #end(error: unknown): void {
    for (const { reject } of this.#pending.values()) reject(error);
    this.#pending.clear();
  }
}
