/**
 * Fault points: named places where a process kills itself if `CORNET_FAULT=<point>@<step>[:<lane or batch>]` says so, once per
 * run folder; `*` is any step. With `=pause` at its end, the process stands still there until it gets SIGCONT; with `=device`
 * a worker's device fails, with `=devices` that of everyone who comes there. They are how the tests act in mid-run, and show
 * that a fault costs time and nothing else.
 */
import { closeSync, openSync } from 'node:fs';
import { CornetError } from '../errors.ts';

/** In the order in which a step meets them. */
export const faultPoints = {
  worker: {
    loading: 'the snapshot is here, not yet loaded',
    loaded: 'the snapshot is loaded, nobody knows',
    computing: 'a shard is asked for',
    computed: 'its vector is there, not yet published',
    published: 'its vector is published, nobody knows',
    reducing: 'the parts of its slice are here, not yet summed',
    reduced: 'its slice is published, nobody knows',
    applying: 'all slices are here, not yet applied',
    applied: 'the update is done, nobody knows',
    'snapshot-asked': 'the snapshot is asked for',
    'snapshot-published': 'the snapshot is published, nobody knows',
    evaluating: 'a batch of a round is asked for',
    evaluated: 'its result is there, nobody knows',
  },
  coordinator: {
    'jobs-given': "the step's jobs are in the queues",
    'reduce-sent': 'all vectors are there and the members know',
    'apply-sent': 'the step is decided and the members know',
    committed: 'all members are at the next step',
    'load-sent': 'the newcomers were told to load',
    'checkpoint-begun': 'a checkpoint is about to be written',
    'checkpoint-writing': 'a part of a checkpoint is written',
    'checkpoint-written': 'a checkpoint is written, nobody knows',
    stored: "a batch's result is stored, nobody knows",
    validated: 'the validation is done, nobody knows',
  },
} as const;

type Side = keyof typeof faultPoints;
export type FaultPoint<S extends Side> = keyof (typeof faultPoints)[S] & string;

const names = new Set(Object.values(faultPoints).flatMap((points) => Object.keys(points)));

/** Environment variables: the fault, and the file that says it has happened. */
const faultVariable = 'CORNET_FAULT';
export const faultMarkerVariable = 'CORNET_FAULT_MARKER';

interface Armed {
  point: string;
  /** Null: any. */
  step: number | null;
  lane: number | null;
  effect: 'kill' | 'pause' | 'device' | 'devices';
  marker: string;
}

export class Faults<S extends Side> {
  readonly #armed: Armed | null;

  /** @throws CornetError OPTION_INVALID when the fault names no fault point */
  constructor(environment: NodeJS.ProcessEnv) {
    const text = environment[faultVariable];
    const marker = environment[faultMarkerVariable];
    if (text === undefined || marker === undefined) {
      this.#armed = null;
      return;
    }
    const match = /^([a-z-]+)@(\d+|\*)(?::(\d+))?(?:=(pause|devices?))?$/.exec(text);
    if (match === null || !names.has(match[1]!)) {
      throw new CornetError(
        'OPTION_INVALID',
        `${faultVariable}=${text} is not <point>@<step>[:<lane or batch>][=pause|=device|=devices].`,
        {
          hint: `Points: ${[...names].join(', ')}.`,
        },
      );
    }
    const [, point, step, lane, effect] = match;
    this.#armed = {
      point: point!,
      step: step === '*' ? null : Number(step),
      lane: lane === undefined ? null : Number(lane),
      effect: (effect as Armed['effect'] | undefined) ?? 'kill',
      marker,
    };
  }

  /**
   * Does not return if this is the place, or not before SIGCONT.
   * @param lane or the batch of a round
   * @throws CornetError DEVICE_FAILED, as the engine would
   */
  at(point: FaultPoint<S>, step: number, lane: number | null = null): void {
    if (!this.#isHere(point, step, lane)) return;
    const effect = this.#armed?.effect;
    if (effect === 'kill' || effect === 'pause')
      process.kill(process.pid, effect === 'kill' ? 'SIGKILL' : 'SIGSTOP');
    else throw new CornetError('DEVICE_FAILED', `The device failed in ${point}: ${faultVariable} says so.`);
  }

  /** The process dies in `milliseconds`, in the middle of what it does next. */
  soon(point: FaultPoint<S>, step: number, milliseconds: number): void {
    if (this.#isHere(point, step, null)) setTimeout(() => process.kill(process.pid, 'SIGKILL'), milliseconds);
  }

  #isHere(point: string, step: number, lane: number | null): boolean {
    const armed = this.#armed;
    if (armed === null || armed.point !== point) return false;
    if (armed.step !== null && armed.step !== step) return false;
    if (armed.lane !== null && lane !== null && armed.lane !== lane) return false;
    if (armed.effect === 'devices') return true;
    try {
      closeSync(openSync(armed.marker, 'wx')); // whoever makes the file is the one
      return true;
    } catch {
      return false;
    }
  }
}
