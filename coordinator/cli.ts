/** What the `coordinator` command can do. Each is loaded when it is asked for: a second of modules otherwise. */
import { Command } from 'commander';
import { bounds } from '../shared/option-bounds.ts';
import { Exit, runCommand } from '../shared/process/command-line.ts';
import { addCompletion } from '../shared/process/completion.ts';
import { noticesOnStderr } from '../shared/process/notices.ts';
import { parserOf, readValue } from '../shared/process/option-value.ts';
import { version } from '../shared/process/version.ts';
import { quoteName } from '../shared/util/printable.ts';
import type { CheckDataOptions } from './commands/check-data.ts';
import type { DoctorOptions } from './commands/doctor.ts';
import type { ListOptions } from './commands/list.ts';
import type { OrderOptions } from './commands/order.ts';
import type { StatusOptions } from './commands/status.ts';
import type { ViewOptions } from './commands/view.ts';
import type { Infer } from './inference/infer-at-terminal.ts';
import type { LayersOptions } from './inference/layers.ts';
import { addOptions } from './options/flags.ts';
import { inOwnWords, meantBy } from './options/reference-words.ts';
import type { CommandName } from './options/row.ts';
import type {
  DataOptions,
  ExportOptions,
  FeatureOptions,
  InferenceOptions,
  PredictOptions,
  ReportOptions,
  StartOptions,
} from './options/table.ts';
import type { VerifyOptions } from './verify/verify.ts';

export const program = new Command('coordinator')
  .description('Train the CORnet family on many devices: same run, same bits.')
  .version(version, '-V, --version', 'print the version')
  .helpOption('-h, --help', 'show this help')
  .helpCommand('help [command]', 'show the help of a command');

/** A command with the options that the table gives it. */
function command(name: CommandName, description: string): Command {
  return addOptions(program.command(name).description(description), name);
}

/** @returns the exit code */
async function atTerminal<O>(infer: Infer<O>, options: O): Promise<number> {
  const { inferAtTerminal } = await import('./inference/infer-at-terminal.ts');
  return inferAtTerminal(infer, options);
}

/** Of an argument that takes several. */
function runFolders(text: string, earlier: readonly string[] = []): string[] {
  return [...earlier, readValue('The run folder', bounds.path, text)];
}

command('start', 'Start a run, or resume one (--resume).').action(async (options: StartOptions) => {
  const { startAtTerminal } = await import('./training/start-at-terminal.ts');
  throw new Exit(await startAtTerminal(options));
});

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

command(
  'status',
  'Show whether a run is healthy (exit code 0, else 10 SLOW, 11 STUCK, 12 STOPPED), what it is doing, what it waits for, and since when.',
)
  .argument('[run]', 'the run folder, as with -o', parserOf('The run folder', bounds.path))
  .action(async (outputPath: string | undefined, options: StatusOptions) => {
    const { printStatus } = await import('./commands/status.ts');
    throw new Exit(await printStatus(outputPath === undefined ? options : { ...options, outputPath }));
  });

command('view', 'Serve the live page of a run that has ended, made from its files, until Ctrl-C.')
  .argument('<run>', 'the run folder', parserOf('The run folder', bounds.path))
  .action(async (run: string, options: ViewOptions) => {
    const { viewRun } = await import('./commands/view.ts');
    await viewRun(run, options);
  });

command('list', 'List the runs in folders, or in those below: state, step, best top-1, live page.')
  .argument('[folders...]', 'default: runs, if it exists, else the current folder')
  .action(async (folders: string[], options: ListOptions) => {
    const { listRuns } = await import('./commands/list.ts');
    const read = parserOf('A folder', bounds.path);
    await listRuns(folders.map(read), options);
  });

/** A command that tells an active run something. */
function order(name: CommandName, description: string): Command {
  return command(name, description).argument(
    '<run>',
    'the run folder; with --redis also an id',
    parserOf('The run', bounds.path),
  );
}

order('checkpoint', 'Make an active run write a checkpoint after the current step.').action(
  async (run: string, options: OrderOptions) => {
    const { giveOrder } = await import('./commands/order.ts');
    await giveOrder({ type: 'checkpoint' }, run, options);
  },
);

order('drain', 'Make a worker leave an active run after the current step; nothing is computed twice.')
  .argument('<worker>', 'its id, or the beginning of it', parserOf('The worker', bounds.worker))
  .action(async (run: string, worker: string, options: OrderOptions) => {
    const { giveOrder } = await import('./commands/order.ts');
    await giveOrder({ type: 'drain', worker }, run, options);
  });

order('stop', 'Stop an active run after the current step and a checkpoint, as SIGTERM does.').action(
  async (run: string, options: OrderOptions) => {
    const { giveOrder } = await import('./commands/order.ts');
    await giveOrder({ type: 'stop' }, run, options);
  },
);

command('verify', 'Check every file of a run, even an active one; exits with 1 if one is damaged.')
  .argument('<run>', 'the run folder', parserOf('The run folder', bounds.path))
  .action(async (run: string, options: VerifyOptions) => {
    const { verify } = await import('./verify/verify.ts');
    await verify(run, options);
  });

command('report', 'Draw the curves of runs as a picture or a page, or write their measurements as a table.')
  .argument(
    '<run...>',
    'run folders; runs that differ only in their seed are drawn as mean and band',
    runFolders,
  )
  .action(async (runs: string[], options: ReportOptions) => {
    const { report } = await import('./report/report.ts');
    await report(runs, options);
  });

command(
  'doctor',
  'Check this machine for everything that training needs; exits with 1 if something is missing.',
).action(async (options: DoctorOptions) => {
  const { runDoctor } = await import('./commands/doctor.ts');
  throw new Exit(await runDoctor(options));
});

command(
  'data',
  'Say what is understood of a data set, before anybody trains on it: splits, classes, sizes, duplicates.',
).action(async (options: DataOptions) => {
  const { describeData } = await import('./commands/data.ts');
  await describeData(options);
});

command(
  'check-data',
  'Decode every image of a data set and list those that cannot be decoded; exits with 1 if there are any.',
).action(async (options: CheckDataOptions) => {
  const { checkData } = await import('./commands/check-data.ts');
  throw new Exit(await checkData(options));
});

command(
  'layers',
  'List every output of a model that can be extracted, with its shape and time steps.',
).action(async (options: LayersOptions) => {
  const { printLayers } = await import('./inference/layers.ts');
  await printLayers(options);
});

command('test', 'Extract features of images, as `run.py test` of the reference implementation does.').action(
  async (options: FeatureOptions) => {
    const { extractFeatures } = await import('./inference/features.ts');
    throw new Exit(await atTerminal(extractFeatures, options));
  },
);

command('validate', 'Validate weights: top-1, top-5, loss, and accuracy by class.').action(
  async (options: InferenceOptions) => {
    const { validate } = await import('./inference/validate.ts');
    throw new Exit(await atTerminal(validate, options));
  },
);

command(
  'predict',
  'Name the likeliest classes of images, with their probabilities, as CSV and JSON Lines.',
).action(async (options: PredictOptions) => {
  const { predict } = await import('./inference/predict.ts');
  throw new Exit(await atTerminal(predict, options));
});

command(
  'export',
  "Write weights for others: as the reference implementation's run.py saves them, as ONNX, for Hugging Face, or for Brain-Score.",
)
  .argument(
    '<checkpoint>',
    "a checkpoint, a run's folder (its latest one), RUN:best or RUN@0.5 (nearest to that epoch); with --onnx, --hub or --brain-score also any other source of --weights",
    parserOf('The checkpoint', bounds.path),
  )
  .argument(
    '<file>',
    'where to: OUT.pth.tar, OUT.onnx, or a folder',
    parserOf('The file to write', bounds.path),
  )
  .action(async (checkpoint: string, file: string, options: ExportOptions) => {
    const { exportWeights } = await import('./export/export.ts');
    const source = await exportWeights(checkpoint, file, options, noticesOnStderr());
    process.stdout.write(`Wrote ${quoteName(file)} from ${source}.\n`);
  });

command('demo', 'Make a small data set and train CORnet-Z on it with two CPU workers: a few minutes.').action(
  async (options: { outputPath: string }) => {
    const { runDemo } = await import('./demo/demo.ts');
    throw new Exit(await runDemo(options.outputPath));
  },
);

addCompletion(program);

/** Runs the command that the arguments name, and ends this process with its exit code. */
export async function runProgram(): Promise<never> {
  const names = program.commands.map((command) => command.name());
  const translate = (argv: readonly string[]) => inOwnWords(argv, names);
  process.exitCode = await runCommand(program, process.argv.slice(2), { translate, meantBy });
  process.exit();
}
