/**
 * Same run, same bits, on one GPU: one worker, two workers, and two of which one is killed in the middle and replaced.
 * All three must end at the same checkpoint, byte for byte. While the replacement starts up, the coordinator is
 * stopped, so that the run is not over before it can take part.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { makeDemoDataset } from '../../../coordinator/demo/make-dataset.ts';
import { PrivateRedis } from '../../../coordinator/host/redis-server.ts';
import type { RunNews } from '../../../coordinator/watch/news.ts';
import { packageRoot } from '../../../shared/process/package-root.ts';
import { fixed, Table, type Target } from './table.ts';

const lanes = 2;
const model = 'S';
/** What a worker logs right before it joins. */
const ready = /Images are decoded by/;

interface Ended {
  /** SHA-256 of the last checkpoint. */
  digest: string;
  /** The most members that a step had. */
  members: number;
  /** Two workers computed again after one of two was killed. */
  replaced: boolean;
  seconds: number;
}

export async function benchSameBytes(target: Target): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'cornet-gpu-'));
  const table = new Table(
    `The same run of CORnet-${model} on ${target.device}, ${target.precision}, two lanes`,
    [...['workers', 'most members', 'seconds', 'SHA-256 of the last checkpoint']],
  );
  const redis = await PrivateRedis.start();
  try {
    const images = join(folder, 'images');
    await makeDemoDataset(images, { seed: 3, trainPerClass: 16, valPerClass: 2 });
    const small = { target, images, redis: redis.url };
    const run = async (what: string, workers: number, kill: boolean) => {
      const output = join(folder, what.replaceAll(/\W/g, '-'));
      const ended = await train({ ...small, output, workers, kill });
      table.row([what, String(ended.members), fixed(ended.seconds, 1), ended.digest]);
      return ended;
    };
    const one = await run('one', 1, false);
    const two = await run('two', 2, false);
    const killed = await run('two, one killed and replaced', 2, true);
    if (two.digest !== one.digest || killed.digest !== one.digest) throw new Error('The bytes differ.');
    if (two.members !== 2 || killed.members !== 2) throw new Error('The second worker never took part.');
    if (!killed.replaced) throw new Error('The replacement never took part.');
  } finally {
    await redis.stop();
    await rm(folder, { recursive: true, force: true });
  }
}

interface Training {
  target: Target;
  images: string;
  redis: string;
  output: string;
  workers: number;
  /** Kill a worker once a third of the steps is done. */
  kill: boolean;
}

async function train({ target, images, redis, output, workers, kill }: Training): Promise<Ended> {
  const { device, small, precision } = target;
  const options = {
    model,
    precision,
    'data-path': images,
    'output-path': output,
    'cpu-workers': 0,
    'image-size': small.size,
    'batch-size': small.batch,
    'max-steps': small.steps,
    lanes,
    threads: 1,
    epochs: 1000,
    'save-val-epochs': 1000,
    'metrics-port': 0,
  };
  const argv = Object.entries(options).flatMap(([name, value]) => [`--${name}`, String(value)]);
  const begun = performance.now();
  const coordinator = start(['coordinator', 'start', '--json', '--redis', redis, ...argv]);
  const startWorker = () =>
    start(['worker', 'start', '--wait', '60', '--redis', redis, '--device', device, '--data-path', images]);
  const fleet = Array.from({ length: workers }, startWorker);
  let members = 0;
  let killedAt: number | null = null;
  let aloneAfter = false;
  let replaced = false;
  for await (const line of createInterface({ input: coordinator.stdout! })) {
    const news = JSON.parse(line) as RunNews;
    if (news.type === 'event' && news.level !== 'info') process.stderr.write(`${news.message}\n`);
    if (news.type === 'error') process.stderr.write(`${news.code}: ${news.message}\n`);
    if (news.type !== 'step') continue;
    members = Math.max(members, news.members);
    if (killedAt !== null) {
      aloneAfter ||= news.members < workers;
      replaced ||= aloneAfter && news.members === workers;
    }
    // Both must have taken part before one goes.
    if (kill && killedAt === null && news.members === workers && news.step >= small.steps / 4) {
      killedAt = news.step;
      fleet.shift()!.kill('SIGKILL');
      coordinator.kill('SIGSTOP');
      const replacement = startWorker();
      fleet.push(replacement);
      createInterface({ input: replacement.stdout! }).on('line', (text) => {
        if (ready.test(text)) coordinator.kill('SIGCONT');
      });
      replacement.once('close', () => coordinator.kill('SIGCONT')); // or nobody would ever wake it
    }
  }
  if ((await ended(coordinator)) !== 0) throw new Error('The coordinator failed.');
  await Promise.all(fleet.map(ended));
  if (kill && killedAt === null) throw new Error('No worker was killed: the run was over too soon.');
  const name = `step-${String(small.steps).padStart(8, '0')}.safetensors`;
  const bytes = readFileSync(join(output, 'checkpoints', name));
  const digest = createHash('sha256').update(bytes).digest('hex');
  return { digest, members, replaced, seconds: (performance.now() - begun) / 1000 };
}

function start([command, ...argv]: readonly string[]): ChildProcess {
  const script = join(packageRoot, 'dist', command!, 'main.js');
  const child = spawn(process.execPath, [script, ...argv], { stdio: ['ignore', 'pipe', 'pipe'] });
  child.stderr.pipe(process.stderr);
  if (command === 'worker') child.stdout.resume();
  return child;
}

function ended(child: ChildProcess): Promise<number | null> {
  if (child.exitCode !== null || child.signalCode !== null) return Promise.resolve(child.exitCode);
  return new Promise((resolve) => child.once('close', (code) => resolve(code)));
}
