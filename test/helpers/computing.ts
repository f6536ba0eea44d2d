import type { Common } from '../../coordinator/protocol/roster.ts';
import { Run } from '../../coordinator/protocol/run.ts';
import type { RunAction, StepPlan } from '../../coordinator/protocol/run-events.ts';
import { timeouts } from '../../shared/defaults.ts';
import type { Hello, UpBody } from '../../shared/wire/protocol.ts';

const era = { term: 1, boot: 0 };
export const hello: Hello = {
  type: 'hello',
  host: 'host',
  pid: 1,
  place: 'there',
  version: '1',
  fingerprint: 'data',
  step: null,
  numerics: { backend: 'torch', version: '2', device: 'cpu', processor: 'some', threads: 1 },
  probe: 'probe',
  pixels: 'pixels',
  vectorLength: 16,
};

/** A run whose members compute step 0, each its lane. */
export class Computing {
  readonly run: Run;
  readonly workers: string[];
  readonly #said = new Map<string, number>();

  /**
   * @param loaded those of them that have loaded the snapshot, if not all
   * @param greeting what they say in their hellos besides
   * @param carrier that which the user allows
   */
  constructor(
    lanes: number,
    workers = lanes,
    loaded?: readonly string[],
    plan: Partial<StepPlan> = {},
    greeting: Partial<Hello> | ((worker: string) => Partial<Hello>) = {},
    carrier: Common['carrier'] = 'auto',
  ) {
    this.workers = Array.from({ length: workers }, (_, i) => `worker-${i}`);
    const shares = Array.from({ length: lanes }, (_, lane) => ({ lane, weight: 1 / lanes, count: 1 }));
    this.run = new Run({
      plan: {
        steps: {
          lanes,
          deterministic: true,
          totalSteps: 2,
          shares: () => shares,
          learningRate: () => 0.1,
          roundDue: () => false,
          checkpointDue: () => false,
          audited: () => [],
          ...plan,
        },
        round: { job: 'validate', batches: 1, finished: new Map() },
      },
      limits: timeouts,
      era,
      common: { version: '1', fingerprint: 'data', place: 'here', carrier, numerics: null },
      fleetSize: workers,
      describeShard: String,
      describeBatch: String,
    });
    this.run.start();
    const ref = { name: 'snapshot', bytes: 1, digest: '0', at: 'redis' };
    this.run.handle({ type: 'restored', step: 0, ref, validated: true });
    const greet = typeof greeting === 'function' ? greeting : () => greeting;
    for (const worker of this.workers) this.say(worker, { ...hello, ...greet(worker) });
    for (const worker of loaded ?? this.workers) this.say(worker, { type: 'loaded', step: 0 });
  }

  /** The only worker does the step: computes its lane, sums and applies. */
  doStep(): RunAction[] {
    const [alone] = this.workers as [string];
    const { step, generation } = this.run;
    const scores = { loss: 1, top1: 0, top5: 0, count: 1 };
    return [
      ...this.say(alone, { type: 'vector', step, lane: 0, ref: null, ...scores }),
      ...this.say(alone, { type: 'slice', step, generation, ref: null, bad: null }),
      ...this.say(alone, { type: 'applied', step: step + 1 }),
    ];
  }

  say(worker: string, body: UpBody): RunAction[] {
    const n = this.#said.get(worker) ?? 0;
    this.#said.set(worker, n + 1);
    return this.run.handle({ type: 'message', message: { era, n, worker, ...body } });
  }
}
