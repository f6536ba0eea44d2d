/** Several hosts for real: network namespaces, each with its own copy of the images under a path of its own. */
import { execFile } from 'node:child_process';
import { cpSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import test, { type ExecutionContext } from 'ava';
import { makeHosts, type TestHost, whyNoHosts } from '../helpers/networks.ts';
import { possible } from '../helpers/possible.ts';
import { TestRedis } from '../helpers/redis.ts';
import { type Command, checkpoint, Stage, tinyImages, tinyRun, trainedSteps } from '../helpers/run.ts';
import { thoroughSerial } from '../helpers/thorough.ts';

const onHosts = possible(whyNoHosts === null, `no several hosts: ${whyNoHosts}`)
  ? thoroughSerial
  : test.serial.skip;

const secret = 'correct-horse-battery';
/** Milliseconds: well within the member timeout, with time for TCP to send again what was lost. */
const shortCut = 1_000;

/** A coordinator and its Redis on a host of their own, and what the other hosts need. */
class Site {
  readonly stage: Stage;
  readonly hosts: TestHost[];
  readonly output: string;
  readonly env: NodeJS.ProcessEnv;
  readonly #images: string;
  readonly #run: readonly string[];
  #coordinator!: Command;
  #workers = 0;

  private constructor(stage: Stage, hosts: TestHost[], images: string) {
    this.stage = stage;
    this.hosts = hosts;
    this.output = join(stage.folder, 'run');
    this.env = { CORNET_REDIS_URL: `redis://:${secret}@${hosts[0]!.address}` };
    this.#images = images;
    this.#run = [...tinyRun(images), '--epochs', '1000'];
  }

  static async open(t: ExecutionContext, workerHosts: number): Promise<Site> {
    const stage = new Stage(t);
    const site = new Site(stage, makeHosts(t, workerHosts + 1), await tinyImages(stage.folder));
    const [head] = site.hosts as [TestHost];
    await TestRedis.start(t, ['--port', '6379', '--bind', head.address, '--requirepass', secret], head.enter);
    const argv = [...site.#run, '--cpu-workers', '0', '-o', site.output];
    site.#coordinator = stage.start('coordinator', argv, site.env, head.enter);
    await site.#coordinator.until('the run waits for workers', () => site.printed('over redis://') === 1);
    return site;
  }

  /** Starts a worker and waits until it has joined. */
  async worker(host: TestHost, options: readonly string[] = []): Promise<Command> {
    const images = join(this.stage.folder, `disk-of-worker-${++this.#workers}`, 'imagenet');
    mkdirSync(images, { recursive: true });
    cpSync(this.#images, images, { recursive: true });
    const joined = this.printed(' joined.');
    const argv = ['start', '--data-path', images, ...options];
    const worker = this.stage.start('worker', argv, this.env, host.enter);
    await worker.until('it has joined', () => this.printed(' joined.') > joined);
    return worker;
  }

  /** What a client on the coordinator's host is answered. */
  async get(url: string): Promise<string> {
    const script = 'fetch(process.argv[1]).then(async (answer) => console.log(await answer.text()))';
    const [program, ...argv] = [...this.hosts[0]!.enter, process.execPath, '-e', script, url];
    return (await promisify(execFile)(program!, argv)).stdout;
  }

  /** How often the coordinator has printed a text. */
  printed(text: string): number {
    return this.#coordinator.stdout.split(text).length - 1;
  }

  until(what: string, holds: () => boolean): Promise<void> {
    return this.#coordinator.until(what, holds);
  }

  /** Waits until so many more steps are done. */
  async further(steps: number): Promise<void> {
    const done = trainedSteps(this.output).length;
    await this.#coordinator.untilStep(this.output, done + steps);
  }

  /** Stops the run; its last checkpoint must have the bytes of as many steps on a single host. */
  async compare(t: ExecutionContext): Promise<void> {
    this.#coordinator.signal('SIGINT');
    t.is(await this.#coordinator.ended, 75, this.#coordinator.stderr);
    const steps = trainedSteps(this.output);
    t.deepEqual(
      steps,
      steps.map((_, i) => i + 1),
    );
    const alone = join(this.stage.folder, 'alone');
    const argv = [...this.#run, '--max-steps', String(steps.length), '--cpu-workers', '2', '-o', alone];
    const local = this.stage.start('coordinator', argv);
    t.is(await local.ended, 0, local.stderr);
    t.true(checkpoint(this.output, steps.length).equals(checkpoint(alone, steps.length)));
  }
}

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
  await site.further(2); // two hosts: through Redis
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
