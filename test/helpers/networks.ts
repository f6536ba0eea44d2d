/**
 * Several hosts on one machine: network namespaces on a switch of their own, so that nothing of the machine's network is
 * touched. A process in one of them has its own addresses and its own loopback, as on another host; disks are
 * shared, so give each host its own folders. Needs root and iproute2.
 */
import { execFileSync } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import type { ExecutionContext } from 'ava';

/** Addresses for documentation (RFC 5737, RFC 3849): in use nowhere. */
const subnet = '192.0.2';
const subnet6 = '2001:db8::';
/** Nobody has it. */
const strangeHardware = '02:00:00:00:00:01';

export class TestHost {
  /** Its addresses on the switch. */
  readonly address: string;
  readonly address6: string;
  /** What to put before a command, so that it runs on this host. */
  readonly enter: readonly string[];
  readonly #namespace: string;
  readonly #switch: string;
  readonly #port: string;

  constructor(namespace: string, switchNamespace: string, number: number) {
    this.address = `${subnet}.${number}`;
    this.address6 = `${subnet6}${number}`;
    this.enter = ['ip', 'netns', 'exec', namespace];
    this.#namespace = namespace;
    this.#switch = switchNamespace;
    this.#port = `port${number}`;
    ip('-n', this.#switch, 'link', 'add', this.#port, 'type', 'veth', 'peer', 'eth0', 'netns', namespace);
    ip('-n', namespace, 'link', 'set', 'lo', 'up');
    ip('-n', namespace, 'address', 'add', `${this.address}/24`, 'dev', 'eth0');
    ip('-n', namespace, 'address', 'add', `${this.address6}/64`, 'dev', 'eth0', 'nodad');
    ip('-n', namespace, 'link', 'set', 'eth0', 'up');
    ip('-n', this.#switch, 'link', 'set', this.#port, 'up');
    this.heal();
  }

  /** So many Gbit/s at most, in each direction. */
  limit(gigabits: number): void {
    const rule = ['root', 'tbf', 'rate', `${gigabits}gbit`, 'burst', `${gigabits}mb`, 'latency', '20ms'];
    tc('-n', this.#namespace, 'qdisc', 'replace', 'dev', 'eth0', ...rule);
    tc('-n', this.#switch, 'qdisc', 'replace', 'dev', this.#port, ...rule);
  }

  /**
   * Cuts the link, and nobody is told: the host's interface stays up, its packets go nowhere, and no connection is
   * closed. That is what a dead switch looks like, and worse than an interface that goes down.
   */
  cut(): void {
    ip('-n', this.#switch, 'link', 'set', this.#port, 'nomaster');
  }

  heal(): void {
    ip('-n', this.#switch, 'link', 'set', this.#port, 'master', 'bridge');
  }

  /**
   * From now on nothing that this host sends arrives at the other one, and neither is told: as behind a firewall that drops
   * what it does not like. Both reach all others.
   */
  isolateFrom(other: TestHost): void {
    this.#neighbour('replace', other, 'lladdr', strangeHardware, 'nud', 'permanent');
  }

  /** The opposite. */
  joinWith(other: TestHost): void {
    this.#neighbour('delete', other);
  }

  #neighbour(what: string, other: TestHost, ...how: string[]): void {
    for (const address of [other.address, other.address6])
      ip('-n', this.#namespace, 'neighbour', what, address, ...how, 'dev', 'eth0');
  }

  /** Takes the interface down, as when somebody pulls the cable: the host itself notices. */
  unplug(): void {
    ip('-n', this.#namespace, 'link', 'set', 'eth0', 'down');
  }

  plug(): void {
    ip('-n', this.#namespace, 'link', 'set', 'eth0', 'up');
  }
}

/** New hosts that reach each other and nobody else; they are gone when the test ends. Only where `whyNoHosts` is null. */
export function makeHosts(t: Pick<ExecutionContext, 'teardown'>, count: number): TestHost[] {
  const name = `cornet-${randomUUID().slice(0, 8)}`;
  const add = (namespace: string) => {
    ip('netns', 'add', namespace);
    t.teardown(() => ip('netns', 'delete', namespace));
    return namespace;
  };
  const middle = add(`${name}-switch`);
  ip('-n', middle, 'link', 'add', 'bridge', 'type', 'bridge', 'forward_delay', '0');
  ip('-n', middle, 'link', 'set', 'bridge', 'up');
  return Array.from({ length: count }, (_, i) => new TestHost(add(`${name}-${i + 1}`), middle, i + 1));
}

/** Why this process cannot make hosts: no root, no iproute2, or a container without the right to; null where it can. */
export const whyNoHosts: string | null = (() => {
  if (process.platform !== 'linux') return 'network namespaces are a part of Linux';
  if (process.getuid?.() !== 0) return 'network namespaces need root';
  const teardowns: (() => void)[] = [];
  try {
    makeHosts({ teardown: (undo) => teardowns.push(undo) }, 1);
    return null;
  } catch (error) {
    return `network namespaces cannot be made here (${(error as Error).message.trim()})`;
  } finally {
    for (const undo of teardowns.reverse()) undo();
  }
})();

function ip(...args: string[]): void {
  execFileSync('ip', args, { stdio: ['ignore', 'ignore', 'pipe'] });
}

function tc(...args: string[]): void {
  execFileSync('tc', args, { stdio: ['ignore', 'ignore', 'pipe'] });
}
