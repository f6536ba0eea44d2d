import type { Socket } from 'node:net';
import type { Redis } from 'ioredis';

/** The address by which this machine reaches Redis; others are likely to reach it by the same. Undefined: by a file. */
export function ownAddress(redis: Redis): string | undefined {
  return (redis.stream as Socket).localAddress?.replace(/^::ffff:/, '');
}

export function isLoopback(address: string): boolean {
  return /^(127\.|::1$)/.test(address);
}
