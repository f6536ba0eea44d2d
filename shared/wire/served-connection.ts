/** A reader's connection as its server sees it: challenge ──> proof ──> requests, each answered before the next one is looked at. */
import { randomBytes } from 'node:crypto';
import type { Socket } from 'node:net';
import { socketRead } from '../defaults.ts';
import {
  type BlobRequest,
  challengeBytes,
  headerOf,
  isProof,
  longestRequest,
  parseRequest,
  proofBytes,
  proofOf,
  trailerOf,
} from './blob-session.ts';
import { type Checksum, Summing } from './checksum.ts';

/** What was asked for. */
export interface Answer {
  readonly bytes: Uint8Array;
  readonly checksum: Checksum;
}

/** An answer that is going out. */
interface Sending {
  readonly bytes: Uint8Array;
  readonly sum: Summing;
  sent: number;
}

interface Served {
  /** Of the server, as readers know it. */
  readonly name: string;
  readonly token: string;
  /** Is called when the reader has proven that it knows the token. */
  readonly proven: () => void;
  /** Null: it is not there, or there is nothing to be sent. */
  readonly answer: (asked: BlobRequest) => Answer | null;
}

export class ServedConnection {
  readonly #socket: Socket;
  readonly #served: Served;
  #received: Buffer = Buffer.alloc(0);
  /** The reader's proof. */
  #expected: Uint8Array | null = null;
  #stage: 'challenge' | 'proof' | 'requests' = 'challenge';
  /** The answer that is going out, and how far. */
  #sending: Sending | null = null;

  constructor(socket: Socket, served: Served) {
    this.#socket = socket;
    this.#served = served;
  }

  /** Something has come, or what was sent has gone out. */
  receive(bytes?: Buffer): void {
    if (this.#socket.destroyed) return;
    if (bytes !== undefined) this.#received = Buffer.concat([this.#received, bytes]);
    while (this.#step());
    // What comes before an answer has gone out waits in the kernel, and then at its sender.
    if (this.#socket.writableNeedDrain) this.#socket.pause();
    else this.#socket.resume();
    if (this.#received.length > longestRequest) this.#socket.destroy();
  }

  /** @returns whether there may be more to do */
  #step(): boolean {
    const socket = this.#socket;
    if (socket.destroyed || socket.writableEnded || socket.writableNeedDrain) return false;
    if (this.#sending !== null) return this.#send(this.#sending);
    switch (this.#stage) {
      case 'challenge':
        return this.#challenged();
      case 'proof':
        return this.#proved();
      case 'requests':
        return this.#asked();
    }
  }

  #challenged(): boolean {
    const challenge = this.#take(challengeBytes);
    if (challenge === null) return false;
    const { name, token } = this.#served;
    const challenges = { reader: challenge, server: randomBytes(challengeBytes) };
    this.#expected = proofOf('reader', token, name, challenges);
    this.#socket.write(Buffer.concat([challenges.server, proofOf('server', token, name, challenges)]));
    this.#stage = 'proof';
    return true;
  }

  #proved(): boolean {
    const proof = this.#take(proofBytes);
    if (proof === null) return false;
    if (!isProof(proof, this.#expected!)) return this.#hangUp();
    this.#served.proven();
    this.#stage = 'requests';
    return true;
  }

  #asked(): boolean {
    const end = this.#received.indexOf('\n');
    if (end < 0) return false;
    const line = this.#take(end + 1)!.toString('utf8');
    const asked = end > longestRequest ? null : parseRequest(line);
    if (asked === null) return this.#hangUp();
    const answer = this.#served.answer(asked);
    this.#socket.write(headerOf(answer?.checksum.kind ?? null));
    if (answer !== null) {
      const { bytes, checksum } = answer;
      this.#sending = { bytes, sum: new Summing(checksum, bytes), sent: 0 };
    }
    return true;
  }

  /** A part that stays near the processor between its checksum and the network. */
  #send(sending: Sending): true {
    const { bytes, sum, sent } = sending;
    sending.sent = Math.min(bytes.length, sent + socketRead);
    const isLast = sending.sent === bytes.length;
    this.#socket.cork();
    sum.advance(sending.sent);
    this.#socket.write(bytes.subarray(sent, sending.sent));
    if (isLast) {
      this.#socket.write(trailerOf(sum.end()));
      this.#sending = null;
    }
    this.#socket.uncork();
    return true;
  }

  #hangUp(): false {
    this.#socket.destroy();
    return false;
  }

  /** Null: they are not there yet. */
  #take(bytes: number): Buffer | null {
    if (this.#received.length < bytes) return null;
    const taken = Buffer.from(this.#received.subarray(0, bytes));
    this.#received = this.#received.subarray(bytes);
    return taken;
  }
}
