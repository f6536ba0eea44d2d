/** Which way vectors take: the quickest that all members can go. */
import test from 'ava';
import { Roster } from '../../coordinator/protocol/roster.ts';
import type { CarrierName, Hello } from '../../shared/wire/protocol.ts';
import { Computing, hello } from '../helpers/computing.ts';

function carrierOfVectors(...workers: Partial<Hello>[]): CarrierName {
  const roster = new Roster(1, { version: '1', fingerprint: 'data', place: 'here', numerics: null });
  for (const [i, one] of workers.entries()) roster.add(`worker-${i}`, { ...(hello as Hello), ...one }, 1, 0);
  return roster.vectorCarrier;
}

test('vectors lie in shared memory when all members can map it', (t) => {
  const near = { place: 'here', memory: 'mine' };
  t.is(carrierOfVectors(near, near), 'memory');
  t.is(carrierOfVectors(near, { place: 'here' }), 'local', 'one has no addon');
  t.is(carrierOfVectors({ place: 'here' }, { place: 'here' }), 'local');
  t.is(carrierOfVectors(near, { place: 'here', memory: 'its own' }), 'local', 'one is in another container');
  t.is(carrierOfVectors(near, { place: 'there', memory: 'mine' }), 'redis');
});

test('memory that cannot be read three times in a step, though everything spoke for it, is used no more', (t) => {
  const computing = new Computing(2, 2, undefined, {}, { place: 'here', memory: 'mine' });
  const carriers = new Set<unknown>();
  const ask = (actions: ReturnType<Computing['say']>) => {
    for (const action of actions)
      if (action.type === 'job' && action.job.type === 'shard') carriers.add(action.job.publish);
    return actions;
  };
  let at = 0;
  let said = '';
  for (let time = 0; time < 3; time++) {
    for (const [lane, worker] of computing.workers.entries()) {
      const ref = { name: `vector-${lane}`, bytes: 64, digest: '1', at: `memory:1:1:segment:${++at}` };
      const result = { loss: 1, top1: 0, top5: 0, count: 1 };
      ask(computing.say(worker, { type: 'vector', step: 0, lane, ref, ...result }));
    }
    carriers.clear();
    const { generation } = computing.run;
    const missing = { type: 'missing', step: 0, generation, what: 'vector', lane: 0 } as const;
    const actions = ask(computing.say('worker-1', missing));
    t.deepEqual([...carriers], [time < 2 ? 'memory' : 'local'], `time ${time + 1}`);
    said += actions.map((action) => (action.type === 'log' ? `${action.message}\n` : '')).join('');
  }
  t.is(
    said.match(/Shared memory could not be read, 3 times in one step: vectors go over sockets/g)?.length,
    1,
  );
});
