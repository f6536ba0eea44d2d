/** `worker start`: starts itself again in the environment that the libraries need, once for each device. */
import { type ChildProcess, spawn } from 'node:child_process';
import { availableParallelism } from 'node:os';
import { createInterface } from 'node:readline';
import { timeouts } from '../../shared/defaults.ts';
import { CornetError, exitCodes } from '../../shared/errors.ts';
import { allGpus, chooseDevices } from '../../shared/process/gpus.ts';
import { calledAs } from '../../shared/process/own-command.ts';
import { say } from '../../shared/process/say.ts';
import { onStopSignals } from '../../shared/process/stop-signals.ts';
import {
  backendEnvironment,
  readByCoordinator,
  readOnTerminal,
  workerEnvironment,
} from '../../shared/process/worker-environment.ts';
import type { AnyConfig } from '../../shared/run-config.ts';
import { writePorts } from '../../shared/util/port-range.ts';
import { printable } from '../../shared/util/printable.ts';
import type { NoteToWorker } from '../../shared/wire/protocol.ts';
import type { WorkerOptions } from './start.ts';

export interface ChosenWorkers extends WorkerOptions {
  /** One worker per GPU, this many. */
  ngpus?: number;
  cpuWorkers?: number;
}

/** Milliseconds of waiting for the run before it is said. */
const silent = timeouts.beat;

export class WorkerProcesses {
  readonly #options: ChosenWorkers;
  #children: ChildProcess[] = [];

  constructor(options: ChosenWorkers) {
    this.#options = options;
  }

  /** @returns the exit code: of several workers the worst one */
  async run(): Promise<number> {
    // From the very start: in a container this is process 1, which a signal that nobody handles does not end.
    onStopSignals((signal) => {
      if (this.#children.length === 0) process.exit(exitCodes.complete);
      const note: NoteToWorker = { leave: 'wish', reason: `received ${signal}` };
      for (const child of this.#children) child.send(note, () => undefined); // it may be gone already
    });
    const devices = await this.#devices();
    const config = await this.#awaitRun();
    if (devices.length === 1) return await endOf(this.#spawn(config, devices[0]!, devices, 0));
    const codes = devices.map(async (device, index) => {
      const child = this.#spawn(config, device, devices, index);
      const label = devices.every((other) => other === device) ? `${device}-${index}` : device;
      passOn(child, `[${label}] `);
      try {
        return await endOf(child);
      } catch (error) {
        say(`[${label}] ${(error as Error).message}`);
        return exitCodes.error;
      }
    });
    return Math.max(...(await Promise.all(codes)));
  }

  async #devices(): Promise<string[]> {
    const { device, ngpus, cpuWorkers } = this.#options;
    if (device === 'cuda:all') return allGpus(process.env);
    if (cpuWorkers !== undefined) return Array.from({ length: cpuWorkers }, () => 'cpu');
    if (!ngpus) return [device];
    const { devices, notes } = await chooseDevices({ device: 'cuda', count: ngpus }, process.env);
    for (const note of notes) say(note);
    return devices;
  }

  async #awaitRun(): Promise<AnyConfig> {
    const { redis, run, wait } = this.#options;
    const [{ awaitRun }, { redactUrl }] = await Promise.all([
      import('./find-run.ts'),
      import('../../shared/redis/redis-url.ts'),
    ]);
    const what = `${run === undefined ? 'a run' : `run ${run}`} on the Redis at ${redactUrl(redis)}`;
    const notice = () => say(`Waiting for ${what}, for at most ${wait} s.`);
    const patience = wait > 0 ? setTimeout(notice, silent) : undefined;
    try {
      return await awaitRun(redis, run, wait * 1000);
    } finally {
      clearTimeout(patience);
    }
  }

  #spawn(config: AnyConfig, device: string, devices: readonly string[], index: number): ChildProcess {
    const { redis, dataPath, workers, metricsPort, metricsHost, blobHost, blobPorts, wait } = this.#options;
    const several = devices.length > 1;
    const threads = this.#options.threads ?? config.threads;
    const environment = {
      ...workerEnvironment(process.env, {
        threads,
        workers: devices.length,
        cores: availableParallelism(),
        decodeThreads: workers ?? config.options.decodeThreads,
      }),
      ...backendEnvironment(process.env, { backend: config.backend, device, threads }),
      ...calledAs,
      CORNET_REDIS_URL: redis,
      [readByCoordinator]: undefined,
      [readOnTerminal]: several && process.stdout.isTTY ? '1' : undefined,
    };
    const argv = [process.argv[1]!, 'start', '--run', config.run, '--device', device, '--wait', String(wait)];
    if (dataPath !== undefined) argv.push('--data-path', dataPath);
    if (workers !== undefined) argv.push('--workers', String(workers));
    if (this.#options.threads !== undefined) argv.push('--threads', String(threads));
    // Port 0 is any that is free.
    if (metricsPort !== undefined) argv.push('--metrics-port', String(metricsPort && metricsPort + index));
    if (metricsHost !== undefined) argv.push('--metrics-host', metricsHost);
    if (blobHost !== undefined) argv.push('--blob-host', blobHost);
    // The same for all: each takes the first that is free.
    if (blobPorts !== undefined) argv.push('--blob-ports', writePorts(blobPorts));
    const outputs = several ? ('pipe' as const) : ('inherit' as const);
    // Detached: Ctrl-C in the terminal reaches only this process, which passes it on. When this dies, the channel closes.
    const child = spawn(process.execPath, argv, {
      env: environment,
      detached: true,
      stdio: [several ? 'ignore' : 'inherit', outputs, outputs, 'ipc'],
    });
    this.#children.push(child);
    return child;
  }
}

function endOf(child: ChildProcess): Promise<number> {
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code, signal) => {
      if (code !== null) return resolve(code);
      reject(new CornetError('WORKER_KILLED', `The process of this worker was killed by ${signal}.`));
    });
  });
}

/** Sentences get the name of the device in front; JSON lines have it. */
function passOn({ stdout, stderr }: ChildProcess, label: string): void {
  const forPeople = process.stdout.isTTY;
  if (stdout !== null) {
    createInterface({ input: stdout }).on('line', (line) => {
      process.stdout.write(forPeople ? `${label}${printable(line)}\n` : `${line}\n`);
    });
  }
  if (stderr !== null) {
    createInterface({ input: stderr }).on('line', (line) => say(`${label}${line}`));
  }
}
