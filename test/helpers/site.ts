/** A run over several hosts: network namespaces, each with its own copy of the images under a path of its own. */
import { execFile } from 'node:child_process';
import { cpSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { ExecutionContext } from 'ava';
import { Redis } from 'ioredis';
import type { RunView } from '../../coordinator/view/run-view.ts';
import { type Certificates, makeCertificates } from './certificates.ts';
import { makeHosts, type TestHost } from './networks.ts';
import { TestRedis } from './redis.ts';
import { type Command, checkpoint, Stage, tinyImages, tinyRun, trainedSteps } from './run.ts';

const secret = 'correct-horse-battery';

interface Ground {
  hosts: TestHost[];
  images: string;
  redis: TestRedis;
  url: string;
}

function secureOptions({ address6 }: TestHost, { certificate, key, ca }: Certificates): string[] {
  const files = ['--tls-cert-file', certificate, '--tls-key-file', key, '--tls-ca-cert-file', ca];
  return ['--port', '0', '--tls-port', '6379', '--bind', address6, '--tls-auth-clients', 'no', ...files];
}
/** A coordinator and its Redis on a host of their own, and what the other hosts need. */
export class Site {
  readonly stage: Stage;
  readonly hosts: TestHost[];
  readonly output: string;
  readonly env: NodeJS.ProcessEnv;
  readonly redis: TestRedis;
  readonly #images: string;
  readonly #run: readonly string[];
  #coordinator!: Command;
  #workers = 0;

  private constructor(stage: Stage, { hosts, images, redis, url }: Ground) {
    this.stage = stage;
    this.hosts = hosts;
    this.output = join(stage.folder, 'run');
    this.redis = redis;
    this.env = { CORNET_REDIS_URL: url };
    this.#images = images;
    this.#run = [...tinyRun(images), '--epochs', '1000', '--save-model-epochs', '1000'];
  }

  /** @param secure Redis speaks TLS, and only IPv6 */
  static async open(t: ExecutionContext, workerHosts: number, { secure = false } = {}): Promise<Site> {
    const stage = new Stage(t);
    const hosts = makeHosts(t, workerHosts + 1);
    const [head] = hosts as [TestHost];
    const place = secure ? `[${head.address6}]` : head.address;
    const certificates = secure ? makeCertificates(stage.folder, `IP:${head.address6}`) : null;
    const listening = secure
      ? secureOptions(head, certificates!)
      : ['--port', '6379', '--bind', head.address];
    const redis = await TestRedis.start(t, [...listening, '--requirepass', secret], head.enter);
    const query = certificates === null ? '' : `?ca=${certificates.ca}`;
    const url = `${secure ? 'rediss' : 'redis'}://:${secret}@${place}:6379${query}`;
    const site = new Site(stage, { hosts, images: await tinyImages(stage.folder), redis, url });
    const argv = [...site.#run, '--cpu-workers', '0', '-o', site.output];
    site.#coordinator = stage.start('coordinator', argv, site.env, head.enter);
    await site.#coordinator.until('the run waits for workers', () => site.printed(`over redis`) === 1);
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

  /** What the coordinator says of the run. */
  async view(): Promise<RunView> {
    const argv = ['status', this.output, '--json'];
    const status = this.stage.start('coordinator', argv, this.env, this.hosts[0]!.enter);
    await status.ended;
    return JSON.parse(status.stdout);
  }

  /** Waits until all vectors travel over TCP, or all through Redis. */
  untilBy(carrier: 'tcp' | 'redis'): Promise<void> {
    const isUsed = async () => {
      const { exchange } = await this.view();
      return exchange.carrier === carrier && (carrier === 'redis' || exchange.why === null);
    };
    return this.#coordinator.until(`vectors travel by ${carrier}`, isUsed);
  }

  /** Bytes that Redis has received and sent meanwhile. */
  async traffic(during: () => Promise<void>): Promise<number> {
    const client = new Redis(this.redis.socket, { password: secret });
    const total = async () => {
      const figures = (await client.info('stats')).matchAll(/^total_net_(?:in|out)put_bytes:(\d+)/gm);
      return [...figures].reduce((sum, [, bytes]) => sum + Number(bytes), 0);
    };
    try {
      const before = await total();
      await during();
      return (await total()) - before;
    } finally {
      client.disconnect();
    }
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
