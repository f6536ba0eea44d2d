/** `coordinator start --dry-run`: what a run would do and need, without starting anything. */
import { dirname, resolve } from 'node:path';
import { keptSteps } from '../../shared/data/kept-steps.ts';
import { warmupSteps } from '../../shared/data/learning-rate.ts';
import { scheduleOf } from '../../shared/data/schedule.ts';
import { CornetError } from '../../shared/errors.ts';
import { chooseDevices } from '../../shared/process/gpus.ts';
import type { Notices } from '../../shared/process/notices.ts';
import { redactUrl } from '../../shared/redis/redis-url.ts';
import { isInference, labelsOf, type RunConfig, totalSteps } from '../../shared/run-config.ts';
import { gigabytes } from '../../shared/util/gigabytes.ts';
import { quoteName } from '../../shared/util/printable.ts';
import { exists } from '../disk/durable-file.ts';
import { joinHint } from '../host/join-command.ts';
import { chooseLocalWorkers, refuseUnreachable } from '../options/local-workers.ts';
import type { StartOptions } from '../options/table.ts';
import { bytesOfRun, freeBytes } from '../run-folder/disk-need.ts';
import { RunFolder } from '../run-folder/run-folder.ts';
import { isUnbegun } from '../run-folder/unbegun-run.ts';
import { count } from '../view/format.ts';
import { announcement } from '../watch/run-summary.ts';
import { withAutoResume } from './auto-resume.ts';
import { newConfig, resumedConfig } from './config.ts';
import { checkOutputPlace } from './output-place.ts';
import { planOf } from './plan.ts';

/**
 * Checks the options, the data set and the weights as a start does, and prints what would follow.
 * @throws CornetError whatever a start would throw before it has a run folder
 */
export async function dryRun(given: StartOptions, notices: Notices): Promise<void> {
  const options = await withAutoResume(given);
  const { outputPath, redis } = options;
  const folder = resolve(outputPath);
  const former = options.resume === true ? await formerConfig(folder) : null;
  if (former === null) await checkOutputPlace(options);
  if (former === null && (await RunFolder.holdsRun(folder)) && !(await isUnbegun(folder))) {
    throw new CornetError('RUN_EXISTS', `The folder ${quoteName(folder)} already holds a run.`);
  }
  const localWorkers = chooseLocalWorkers(options, former?.options.localWorkers ?? null);
  refuseUnreachable(localWorkers, redis, former?.options.redis);
  const { devices, notes } = await chooseDevices(localWorkers, process.env);
  for (const note of notes) notices.note(note);
  const { config } =
    former === null
      ? await newConfig(options, localWorkers, notices)
      : await resumedConfig(options, former, localWorkers, notices);
  const lines = announcement({
    run: config.run,
    name: labelsOf(config).name,
    folder,
    devices,
    config,
    page: null,
    redis: redis === undefined ? 'a private redis-server' : redactUrl(redis),
    join: redis === undefined ? null : joinHint(config, redis),
  });
  const more = (await needsOf(config, folder)).map(([name, text]) => `  ${name.padEnd(9)} ${text}`);
  process.stdout.write(`${[...lines, ...more, 'Nothing was started: --dry-run.'].join('\n')}\n`);
}

async function formerConfig(folder: string): Promise<RunConfig> {
  const { config } = await RunFolder.peek(folder);
  if (!isInference(config)) return config;
  throw new CornetError('RUN_MISSING', `The folder ${quoteName(folder)} holds no training.`);
}

/** What follows from a configuration: learning rates, validations, checkpoints and the room that they take. */
async function needsOf(config: RunConfig, folder: string): Promise<[string, string][]> {
  const { result, options } = config;
  const schedule = scheduleOf(result);
  const { steps } = planOf(config, schedule);
  const last = totalSteps(config);
  const validations =
    schedule.countDue(1, last, options.saveValEpochs) + (schedule.isDue(last, options.saveValEpochs) ? 0 : 1);
  const permanent = keptSteps(config).count;
  const points = options.saveAt === null ? '' : `, and --save-at ${options.saveAt}`;
  const { checkpoint, all } = bytesOfRun(config);
  const place = await existing(folder);
  return [
    ['rates', learningRates(result, last, schedule.stepsPerEpoch, steps.learningRate)],
    ['validates', `${count(validations, 'time', 'times')}, ${every(options.saveValEpochs)} and at the end`],
    [
      'keeps',
      (permanent === 0
        ? ''
        : `${count(permanent, 'checkpoint', 'checkpoints')} forever (${every(options.saveModelEpochs)}${points}), `) +
        `the newest ${options.keepCheckpoints} and the best, of ${gigabytes(checkpoint)} each`,
    ],
    [
      'disk',
      `${gigabytes(all)} at most; ${gigabytes(await freeBytes(place))} are free in ${quoteName(place)}`,
    ],
  ];
}

/** `every epoch`, `every 0.5 epochs`. */
function every(epochs: number): string {
  return epochs === 1 ? 'every epoch' : `every ${epochs} epochs`;
}

/** `0.1 to epoch 20, 0.01 to epoch 40, 0.001 to epoch 43`; `0.02 rising to 0.1 at epoch 5, then cosine to 0.001 at epoch 25` */
function learningRates(
  { schedule, warmupEpochs }: RunConfig['result'],
  last: number,
  stepsPerEpoch: number,
  rateAt: (step: number) => number,
): string {
  const epochs = (step: number) => Number((step / stepsPerEpoch).toFixed(2));
  const rate = (step: number) => Number(rateAt(step).toPrecision(4));
  const first = Math.min(warmupSteps(warmupEpochs, stepsPerEpoch), last);
  const warmup = first === 0 ? '' : `${rate(0)} rising to ${rate(first - 1)} at epoch ${epochs(first)}`;
  if (first === last) return warmup;
  const then = first === 0 ? '' : `${warmup}, then `;
  if (schedule === 'constant') return `${then}${rate(first)} to epoch ${epochs(last)}`;
  if (schedule !== 'step') {
    const begin = first === 0 ? `${rate(0)}, ` : then;
    return `${begin}${schedule} to ${rate(last - 1)} at epoch ${epochs(last)}`;
  }
  const parts: { rate: number; end: number }[] = [];
  for (let step = first; step < last; step++) {
    const rate = rateAt(step);
    if (parts.at(-1)?.rate === rate) parts.at(-1)!.end = step + 1;
    else parts.push({ rate, end: step + 1 });
  }
  const told = parts
    .map(({ rate, end }) => `${Number(rate.toPrecision(4))} to epoch ${epochs(end)}`)
    .join(', ');
  return parts.length === 1
    ? `${then}${told}`
    : `${then}${told} (as in run.py, it falls with the step that completes an epoch)`;
}

/** The folder, or the one above it that is there. */
async function existing(folder: string): Promise<string> {
  for (let path = folder; ; path = dirname(path)) if (await exists(path)) return path;
}
