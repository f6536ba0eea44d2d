/** What the `worker` command can do: a process for each device. */
import { availableParallelism } from 'node:os';
import { Command, Option } from 'commander';
import { dataChoice, everyImage } from '../shared/data/data-choice.ts';
import { splitNames } from '../shared/data/dataset-index.ts';
import { defaults, http, plainAugmentation } from '../shared/defaults.ts';
import { exitCodes } from '../shared/errors.ts';
import { bounds } from '../shared/option-bounds.ts';
import { Exit, runCommand } from '../shared/process/command-line.ts';
import { addCompletion } from '../shared/process/completion.ts';
import { parserOf } from '../shared/process/option-value.ts';
import { version } from '../shared/process/version.ts';
import { hasWorkerEnvironment } from '../shared/process/worker-environment.ts';
import { augmentation } from '../shared/run-config.ts';
import type { CheckDataOptions } from './commands/check-data.ts';
import type { LookAtImagesOptions } from './commands/look-at-images.ts';
import { type ChosenWorkers, WorkerProcesses } from './commands/worker-processes.ts';
import { EngineClient } from './engine/engine-client.ts';
import { LeaveRequests } from './perform/leave-requests.ts';

const program = new Command('worker')
  .description('Serve a run: compute gradients on one device and exchange them with the other workers.')
  .version(version, '-V, --version', 'print the version')
  .helpOption('-h, --help', 'show this help')
  .helpCommand('help [command]', 'show the help of a command');

program
  .command('start')
  .summary('Join a run and work until it is over.')
  .description(
    'Join a run and work until it is over.\n\n' +
      '  worker start --redis redis://10.0.0.1 --ngpus 4 --data-path /data/imagenet\n' +
      '  worker start --redis redis://10.0.0.1 --cpu-workers 2 --wait 60',
  )
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
  .addOption(
    new Option('--device <device>', 'cpu, cuda:N, or cuda:all for one worker per GPU').default('cpu', 'cpu'),
  )
  .addOption(
    new Option('--ngpus <n>', 'one worker per GPU, on those with most free memory (0: CPU)')
      .argParser(parserOf('--ngpus', bounds.workers))
      .conflicts(['device', 'cpuWorkers']),
  )
  .addOption(
    new Option('--cpu-workers <n>', 'so many workers on the CPU')
      .argParser(parserOf('--cpu-workers', bounds.cpuWorkers))
      .conflicts(['device']),
  )
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
    'port of its metrics, with several workers the first one (default: any that is free)',
    parserOf('--metrics-port', bounds.port),
  )
  .option(
    '--metrics-host <address>',
    `address to serve them on (default: ${http.host}, where only this machine can read them)`,
  )
  .option(
    '--blob-host <address>',
    "address at which this host's workers serve gradients to other hosts (default: the one by which they reach Redis)",
    parserOf('--blob-host', bounds.blobHost),
  )
  .option(
    '--blob-ports <from-to>',
    'ports for that, e.g. 7000-7007, one for each worker of this host (default: any that is free)',
    parserOf('--blob-ports', bounds.blobPorts),
  )
  .action(async (options: ChosenWorkers) => {
    // A local worker dies with its coordinator.
    process.on('disconnect', () => process.exit(exitCodes.error));
    if (!hasWorkerEnvironment(process.env)) throw new Exit(await new WorkerProcesses(options).run());
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
    process.stdout.write(`${JSON.stringify(await describeWorker(devices), null, 2)}\n`);
  });

program
  .command('check-data')
  .description('Decode every image of a data set, and list the files that cannot be decoded.')
  .requiredOption('--data-path <folder>', 'the data set', parserOf('--data-path', bounds.path))
  .addOption(choiceOption())
  .addOption(splitsOption())
  .addOption(workersOption())
  .action(async (options: CheckDataOptions) => {
    const { checkData } = await import('./commands/check-data.ts');
    throw new Exit(await checkData(options));
  });

program
  .command('look-at-images')
  .description('What `coordinator data` says of images, as JSON, and its contact sheet behind that.')
  .requiredOption('--data-path <folder>', 'the data set', parserOf('--data-path', bounds.path))
  .addOption(choiceOption())
  .addOption(splitsOption())
  .addOption(workersOption())
  .option(
    '--sample <n>',
    'images to decode for their sizes',
    parserOf('--sample', bounds.sample),
    defaults.sample,
  )
  .addOption(
    new Option('--augmentation <json>', 'what becomes of the images of the contact sheet')
      .argParser((text) => augmentation.parse(JSON.parse(text)))
      .default(plainAugmentation)
      .hideHelp(),
  )
  .option('--duplicates', 'look for images with the same bytes', false)
  .option(
    '--sheet-of <pixels>',
    'draw a contact sheet of training images of this size',
    parserOf('--sheet-of', bounds.imageSize),
  )
  .action(async (options: LookAtImagesOptions) => {
    // It dies with its coordinator.
    process.on('disconnect', () => process.exit(exitCodes.error));
    const { lookAtImages } = await import('./commands/look-at-images.ts');
    await lookAtImages(options);
  });

addCompletion(program);

/** Which images of the data set a command is about. */
function choiceOption(): Option {
  return new Option('--choice <json>', 'which images, as the coordinator says it')
    .argParser((text) => dataChoice.parse(JSON.parse(text)))
    .default(everyImage)
    .hideHelp();
}

function splitsOption(): Option {
  return new Option('--splits <names...>', 'which parts of it').choices(splitNames).default(splitNames);
}

function workersOption(): Option {
  return new Option('-j, --workers <n>', 'image decoding concurrency')
    .argParser(parserOf('--workers', bounds.decodeThreads))
    .default(availableParallelism());
}

/** A run is looked at and told something by the other command. */
const ofCoordinator = ['status', 'list', 'stop', 'checkpoint', 'drain', 'view', 'data', 'doctor'];

process.exitCode = await runCommand(program, process.argv.slice(2), {
  translate: (words) => [...words],
  meantBy: (word) => (ofCoordinator.includes(word) ? `coordinator ${word}` : null),
});
process.exit();
