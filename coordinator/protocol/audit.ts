/**
 * Shards that a second member computes once more, before the step goes on: what a device, a memory or a driver computes
 * wrongly without a word is found out, and by a third opinion who it was.
 */
import type { BlobRef } from '../../shared/wire/protocol.ts';
import type { Failure } from './run-events.ts';
import { areDifferent, type Vector } from './step.ts';

/** How many auditors of a shard may be lost before its audit is given up. */
const attemptsOfOneAudit = 2;

/** What an audit needs of the step. */
export interface Audited {
  /** Members that could compute a shard of the step. */
  readonly able: readonly string[];
  vector(lane: number): Vector | undefined;
  /** Gives a shard to a member. */
  ask(worker: string, lane: number): void;
}

export interface Verdict {
  readonly lane: number;
  readonly opinions: readonly Opinion[];
}

export interface Opinion {
  readonly worker: string;
  readonly ref: BlobRef;
}

export class Audit {
  readonly #lanes: Set<number>;
  /** Who was asked for each lane. */
  readonly #asked = new Map<number, string>();
  readonly #attempts = new Map<number, number>();
  /** Of lanes of which there are different ones. */
  readonly #opinions = new Map<number, Opinion[]>();
  #verdict: Verdict | null = null;

  /** @param lanes the shards to audit */
  constructor(lanes: Iterable<number>) {
    this.#lanes = new Set(lanes);
  }

  /** Opinions that differ, once nobody else can be asked; null: none do. */
  get verdict(): Verdict | null {
    return this.#verdict;
  }

  /**
   * All vectors of the step are there: asks for those that are to be compared.
   * @returns whether something is still to be waited for
   */
  advance({ able, vector, ask }: Audited): boolean {
    for (const lane of [...this.#lanes]) {
      const asked = this.#asked.get(lane);
      const maker = vector(lane)?.worker;
      if (asked !== undefined && asked !== maker && able.includes(asked)) continue;
      const attempts = (this.#attempts.get(lane) ?? 0) + 1;
      this.#attempts.set(lane, attempts);
      const opinions = this.#opinions.get(lane) ?? [];
      const others = without(able, [maker, ...opinions.map(({ worker }) => worker)]);
      if (others.length === 0 || attempts > attemptsOfOneAudit) {
        this.#close(lane, opinions);
        continue;
      }
      const auditor = others[lane % others.length]!;
      this.#asked.set(lane, auditor);
      ask(auditor, lane);
    }
    return this.#lanes.size > 0;
  }

  /**
   * A vector has come.
   * @param first that which is used
   * @returns whether it was asked for here
   */
  compare(lane: number, first: Opinion, second: Opinion, able: readonly string[]): boolean {
    if (this.#asked.get(lane) !== second.worker) return false;
    this.#asked.delete(lane);
    const opinions = [...(this.#opinions.get(lane) ?? [first]), second];
    const agree = !opinions.some(({ ref }) => areDifferent(ref, first.ref));
    const nobodyElse =
      without(
        able,
        opinions.map(({ worker }) => worker),
      ).length === 0;
    if (agree) this.#close(lane, []);
    else if (opinions.length > 2 || nobodyElse) this.#close(lane, opinions);
    else {
      this.#opinions.set(lane, opinions);
      this.#attempts.set(lane, 0);
    }
    return true;
  }

  /** Who owes an opinion, and of which lane. */
  get debts(): { worker: string; lane: number }[] {
    return [...this.#asked].map(([lane, worker]) => ({ worker, lane }));
  }

  #close(lane: number, opinions: readonly Opinion[]): void {
    if (opinions.length > 1) this.#verdict ??= { lane, opinions };
    this.#lanes.delete(lane);
    this.#asked.delete(lane);
    this.#opinions.delete(lane);
  }
}

function without(workers: readonly string[], heard: readonly (string | undefined)[]): string[] {
  return workers.filter((worker) => !heard.includes(worker));
}

/**
 * Why a run ends whose workers do not agree.
 * @param shard what they computed
 * @param nameOf describes a worker
 */
export function disagreement(
  opinions: readonly Opinion[],
  shard: string,
  nameOf: (worker: string) => string,
): Failure {
  const digests = opinions.map(({ worker, ref }) => `${nameOf(worker)} ${ref.digest}`).join(', ');
  const odd = oddOneOut(opinions);
  const who = odd === null ? '' : ` Two of three agree: suspect ${nameOf(odd)}.`;
  return {
    code: 'NOT_DETERMINISTIC',
    message: `Workers computed different vectors for ${shard}: ${digests}.${who}`,
  };
}

/** Whose vector is another than that of two others, or null. */
function oddOneOut(opinions: readonly Opinion[]): string | null {
  if (opinions.length < 3) return null;
  const odd = opinions.filter(
    ({ ref }) => opinions.filter((other) => areDifferent(other.ref, ref)).length > 1,
  );
  return odd.length === 1 ? odd[0]!.worker : null;
}
