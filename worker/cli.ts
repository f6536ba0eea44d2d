/** What the `worker` command can do: one process, one device. */
import { type ChildProcess, spawn } from 'node:child_process';
import { availableParallelism } from 'node:os';
import { Command, Option } from 'commander';
import { splitNames } from '../shared/data/dataset-index.ts';
import { http } from '../shared/defaults.ts';
import { CornetError, exitCodes } from '../shared/errors.ts';
import { bounds } from '../shared/option-bounds.ts';
import { Exit, runCommand } from '../shared/process/command-line.ts';
import { addCompletion } from '../shared/process/completion.ts';
import { parserOf } from '../shared/process/option-value.ts';
import { calledAs } from '../shared/process/own-command.ts';
import { onStopSignals } from '../shared/process/stop-signals.ts';
import { version } from '../shared/process/version.ts';
import {
  backendEnvironment,
  hasWorkerEnvironment,
  workerEnvironment,
} from '../shared/process/worker-environment.ts';
import type { NoteToWorker } from '../shared/wire/protocol.ts';
import type { CheckDataOptions } from './commands/check-data.ts';
import type { WorkerOptions } from './commands/start.ts';
import { EngineClient } from './engine/engine-client.ts';
import { LeaveRequests } from './perform/leave-requests.ts';

const program = new Command('worker')
  .description('Serve a run: compute gradients on one device and exchange them with the other workers.')
  .version(version);

program
  .command('start')
  .description('Join a run and work until it is over.')
  .addOption(
    new Option(
      '--redis <url>',
      'Redis of the run (redis://, rediss://, unix://; redis+sentinel://host,host/master-name); prefer CORNET_REDIS_URL: command lines are visible in process lists',
    )
      .env('CORNET_REDIS_URL')
      .makeOptionMandatory(),
  )
  .option('--run <id>', 'id of the run (default: the only one that this Redis knows)')
  .option(
    '--wait <s>',
    'seconds to wait until Redis and the run are there',
    parserOf('--wait', bounds.wait),
    0,
  )
  .option('--device <device>', 'cpu or cuda:N', 'cpu')
  .option(
    '--data-path <folder>',
    "the data set on this host (default: the same path as on the coordinator's)",
    parserOf('--data-path', bounds.path),
  )
  .option(
    '-j, --workers <n>',
    'image decoding concurrency (default: as the run says)',
    parserOf('--workers', bounds.decodeThreads),
  )
  .option(
    '--threads <n>',
    "threads per shard (default: the run's; on a CPU another number may give other bits and is refused)",
    parserOf('--threads', bounds.threads),
  )
  .option(
    '--metrics-port <n>',
    'port of its metrics (default: any that is free)',
    parserOf('--metrics-port', bounds.port),
  )
  .option(
    '--metrics-host <address>',
    `address to serve them on (default: ${http.host}, where only this machine can read them)`,
  )
  .action(async (options: WorkerOptions) => {
    // A local worker dies with its coordinator.
    process.on('disconnect', () => process.exit(exitCodes.error));
    if (!hasWorkerEnvironment(process.env)) throw new Exit(await startAgain(options));
    const requests = new LeaveRequests();
    const engine = new EngineClient(); // its thread loads its modules while this one loads the rest
    const { startWorker } = await import('./commands/start.ts');
    throw new Exit(await startWorker(options, engine, requests));
  });

program
  .command('describe')
  .description('What this machine could compute with, as JSON (`coordinator doctor` says it in words).')
  .argument('[devices...]', 'cpu, cuda:0, …', ['cpu'])
  .action(async (devices: string[]) => {
    const { describeWorker } = await import('./commands/describe.ts');
    process.stdout.write(`${JSON.stringify(describeWorker(devices), null, 2)}\n`);
  });

program
  .command('check-data')
  .description('Decode every image of a data set, and list the files that cannot be decoded.')
  .requiredOption('--data-path <folder>', 'the data set', parserOf('--data-path', bounds.path))
  .addOption(new Option('--splits <names...>', 'which parts of it').choices(splitNames).default(splitNames))
  .option(
    '-j, --workers <n>',
    'image decoding concurrency',
    parserOf('--workers', bounds.decodeThreads),
    availableParallelism(),
  )
  .action(async (options: CheckDataOptions) => {
    const { checkData } = await import('./commands/check-data.ts');
    throw new Exit(await checkData(options));
  });

addCompletion(program);

/** Starts this command again in the environment that the libraries need; returns its exit code. */
async function startAgain(options: WorkerOptions): Promise<number> {
  const { redis, run, device, dataPath, workers, metricsPort, metricsHost, wait } = options;
  let child: ChildProcess | null = null;
  // From the very start: in a container this is process 1, which a signal that nobody handles does not end.
  onStopSignals((signal) => {
    if (child === null) process.exit(exitCodes.complete);
    const note: NoteToWorker = { leave: 'wish', reason: `received ${signal}` };
    child.send(note, () => undefined); // it may be gone already
  });
  const { awaitRun } = await import('./commands/find-run.ts');
  const config = await awaitRun(redis, run, wait * 1000);
  const { backend } = config;
  const threads = options.threads ?? config.threads;
  const environment = {
    ...workerEnvironment(process.env, {
      threads,
      workers: 1,
      cores: availableParallelism(),
      decodeThreads: workers ?? config.options.decodeThreads,
    }),
    ...backendEnvironment(process.env, { backend, device, threads }),
  };
  const argv = [process.argv[1]!, 'start', '--run', config.run, '--device', device, '--wait', String(wait)];
  if (dataPath !== undefined) argv.push('--data-path', dataPath);
  if (workers !== undefined) argv.push('--workers', String(workers));
  if (options.threads !== undefined) argv.push('--threads', String(threads));
  if (metricsPort !== undefined) argv.push('--metrics-port', String(metricsPort));
  if (metricsHost !== undefined) argv.push('--metrics-host', metricsHost);
  // Detached: Ctrl-C in the terminal reaches only this process, which passes it on. When this dies, the channel closes.
  const started = spawn(process.execPath, argv, {
    env: { ...environment, ...calledAs, CORNET_REDIS_URL: redis },
    detached: true,
    stdio: ['inherit', 'inherit', 'inherit', 'ipc'],
  });
  child = started;
  return new Promise((resolve, reject) => {
    started.on('error', reject);
    started.on('exit', (code, signal) => {
      if (code !== null) return resolve(code);
      reject(new CornetError('WORKER_KILLED', `The process of this worker was killed by ${signal}.`));
    });
  });
}

process.exitCode = await runCommand(program, process.argv.slice(2));
process.exit();
