/** How vectors travel at present, and what keeps them from a quicker way: to be shown, nothing is decided by it. */
import type { CarrierName } from '../../shared/wire/protocol.ts';
import type { Roster, WorkerRecord } from './roster.ts';

export interface CarrierInUse {
  /** The quickest that any member's vectors go; null: nothing is exchanged. */
  readonly carrier: CarrierName | null;
  /** Why it is no quicker one, or why some members use Redis: a sentence's middle. Null: it is what the user chose, or the best. */
  readonly why: string | null;
}

export function carrierInUse(roster: Roster): CarrierInUse {
  const members = roster.with('member');
  const carrier = roster.exchangeCarrier(members.map(({ id }) => id));
  return { carrier, why: carrier === null ? null : whyNotQuicker(roster, carrier, members) };
}

function whyNotQuicker(
  roster: Roster,
  carrier: CarrierName,
  members: readonly WorkerRecord[],
): string | null {
  const { allowed } = roster;
  if (carrier === 'tcp' || (carrier === 'redis' && (allowed === 'auto' || allowed === 'tcp')))
    return whyNotReached(roster, members);
  if (carrier === 'memory' || carrier === allowed) return null;
  return whyApart(roster, carrier === 'redis' && allowed === 'local' ? 'place' : 'memory');
}

/** Why sockets of one host, or shared memory, do not serve. */
function whyApart(roster: Roster, needed: 'place' | 'memory'): string | null {
  const { all } = roster;
  const away = all.find(({ hello }) => hello.place !== roster.place);
  if (away !== undefined) return `${nameOf(away)} is in another place than the coordinator`;
  if (needed === 'place') return null;
  const [first] = all;
  const without = all.find(({ hello }) => hello.memory === undefined);
  if (without !== undefined) return `${nameOf(without)} shares no memory`;
  const apart = all.find(({ hello }) => hello.memory !== first?.hello.memory);
  if (apart !== undefined) return `${nameOf(apart)} cannot map the memory of ${nameOf(first!)}`;
  return roster.trustsMemory ? null : 'shared memory could not be read';
}

/** Whose vectors not all other members can fetch over TCP: what is wrong with the first one, and how many others. */
function whyNotReached(roster: Roster, members: readonly WorkerRecord[]): string | null {
  const failing: string[] = [];
  const silent: string[] = [];
  const untried: string[] = [];
  for (const member of members) {
    const name = nameOf(member);
    if (!roster.reach.serves(member.id)) silent.push(`${name} serves nothing over TCP`);
    const pair = worstPair(roster, member.id);
    if (pair === null) continue;
    const { reader, why } = pair;
    if (why === null) untried.push(`${nameOf(reader)} has not yet tried to reach ${name} over TCP`);
    else failing.push(`${nameOf(reader)} cannot reach ${name} over TCP: ${why}`);
  }
  const [first, ...others] = [...failing, ...silent, ...untried];
  if (first === undefined) return null;
  if (others.length === 0) return first;
  const are = others.length === 1 ? 'other worker is' : 'other workers are';
  return `${first} (${others.length} ${are} not reached by all either)`;
}

/** A member that has not reached the worker: the first that has failed to, or else one that has not tried. */
function worstPair(roster: Roster, worker: string): { reader: WorkerRecord; why: string | null } | null {
  let untried: WorkerRecord | null = null;
  for (const [id, why] of roster.reach.unreachedBy(worker) ?? []) {
    const reader = id === null ? undefined : roster.get(id);
    if (reader?.status !== 'member') continue;
    if (why !== null) return { reader, why };
    untried ??= reader;
  }
  return untried && { reader: untried, why: null };
}

function nameOf({ id, hello }: WorkerRecord): string {
  return `worker ${id} (${hello.host})`;
}
