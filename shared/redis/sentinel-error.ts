import { ReplyError } from 'ioredis';
import { CornetError } from '../errors.ts';
import { quoteName } from '../util/printable.ts';
import type { PatientRedis } from './patient-redis.ts';
import { errorOfReply } from './redis-replies.ts';
import type { Unhelpful } from './sentinels.ts';

const hints = {
  silent:
    'Check that the Sentinels run and that hosts, ports (26379 as a rule) and firewall let this machine reach them; --wait 60 waits a minute for them.',
  unknown:
    'Give the name as in their configuration (sentinel monitor NAME …); SENTINEL MASTERS lists those that they know: redis+sentinel://host:26379/NAME.',
  replica:
    'A failover may be under way: try again, or wait for its end with --wait 60. The Sentinels make a server that should be the master one (SENTINEL MASTER NAME).',
  refused:
    'Give what the Sentinels ask for as redis+sentinel://…/master-name?sentinelUsername=…&sentinelPassword=… (without a name where they have none): user and password before the @ are for the master alone.',
  noSentinel:
    'Behind redis+sentinel:// stand the addresses of Sentinels (port 26379 as a rule); that of a Redis itself is written redis://host:port.',
} as const;

/**
 * Why Sentinels did not lead to a master.
 * @param redis a connection that could not be made
 * @param url already redacted
 * @returns null where they did, or there are none
 */
export function sentinelError(redis: PatientRedis, url: string): CornetError | null {
  const { sentinels, options } = redis;
  if (sentinels === null) return null;
  const { unhelpful, isReplica } = sentinels;
  if (unhelpful.length > 0) return errorOf(unhelpful, options.name ?? '', url);
  if (!isReplica) return null;
  const message = `The server that the Sentinels name as the master at ${url} is a replica.`;
  return new CornetError('REDIS_UNREACHABLE', message, { hint: hints.replica });
}

function errorOf(unhelpful: readonly Unhelpful[], name: string, url: string): CornetError {
  const strange = unhelpful.find(({ error }) => error instanceof ReplyError && !isIgnorance(error));
  if (strange !== undefined) return errorOfStrange(strange, url);
  const silent = unhelpful.filter(({ error }) => !isIgnorance(error));
  const cause = unhelpful.at(-1)!.error;
  const reasons = silent.map(({ sentinel, error }) => `${sentinel} (${plain(error.message)})`).join(', ');
  if (silent.length === unhelpful.length) {
    const message = `No Sentinel at ${url} answers: ${reasons}.`;
    return new CornetError('REDIS_UNREACHABLE', message, { cause, hint: hints.silent });
  }
  const others = silent.length === 0 ? '' : `; these do not answer: ${reasons}`;
  const message = `No Sentinel at ${url} knows a master of the name ${quoteName(name)}${others}.`;
  return new CornetError('REDIS_UNREACHABLE', message, { cause, hint: hints.unknown });
}

/** What a Sentinel answers that is none, or wants another password. */
function errorOfStrange({ sentinel, error }: Unhelpful, url: string): CornetError {
  const words = error.message.replace(/\.$/, '');
  const known = errorOfReply(error.message, '', error);
  if (known?.code === 'REDIS_REFUSED') {
    const message = `The Sentinel ${sentinel} of ${url} refuses to answer: ${words}.`;
    return new CornetError('REDIS_REFUSED', message, { cause: error, hint: hints.refused });
  }
  const isOther = /unknown command/i.test(error.message);
  const message = isOther
    ? `The server ${sentinel} of ${url} is no Sentinel: ${words}.`
    : `The Sentinel ${sentinel} of ${url} cannot be used: ${words}.`;
  return new CornetError(isOther ? 'REDIS_UNSUITABLE' : 'REDIS_UNREACHABLE', message, {
    cause: error,
    hint: isOther ? hints.noSentinel : hints.silent,
  });
}

function isIgnorance({ message }: Error): boolean {
  return /No such master with that name/i.test(message);
}

function plain(message: string): string {
  return message === 'Command timed out' ? 'no answer' : message.replace(/\.$/, '');
}
