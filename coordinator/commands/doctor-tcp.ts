/** Whether workers of this machine can serve vectors to other hosts, and where those would look for them. */
import type { Redis } from 'ioredis';
import { describeError } from '../../shared/errors.ts';
import { isLoopback, ownAddress } from '../../shared/redis/own-address.ts';
import { redisOptions } from '../../shared/redis/redis.ts';
import { TcpListener } from '../../shared/wire/tcp-listener.ts';
import { type Finding, note, ok } from './doctor-finding.ts';

const subject = 'TCP';

/** @returns nothing where Redis is a file of this machine: then nobody is elsewhere */
export async function checkTcp(redis: Redis, url: string): Promise<Finding[]> {
  const seenAs = ownAddress(redis);
  if (seenAs === undefined) return [];
  const encrypted = redisOptions(url).tls !== undefined;
  try {
    const listener = await TcpListener.open({ seenAs, encrypted }, 'of nobody', (socket) => socket.destroy());
    await listener.close();
    const hosts = listener.announced.addresses.map((address) => address.replace(/:\d+$/, ''));
    const how = encrypted ? ', encrypted' : '';
    if (hosts.every(isLoopback)) {
      const hint =
        'If other hosts are to take part, name an address that they reach: worker start --blob-host ADDRESS';
      return [note(subject, `This machine has no address for other hosts but ${hosts.join(', ')}.`, hint)];
    }
    return [ok(subject, `workers serve vectors to other hosts at ${hosts.join(', ')}, any free port${how}`)];
  } catch (error) {
    const { message, hint } = describeError(error);
    return [note(subject, message, hint)];
  }
}
