/**
 * What a blob server and its readers say to each other, over a unix socket or TCP.
 *
 * First both prove that they know the run's token, without sending it: the reader sends a challenge (32 random bytes), the
 * server its own and its proof, the reader its proof. A proof is an HMAC over both challenges, the server's name and the
 * side that proves, so none can be used again, by anybody, anywhere. Then the reader sends requests, each a line of JSON; the
 * answer is a header and, for a `get` that succeeds, the bytes asked for and their checksum. One request at a time per
 * connection.
 */
import { createHmac, timingSafeEqual } from 'node:crypto';
import { z } from 'zod';
import { blobPiece } from '../defaults.ts';
import { type ChecksumKind, checksumKinds } from './checksum.ts';

export const challengeBytes = 32;
export const proofBytes = 32;
export const longestRequest = 4_096;
/** Of up to 200 characters. */
export const namesInRequest = 16;

/** A blob that every server has, for whoever tries whether it can be reached: large enough not to fit into one packet. */
export const greetingName = '';
export const greetingBytes = 64 * 1024;

/** Both challenges, in the order in which they were sent. */
export interface Challenges {
  readonly reader: Uint8Array;
  readonly server: Uint8Array;
}

/** @param server the name by which the reader knows it, so that no other one can answer in its place */
export function proofOf(
  side: 'server' | 'reader',
  token: string,
  server: string,
  challenges: Challenges,
): Uint8Array {
  const hmac = createHmac('sha256', token).update(`cornet blobs, ${side} of ${server}\n`);
  return hmac.update(challenges.reader).update(challenges.server).digest();
}

export function isProof(given: Uint8Array, expected: Uint8Array): boolean {
  return given.length === expected.length && timingSafeEqual(given, expected);
}

/** The key that both sides of an encrypted connection have in common. */
export function encryptionKeyOf(token: string, server: string): Buffer {
  return createHmac('sha256', token).update(`cornet blobs, encryption of ${server}\n`).digest();
}

/** TLS with a pre-shared key: nothing but what is fixed here is spoken, so there is nothing to be talked down to. */
export const encryption = {
  minVersion: 'TLSv1.3',
  maxVersion: 'TLSv1.3',
  ciphers: 'TLS_AES_128_GCM_SHA256',
} as const;

const request = z.discriminatedUnion('op', [
  z
    .strictObject({
      op: z.literal('get'),
      name: z.string(),
      begin: z.int().nonnegative(),
      end: z.int(),
      checksum: z.enum(checksumKinds),
    })
    .refine(({ begin, end }) => begin <= end && end - begin <= blobPiece),
  z.strictObject({ op: z.literal('delete'), names: z.array(z.string()).max(namesInRequest) }),
]);
export type BlobRequest = z.infer<typeof request>;

/** Null: nobody who belongs to a run says that. */
export function parseRequest(line: string): BlobRequest | null {
  try {
    const parsed = request.safeParse(JSON.parse(line));
    return parsed.success ? parsed.data : null;
  } catch {
    return null;
  }
}

export const headerBytes = 8;
export const trailerBytes = 8;
const found = 1;
const missing = 2;

/**
 * A status, the kind of the checksum, and nothing more.
 * @param kind of the checksum behind the bytes that follow; null: none do, because what was asked for is not there
 */
export function headerOf(kind: ChecksumKind | null): Uint8Array {
  const header = new Uint8Array(headerBytes);
  header[0] = kind === null ? missing : found;
  header[1] = kind === null ? 0 : checksumKinds.indexOf(kind);
  return header;
}

/** @returns undefined: it is no header */
export function parseHeader(header: Uint8Array): ChecksumKind | null | undefined {
  if (header[0] === missing) return null;
  return header[0] === found ? checksumKinds[header[1]!] : undefined;
}

/** The checksum, little endian: it is known when the last bytes are sent. */
export function trailerOf(checksum: bigint): Uint8Array {
  const trailer = Buffer.alloc(trailerBytes);
  trailer.writeBigUInt64LE(checksum);
  return trailer;
}

export function parseTrailer(trailer: Uint8Array): bigint {
  return new DataView(trailer.buffer, trailer.byteOffset).getBigUint64(0, true);
}
