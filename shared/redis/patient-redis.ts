/** A connection to Redis that takes "not now" as it takes a lost connection: what was refused is sent until it is taken. */
import type { Duplex } from 'node:stream';
import { type Command, Redis, type RedisOptions } from 'ioredis';
import { redisRetry } from '../defaults.ts';
import { hasMoved, isPassing } from './redis-replies.ts';
import { SentinelConnector } from './sentinels.ts';

type Item = Parameters<Redis['handleReconnection']>[1];

/**
 * While it is patient, whoever gave a command sees no reply that `isPassing`. The refused commands and all given after
 * them wait in order; the first one is sent again, after delays that grow as those between two connections, until it
 * is answered otherwise; then the others follow. Commands that were under way behind a refused one may overtake it
 * (see `append`). Events: `refused` with the error when this begins, `accepted` when it is over.
 */
export class PatientRedis extends Redis {
  /** False: a reply that would pass is an error like any other, as it should be where nobody is there to wait. */
  patient = false;
  readonly #waiting: Command[] = [];
  /** Refused at least once: their answer may end the wait. */
  readonly #known = new WeakSet<Command>();
  #isRefused = false;
  /** The one sent again, and not yet answered. */
  #asked: Command | null = null;
  #attempts = 0;
  #timer: NodeJS.Timeout | undefined;

  constructor(options: RedisOptions) {
    super(options);
    this.on('end', () => this.#giveUp());
  }

  /** How the master is found through Sentinels; null: the URL names the server itself. */
  get sentinels(): SentinelConnector | null {
    const { connector } = this as unknown as { connector: unknown };
    return connector instanceof SentinelConnector ? connector : null;
  }

  /** @param reconnect make the connection anew; one that is being made is left alone, for ioredis would give it up for good while it asks Sentinels (BullMQ does this whenever it has blocked for too long) */
  override disconnect(reconnect = false): void {
    if (reconnect && this.status === 'connecting') return;
    // For the end of a stream that has ended already it would wait two seconds, and keep the process as long.
    const { connector } = this as unknown as { connector: { stream?: Duplex | null } };
    if (connector.stream?.destroyed === true) connector.stream = null;
    super.disconnect(reconnect);
  }

  override sendCommand(command: Command, stream?: Item['stream']): unknown {
    // In state `connect` come the commands with which ioredis begins a connection.
    const held = this.#isRefused && command !== this.#asked && this.status !== 'connect';
    if (!held) return super.sendCommand(command, stream);
    this.#waiting.push(command);
    return command.promise;
  }

  /** ioredis calls this with every error that Redis answers. */
  override handleReconnection(error: Error, item: Item): void {
    const command = item.command as Command;
    if (this.patient && isPassing(error) && !command.inTransaction) return this.#refused(error, command);
    this.#answered(command);
    super.handleReconnection(error, item);
  }

  #refused(error: Error, command: Command): void {
    if (this.status === 'connect') {
      // A connection that begins with a refusal is made anew: otherwise ioredis gives up all that waits for it. The
      // command waits for the next one, for it may be somebody's: ioredis sends some, as INFO, before it is ready.
      this.silentEmit('error', error);
      this.disconnect(true);
      super.sendCommand(command);
      return;
    }
    if (!this.#known.has(command)) {
      this.#known.add(command);
      const { resolve } = command;
      command.resolve = (reply) => {
        this.#answered(command);
        resolve(reply);
      };
    }
    if (command === this.#asked) this.#waiting.unshift(command);
    else this.#waiting.push(command);
    if (!this.#isRefused) {
      this.#isRefused = true;
      this.emit('refused', error);
    } else if (command !== this.#asked) return; // it was under way behind another
    this.#asked = null;
    const delay = Math.min(++this.#attempts * redisRetry.growth, redisRetry.longest);
    this.#timer = setTimeout(() => this.#askAgain(hasMoved(error)), delay);
  }

  /** @param elsewhere another server may be the master by now, and found where this one was */
  #askAgain(elsewhere: boolean): void {
    if (elsewhere && this.status === 'ready') this.disconnect(true);
    const command = this.#waiting.shift()!;
    this.#asked = command;
    super.sendCommand(command);
  }

  #answered(command: Command): void {
    if (command !== this.#asked) return;
    this.#asked = null;
    this.#isRefused = false;
    this.#attempts = 0;
    this.emit('accepted');
    for (const next of this.#waiting.splice(0)) this.sendCommand(next);
  }

  /** As ioredis does with what waits for a connection when there will be none. */
  #giveUp(): void {
    clearTimeout(this.#timer);
    this.#asked = null;
    this.#isRefused = false;
    this.#attempts = 0;
    for (const command of this.#waiting.splice(0)) command.reject(new Error('Connection is closed.'));
  }
}
