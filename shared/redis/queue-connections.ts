import { createIORedisClient, RedisConnection } from 'bullmq';
import type { RedisOptions } from 'ioredis';
import type { OutageLog } from './outages.ts';
import { PatientRedis } from './patient-redis.ts';

/** BullMQ makes its own connections: from now on each of them waits while Redis refuses commands, and `outages` says so. */
export function waitInQueues(outages: OutageLog): void {
  RedisConnection.clientFactory = (options) => {
    const redis = new PatientRedis(options as RedisOptions);
    outages.heed(redis);
    return createIORedisClient(redis);
  };
}
