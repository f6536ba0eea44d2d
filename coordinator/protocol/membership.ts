/** Who is alive: pure decisions that return the sentence saying why. */
import { describeOwed, type Owed } from './debts.ts';

export interface Heartbeat {
  id: string;
  /** Heard time of its last message. */
  heardAt: number;
  /** What the run waits for it to deliver, and the heard time since when; or null. */
  owed: { owes: Owed; since: number } | null;
}

export interface Limits {
  /** Milliseconds of silence after which a worker is dropped. */
  member: number;
  /** Milliseconds after which a worker that beats but does not deliver is dropped. */
  step: number;
}

/** The workers to drop at heard time `heard`, each with the reason. */
export function judge(workers: Heartbeat[], heard: number, limits: Limits): { id: string; reason: string }[] {
  const verdicts: { id: string; reason: string }[] = [];
  for (const worker of workers) {
    const silence = heard - worker.heardAt;
    if (silence > limits.member) {
      verdicts.push({
        id: worker.id,
        reason: `not heard for ${seconds(silence)} (limit ${seconds(limits.member)})`,
      });
    } else if (worker.owed !== null && heard - worker.owed.since > limits.step) {
      verdicts.push({
        id: worker.id,
        reason: `alive, but has owed ${describeOwed(worker.owed.owes)} for ${seconds(heard - worker.owed.since)} (limit ${seconds(limits.step)})`,
      });
    }
  }
  return verdicts;
}

/** Lanes dealt to the workers in turn: lane k goes to worker k mod the number of workers. */
export function dealLanes(lanes: number, workers: readonly string[]): Map<string, number[]> {
  const dealt = new Map<string, number[]>(workers.map((worker) => [worker, []]));
  for (let lane = 0; lane < lanes && workers.length > 0; lane++) {
    dealt.get(workers[lane % workers.length]!)!.push(lane);
  }
  return dealt;
}

export function seconds(milliseconds: number): string {
  return `${(milliseconds / 1000).toFixed(milliseconds < 10_000 ? 1 : 0)} s`;
}
