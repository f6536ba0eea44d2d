/** Several hosts for real: links that are cut, hosts that vanish, firewalls; what travels between them, and how. */
import { setTimeout as sleep } from 'node:timers/promises';
import test from 'ava';
import { timeouts } from '../../shared/defaults.ts';
import { type TestHost, whyNoHosts } from '../helpers/networks.ts';
import { possible } from '../helpers/possible.ts';
import { Site } from '../helpers/site.ts';
import { nightlySerial, thoroughSerial } from '../helpers/thorough.ts';

const hasHosts = possible(whyNoHosts === null, `no several hosts: ${whyNoHosts}`);
const onHosts = hasHosts ? thoroughSerial : test.serial.skip;
const onHostsAtNight = hasHosts ? nightlySerial : test.serial.skip;

/** Milliseconds: well within the member timeout, with time for TCP to send again what was lost. */
const shortCut = 1_000;

onHosts(
  'a link that is down briefly costs no worker its place; down longer, it is replaced and joins anew',
  async (t) => {
    const site = await Site.open(t, 2);
    const [, left, right] = site.hosts as [TestHost, TestHost, TestHost];
    const workers = [await site.worker(left, ['--metrics-host', '0.0.0.0']), await site.worker(right)];
    await site.further(3);
    // One shows its metrics to others, and is found; what the other shows on its own loopback, nobody can reach.
    const discovered = JSON.parse(await site.get('http://127.0.0.1:9464/service-discovery'));
    const targets = discovered.map((group: { targets: string[] }) => group.targets[0]!);
    t.deepEqual([targets.length, targets[0]], [2, '127.0.0.1:9464']);
    t.true(targets[1].startsWith(`${left.address}:`));
    t.regex(await site.get(`http://${targets[1]}/metrics`), /^cornet_worker_step\{.*\} \d+$/m);
    for (const [cut, heal] of [
      [() => right.unplug(), () => right.plug()],
      [() => right.cut(), () => right.heal()],
    ] as const) {
      cut();
      await sleep(shortCut);
      heal();
      await site.further(3);
    }
    t.is(site.printed('was dropped'), 0);

    right.cut();
    await site.until('its worker is dropped', () => site.printed('was dropped: not heard for') === 1);
    await site.further(3); // without it
    right.heal();
    await site.until('it is back', () => site.printed(' joined.') === 3);
    await site.further(3);
    t.regex(workers[1]!.stdout, /Dropped from the run; joining again/);
    t.notRegex(workers[0]!.stdout, /Dropped/);
    await site.compare(t);
    for (const worker of workers) t.is(await worker.ended, 0, worker.stderr);
  },
);

onHosts('workers move from host to host, at last to the coordinator, and no byte changes', async (t) => {
  const site = await Site.open(t, 2);
  const [head, left, right] = site.hosts as [TestHost, TestHost, TestHost];
  const first = await site.worker(left);
  await site.further(2); // alone: nothing is exchanged
  const second = await site.worker(right);
  await site.untilBy('tcp');
  await site.further(2);
  first.signal('SIGTERM');
  t.is(await first.ended, 0, first.stderr);
  t.is(site.printed(' drained.'), 1); // at once, and not by silence
  const third = await site.worker(head);
  await site.further(2); // one of them beside the coordinator
  second.signal('SIGKILL');
  const fourth = await site.worker(head);
  await site.further(2); // both there: over sockets
  await site.compare(t);
  for (const worker of [third, fourth]) t.is(await worker.ended, 0, worker.stderr);
});

onHosts('vectors go from host to host, and snapshots to newcomers; Redis carries only names', async (t) => {
  const site = await Site.open(t, 2);
  const [, left, right] = site.hosts as [TestHost, TestHost, TestHost];
  await site.worker(left);
  await site.worker(right);
  await site.untilBy('tcp');
  // A vector of this model has 8 MB: each step would write two, and read more.
  const steps = 10;
  const bytes = await site.traffic(() => site.further(steps));
  t.true(bytes < steps * 200_000, `${bytes} bytes in ${steps} steps`);
  // The snapshot has 16 MB.
  const joining = await site.traffic(() => site.worker(right).then(() => site.further(3)));
  t.true(joining < 4_000_000, `${joining} bytes`);
  t.is(site.printed('cannot reach'), 0);
  await site.compare(t);
});

onHostsAtNight(
  'over IPv6, and where Redis is reached by TLS, vectors go from host to host, too',
  async (t) => {
    const site = await Site.open(t, 2, { secure: true });
    const [, left, right] = site.hosts as [TestHost, TestHost, TestHost];
    await site.worker(left);
    await site.worker(right, ['--blob-ports', '7000-7001']);
    await site.untilBy('tcp');
    await site.further(3);
    await site.compare(t);
  },
);

onHosts('what a firewall drops in silence goes through Redis, and no step waits long for it', async (t) => {
  const site = await Site.open(t, 2);
  const [, left, right] = site.hosts as [TestHost, TestHost, TestHost];
  left.isolateFrom(right);
  await site.worker(left);
  await site.worker(right);
  await site.untilBy('redis');
  await site.further(3);
  t.true(site.printed('over TCP: ') > 0);
  const { why } = (await site.view()).exchange;
  t.regex(why!, /^worker \S+ \(.*\) cannot reach worker \S+ \(.*\) over TCP: .*no answer within 2 s/);

  left.joinWith(right);
  await site.untilBy('tcp');
  await site.further(3);

  // In the middle of exchanges: connections are there, and nothing comes any more.
  left.isolateFrom(right);
  const began = performance.now();
  await site.further(3);
  const waited = performance.now() - began;
  t.true(waited < 2 * timeouts.member, `${waited} ms for three steps`);
  await site.untilBy('redis');
  t.is(site.printed('was dropped'), 0);
  left.joinWith(right);
  await site.untilBy('tcp');
  await site.compare(t);
});

onHostsAtNight(
  'a worker that dies behind a link that is cut leaves connections that nobody closes',
  async (t) => {
    const site = await Site.open(t, 2);
    const [, left, right] = site.hosts as [TestHost, TestHost, TestHost];
    await site.worker(left);
    const doomed = await site.worker(right);
    await site.untilBy('tcp');
    right.cut();
    doomed.signal('SIGKILL');
    await site.until('it is dropped', () => site.printed('was dropped: not heard for') === 1);
    await site.further(2);
    right.heal();
    await site.worker(right);
    await site.untilBy('tcp');
    await site.further(3);
    await site.compare(t);
  },
);
