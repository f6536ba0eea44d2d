/** A process that offers bytes in shared memory as it is told, until it is killed. */
import { openMappings } from '../../worker/memory/mappings.ts';
import { shareMemory } from '../../worker/memory/own-memory.ts';

/** So many bytes, of this value, for this step; all before `over` are over. */
export interface OwnerOrder {
  offer: number;
  of: number;
  step: number;
  over: number;
}

const { own } = shareMemory(console.error)!;
const mappings = openMappings()!;

process.on('message', ({ offer, of, step, over }: OwnerOrder) => {
  own.forgetBefore(over);
  const range = { at: own.reserve(offer, step), begin: 0, end: offer };
  mappings.has(range);
  mappings.view(range).fill(of);
  process.send?.(range.at);
});
process.on('disconnect', () => process.exit());
process.send?.('ready');
