/** What the `coordinator` command can do. Each is loaded when it is asked for: a second of modules otherwise. */
import { Command, Option } from 'commander';
import { splitNames } from '../shared/data/dataset-index.ts';
import { defaults } from '../shared/defaults.ts';
import { modelNames } from '../shared/models/model.ts';
import { Exit, runCommand, wholeNumber } from '../shared/process/command-line.ts';
import { version } from '../shared/process/version.ts';
import { quoteName } from '../shared/util/printable.ts';
import type { CheckDataOptions } from './commands/check-data.ts';
import type { DoctorOptions } from './commands/doctor.ts';
import type { LayersOptions } from './commands/layers.ts';
import type { StatusOptions } from './commands/status.ts';
import {
  addFeatureOptions,
  addValidateOptions,
  type FeatureOptions,
  type InferenceOptions,
} from './inference/options.ts';
import { addStartOptions, type StartOptions } from './training/options.ts';
import type { VerifyOptions } from './verify/verify.ts';

export const program = new Command('coordinator')
  .description('Train the CORnet family on many devices: same run, same bits.')
  .version(version);

addStartOptions(program.command('start').description('Start a run, or continue one (--resume).')).action(
  async (options: StartOptions) => {
    const { startRun } = await import('./training/start.ts');
    const { exitCode } = await startRun(options);
    throw new Exit(exitCode);
  },
);

program
  .command('setup')
  .description(
    'Fetch and build what training needs on this machine: redis-server, libtorch, the native addons (--help says more).',
  )
  .argument('[options...]')
  .helpOption(false) // the script knows its options
  .allowUnknownOption()
  .action(async (options: string[]) => {
    const { setUp } = await import('./commands/set-up.ts');
    throw new Exit(await setUp(options));
  });

program
  .command('status')
  .description('What a run is doing, what it waits for, and since when.')
  .option('-o, --output-path <folder>', 'the run folder')
  .addOption(new Option('--redis <url>', 'the Redis of the run, as for start').env('CORNET_REDIS_URL'))
  .option('--run <id>', 'id of the run, with --redis (default: all)')
  .option('--watch', 'keep looking until the run ends', false)
  .option('--json', 'as JSON, one object per line', false)
  .action(async (options: StatusOptions) => {
    const { printStatus } = await import('./commands/status.ts');
    await printStatus(options);
  });

program
  .command('verify')
  .description('Look at every file of a run, also while it is at work; exit code 1 when one is damaged.')
  .argument('<run>', 'the run folder')
  .option('--json', 'as JSON, one object per file', false)
  .action(async (run: string, options: VerifyOptions) => {
    const { verify } = await import('./verify/verify.ts');
    await verify(run, options);
  });

program
  .command('doctor')
  .description(
    'Look for everything that training needs on this machine; exit code 1 when it could not start.',
  )
  .option('-o, --output-path <folder>', 'where the run folder would be (default: here)')
  .addOption(new Option('--redis <url>', 'the Redis to use instead of a private one').env('CORNET_REDIS_URL'))
  .action(async (options: DoctorOptions) => {
    const { runDoctor } = await import('./commands/doctor.ts');
    throw new Exit(await runDoctor(options));
  });

program
  .command('check-data')
  .description(
    'Decode every image of a data set, and list the files that cannot be decoded; exit code 1 then.',
  )
  .requiredOption('--data-path <folder>', 'the data set')
  .addOption(new Option('--splits <names...>', 'which parts of it').choices(splitNames).default(splitNames))
  .option('-j, --workers <n>', 'images decoded at once (default: the number of cores)', wholeNumber(1))
  .action(async (options: CheckDataOptions) => {
    const { checkData } = await import('./commands/check-data.ts');
    throw new Exit(await checkData(options));
  });

program
  .command('layers')
  .description('Every place in a model whose output can be read, with its shape and time steps.')
  .addOption(new Option('--model <name>', 'which CORnet').choices(modelNames).makeOptionMandatory())
  .option('--times <n>', 'time steps of R and RT', wholeNumber(1), defaults.times)
  .option('--image-size <pixels>', 'side of the square input', wholeNumber(16), defaults.imageSize)
  .option('--json', 'as JSON', false)
  .action(async (options: LayersOptions) => {
    const { printLayers } = await import('./commands/layers.ts');
    printLayers(options);
  });

addFeatureOptions(
  program.command('test').description("Read features of images, as the original's run.py test."),
).action(async (options: FeatureOptions) => {
  const { extractFeatures } = await import('./inference/features.ts');
  throw new Exit(await extractFeatures(options));
});

addValidateOptions(
  program.command('validate').description('Validate weights: top-1, top-5, loss, and accuracy by class.'),
).action(async (options: InferenceOptions) => {
  const { validate } = await import('./inference/validate.ts');
  throw new Exit(await validate(options));
});

program
  .command('export')
  .description("Write a checkpoint as the original's run.py saves it, for torch.load.")
  .argument('<checkpoint>', "a checkpoint, or a run's folder (its latest one)")
  .argument('<file>', 'where to: OUT.pth.tar')
  .action(async (checkpoint: string, file: string) => {
    const { exportCheckpoint } = await import('./commands/export.ts');
    process.stdout.write(
      `Wrote ${quoteName(file)} from ${quoteName(await exportCheckpoint(checkpoint, file))}.\n`,
    );
  });

program
  .command('demo')
  .description('Make a small data set and train CORnet-Z on it with two CPU workers: a few minutes.')
  .option('-o, --output-path <folder>', 'where the data set and the run go', 'runs/demo')
  .action(async (options: { outputPath: string }) => {
    const { runDemo } = await import('./demo/demo.ts');
    throw new Exit(await runDemo(options.outputPath));
  });

/** Runs the command that the arguments name, and ends this process with its exit code. */
export async function runProgram(): Promise<never> {
  process.exitCode = await runCommand(program, process.argv.slice(2));
  process.exit();
}
