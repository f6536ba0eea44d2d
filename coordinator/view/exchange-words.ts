/** How vectors travel, in words. Compiled for the browser as well. */
import type { CarrierName } from '../../shared/wire/protocol.ts';
import type { CarrierInUse } from '../protocol/carrier-in-use.ts';

const ways: Record<CarrierName, string> = {
  memory: 'through shared memory',
  local: 'over unix sockets',
  tcp: 'over TCP',
  redis: 'through Redis',
};

/** One sentence; null: nothing is exchanged. */
export function exchangeWords({ carrier, why }: CarrierInUse): string | null {
  if (carrier === null) return null;
  if (why === null) return `Vectors travel ${ways[carrier]}.`;
  // Some of them do, and others cannot.
  const others = carrier === 'tcp' ? ', some of them through Redis' : '';
  return `Vectors travel ${ways[carrier]}${others}: ${why}.`;
}
