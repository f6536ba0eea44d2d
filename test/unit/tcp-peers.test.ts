/** Which servers are tried, when, and what is told of them. */
import { setTimeout as sleep } from 'node:timers/promises';
import test from 'ava';
import { blobTcp } from '../../shared/defaults.ts';
import { type Reached, TcpPeers } from '../../shared/wire/tcp-peers.ts';
import { until } from '../helpers/run.ts';

function peerOf(worker: string) {
  return { worker, server: { id: `of-${worker}`, addresses: ['192.0.2.1:7000'], encrypted: false } };
}

/** TcpPeers of a client that reaches those in `open`. */
function watched(open: Set<string>) {
  const tries: string[] = [];
  const told: Reached[][] = [];
  let unreachable: (server: string, why: string) => void = () => undefined;
  let time = 0;
  const client = {
    reach: async ({ id }: { id: string }) => {
      tries.push(id);
      return open.has(id) ? null : 'nobody is there';
    },
    onUnreachable: (listener: typeof unreachable) => {
      unreachable = listener;
    },
  };
  const peers = new TcpPeers(
    client,
    (outcomes) => told.push(outcomes),
    () => time,
  );
  const pass = (milliseconds: number) => {
    time += milliseconds;
  };
  return { peers, tries, told, pass, lose: (id: string, why: string) => unreachable(id, why) };
}

test('all that are named are tried, and outcomes are told together', async (t) => {
  const { peers, told } = watched(new Set(['of-a', 'of-b']));
  t.teardown(() => peers.close());
  await peers.are(['a', 'b', 'c'].map(peerOf));
  await until('it is told', () => told.length > 0);
  t.deepEqual(told, [
    [
      { worker: 'a', why: null },
      { worker: 'b', why: null },
      { worker: 'c', why: 'nobody is there' },
    ],
  ]);
});

test('a server that cannot be reached is tried again and again, ever more rarely, and told when it can be', async (t) => {
  const open = new Set<string>();
  const { peers, tries, told } = watched(open);
  t.teardown(() => peers.close());
  await peers.add(peerOf('a'));
  await sleep(1.5 * blobTcp.retry);
  t.is(tries.length, 2);
  open.add('of-a');
  await until('it is reached', () => told.at(-1)?.at(-1)?.why === null);
  t.is(tries.length, 3);
});

test('one that was reached and answers no more is told at once, before what was asked of it', async (t) => {
  const { peers, told, lose } = watched(new Set(['of-a']));
  t.teardown(() => peers.close());
  await peers.add(peerOf('a'));
  await until('it is told', () => told.length > 0);
  lose('of-a', 'no answer within 2 s');
  t.deepEqual(told.at(-1), [{ worker: 'a', why: 'no answer within 2 s' }]);
  lose('of-nobody', 'no answer');
  t.is(told.length, 2);
});

test('one that is lost again soon after it was reached has to wait longer each time', async (t) => {
  const { peers, tries, lose, pass } = watched(new Set(['of-a']));
  t.teardown(() => peers.close());
  await peers.add(peerOf('a'));
  lose('of-a', 'what it sends is damaged');
  await until('it is tried again', () => tries.length === 2);
  lose('of-a', 'what it sends is damaged');
  await sleep(1.5 * blobTcp.retry);
  t.is(tries.length, 2, 'not after the same time');
  await until('it is tried again', () => tries.length === 3);
  pass(2 * blobTcp.longestRetry);
  lose('of-a', 'the connection was closed');
  await sleep(1.5 * blobTcp.retry);
  t.is(tries.length, 4, 'after a long good time it is as at first');
});

test('those that are named no more are not tried any more', async (t) => {
  const { peers, tries } = watched(new Set());
  t.teardown(() => peers.close());
  await peers.are(['a', 'b'].map(peerOf));
  await peers.are([peerOf('b')]);
  peers.forget('b');
  const before = tries.length;
  await sleep(1.5 * blobTcp.retry);
  t.is(tries.length, before);
});
