/** Workers that come: said hello for the first time or again, are refused, unknown, or cannot even start. */
import type { Hello, UpMessage } from '../../shared/wire/protocol.ts';
import type { Departures } from './departures.ts';
import type { Peers } from './peers.ts';
import type { RollCall } from './roll-call.ts';
import type { Next } from './run-events.ts';
import type { RunState } from './run-state.ts';

export class Arrivals {
  readonly #state: RunState;
  readonly #rollCall: RollCall;
  readonly #departures: Departures;
  readonly #peers: Peers;
  #fleetSize: number;

  constructor(fleetSize: number, state: RunState, rollCall: RollCall, departures: Departures, peers: Peers) {
    this.#fleetSize = fleetSize;
    this.#state = state;
    this.#rollCall = rollCall;
    this.#departures = departures;
    this.#peers = peers;
  }

  /** Local workers that are there, or will be. */
  get fleetSize(): number {
    return this.#fleetSize;
  }

  /**
   * Somebody speaks who is not known: it was dropped, or its hello was lost, and it missed the message that said so.
   * Nobody may wait for it, and it may not wait forever.
   */
  unregistered({ worker, type }: UpMessage): null {
    const known = type === 'bye' || type === 'failed' || this.#departures.answerDismissed(worker);
    if (!known) this.#state.send({ type: 'unknown', worker });
    return null;
  }

  hello(id: string, hello: Hello, number: number): Next {
    const state = this.#state;
    if (state.roster.get(id) !== undefined) return this.#rollCall.answered(id, hello.step, number);
    if (this.#departures.answerDismissed(id)) return null;
    const described = `${id} (${hello.host}, process ${hello.pid}, ${hello.numerics.processor})`;
    const refusal = state.roster.whyRefused(hello);
    if (refusal !== null) {
      state.send({ type: 'refuse', worker: id, error: refusal });
      state.log('warn', `Worker ${described} is refused: ${refusal.message}`);
      return null;
    }
    state.roster.add(id, hello, number, state.heard);
    state.log('info', `Worker ${described} joined.`);
    this.#peers.joined();
    const waiting = state.phase.name === 'waiting';
    if (waiting && state.roster.all.length === 1) state.enter({ name: 'waiting' }); // from now on for the others
    return waiting ? 'rest' : this.#peers.nextInRound();
  }

  /** A local worker cannot start: the run's end only where nobody else is there or will be. */
  postLost({ device, lastWords, left }: { device: string; lastWords: string; left: number }): Next {
    const state = this.#state;
    this.#fleetSize = left;
    if (left === 0) state.fleetLost = `A local worker cannot start: ${lastWords}`;
    if (state.fleetLost !== null && state.roster.all.length === 0) {
      state.fail({ code: 'WORKER_FAILED', message: state.fleetLost });
      return null;
    }
    state.log(
      'warn',
      `The local worker on ${device} is given up, and the run continues without it: ${lastWords}`,
    );
    return state.phase.name === 'waiting' ? 'rest' : null; // perhaps it was the last to wait for
  }
}
