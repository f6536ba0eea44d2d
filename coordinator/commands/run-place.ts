/** Where a run's coordinator can be heard. */
import { socketUrl } from '../../shared/redis/redis.ts';
import { type AnyConfig, isInference } from '../../shared/run-config.ts';

/**
 * The private Redis that the folder notes, or the user's own: as it was given to this command, else as the configuration
 * has it. Null: that lacks a password, or the run has none by now.
 */
export function redisOf(
  { config, redisSocket }: { config: AnyConfig; redisSocket: string | null },
  given: string | undefined,
): string | null {
  const own = isInference(config) ? undefined : config.options.redis;
  if (own !== undefined) return given ?? (own.includes('***') ? null : own);
  return redisSocket === null ? (given ?? null) : socketUrl(redisSocket);
}
