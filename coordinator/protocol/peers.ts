/** Who reaches whom over TCP: workers are told of each other, say what came of their tries, and newcomers wait for that. */
import type { UpMessage } from '../../shared/wire/protocol.ts';
import type { Reader } from './reach.ts';
import type { WorkerRecord } from './roster.ts';
import type { Next } from './run-events.ts';
import type { RunState } from './run-state.ts';

type Outcomes = (UpMessage & { type: 'reached' })['peers'];

export class Peers {
  readonly #state: RunState;

  constructor(state: RunState) {
    this.#state = state;
  }

  /** Somebody has come: perhaps there is a use for TCP now, and the coordinator itself is to try. */
  joined(): void {
    const { roster } = this.#state;
    if (!roster.wantsTcp) return;
    for (const peer of roster.reach.untriedHere()) this.#state.act({ type: 'try-peer', ...peer });
  }

  /** Heard time has passed: those who have come since share one message. */
  tell(): void {
    const body = this.#state.roster.peersToTell();
    if (body !== null) this.#state.send(body);
  }

  /**
   * What came of tries. A step under way goes on as it was begun: what is asked for next travels otherwise.
   * @param reader null: the coordinator itself
   */
  reached(reader: Reader, peers: Outcomes): Next {
    const { roster } = this.#state;
    const lost: Outcomes = [];
    const regained: Outcomes = [];
    for (const peer of peers) {
      const change = roster.reach.record(reader, peer.worker, peer.why);
      if (change === 'lost') lost.push(peer);
      if (change === 'regained') regained.push(peer);
    }
    this.#logLost(reader, lost);
    this.#logRegained(reader, regained);
    return this.nextInRound();
  }

  #logLost(reader: Reader, [first, ...others]: Outcomes): void {
    if (first === undefined) return;
    const servers = `worker ${this.#name(first.worker)}${andOthers(others.length)}`;
    const whose = others.length > 0 ? 'they publish' : `${first.worker} publishes`;
    const what = reader === null ? `What ${whose} for everybody` : `What ${whose}`;
    const { why } = first;
    this.#state.log(
      'warn',
      `${this.#nameReader(reader)} cannot reach ${servers} over TCP: ${why}. ${what} goes through Redis.`,
    );
  }

  #logRegained(reader: Reader, [first, ...others]: Outcomes): void {
    if (first === undefined) return;
    const servers = `worker ${this.#name(first.worker)}${andOthers(others.length)}`;
    this.#state.log('info', `${this.#nameReader(reader)} reaches ${servers} over TCP again.`);
  }

  #nameReader(reader: Reader): string {
    return reader === null ? 'The coordinator' : `Worker ${this.#name(reader)}`;
  }

  #name(id: string): string {
    const host = this.#state.roster.get(id)?.hello.host;
    return host === undefined ? id : `${id} (${host})`;
  }

  /** In a round, a newcomer is not kept waiting for its end. */
  nextInRound(): Next {
    const { inRound, stopping } = this.#state;
    return inRound && stopping === null && this.settled.length > 0 ? 'rest' : null;
  }

  /** Newcomers that may load the snapshot. */
  get settled(): WorkerRecord[] {
    const { roster } = this.#state;
    const newcomers = roster.with('newcomer');
    if (newcomers.length === 0) return newcomers;
    const { members } = roster;
    return newcomers.filter((one) => this.#isSettled(one, members));
  }

  /** Is it known how a newcomer's blobs can travel? Otherwise all would go through Redis because nobody has tried yet. */
  #isSettled({ id, hello, joinedAt }: WorkerRecord, members: readonly string[]): boolean {
    const { roster, heard, limits } = this.#state;
    const { reach } = roster;
    if (hello.tcp === undefined || !roster.wantsTcp || heard - joinedAt > limits.member) return true;
    return (
      reach.isTried(null, id) &&
      members.every((member) => reach.isTried(member, id) && reach.isTried(id, member))
    );
  }
}

function andOthers(others: number): string {
  if (others === 0) return '';
  return others === 1 ? ' and another one' : ` and ${others} others`;
}
