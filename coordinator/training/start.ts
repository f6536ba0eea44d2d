/** A training: from options to a run, and its end. */
import { hostname } from 'node:os';
import { join } from 'node:path';
import { namesOfOutputs } from '../../shared/data/class-outputs.ts';
import type { DatasetIndex, Split } from '../../shared/data/dataset-index.ts';
import { keptSteps } from '../../shared/data/kept-steps.ts';
import { scheduleOf } from '../../shared/data/schedule.ts';
import { http as httpDefaults } from '../../shared/defaults.ts';
import { CornetError, exitCodes } from '../../shared/errors.ts';
import { stateLayout } from '../../shared/formats/state-layout.ts';
import { vectorLayout } from '../../shared/formats/vector-layout.ts';
import { modelOf } from '../../shared/models/family.ts';
import { chooseDevices } from '../../shared/process/gpus.ts';
import { HttpServer } from '../../shared/process/http-server.ts';
import { labelsOf, type RunConfig, stepsPerEpoch, totalSteps } from '../../shared/run-config.ts';
import { quoteName } from '../../shared/util/printable.ts';
import { withReleasers } from '../../shared/util/releasers.ts';
import type { CheckpointRecord } from '../checkpoints/checkpoint-records.ts';
import { Checkpoints } from '../checkpoints/checkpoints.ts';
import { checkIdentity } from '../checkpoints/own-run.ts';
import { conductRun, type RunContext, type RunKind } from '../conduct/conduct-run.ts';
import type { Outcome } from '../conduct/conductor.ts';
import type { Frontend } from '../conduct/frontend.ts';
import type { PatientDisk } from '../disk/patient-disk.ts';
import { validationImages } from '../options/chosen-images.ts';
import { chooseLocalWorkers, refuseUnreachable } from '../options/local-workers.ts';
import { nextCommands } from '../options/next-commands.ts';
import { howToContinue, neededAfter, resumeCommand } from '../options/resume-command.ts';
import { defaultOf, type StartOptions } from '../options/table.ts';
import { compareRoom } from '../run-folder/disk-need.ts';
import { RunFolder } from '../run-folder/run-folder.ts';
import { Trackers } from '../tracking/trackers.ts';
import { count, duration, epochList, percent } from '../view/format.ts';
import { keptViews } from '../view/view-of.ts';
import { readControlToken } from '../watch/guard.ts';
import type { StartInfo } from '../watch/news.ts';
import { pageFactsOf } from '../watch/page-facts.ts';
import { type RunViewer, Watch } from '../watch/watch.ts';
import { withAutoResume } from './auto-resume.ts';
import { newConfig, readConfig, resumedConfig } from './config.ts';
import { failureOf } from './failure.ts';
import { observeTraining } from './observe-training.ts';
import { checkOutputPlace } from './output-place.ts';
import { planOf } from './plan.ts';
import { startingState } from './starting-point.ts';
import { TrainingOutput } from './training-output.ts';

/** Images of a shard that a sentence names. */
const imagesShown = 4;

/** A checkpoint with what was measured of it. */
export interface ReportedCheckpoint {
  /** Updates done. */
  readonly step: number;
  readonly path: string;
  readonly sha256: string;
  /** Mean loss and fraction of right answers; null: this very state was not validated. */
  readonly validation: { readonly loss: number; readonly top1: number } | null;
}

/** How a training has ended. */
export interface RunReport {
  /** Complete, or stopped so that it can be resumed. */
  readonly outcome: 'complete' | 'interrupted';
  /** The run's id. */
  readonly run: string;
  /** The run folder, an absolute path. */
  readonly folder: string;
  /** Updates of the whole run. */
  readonly steps: number;
  /** Null: it was stopped before its first checkpoint. */
  readonly latest: ReportedCheckpoint | null;
  /** The one with the best top-1; null: none was validated. */
  readonly best: ReportedCheckpoint | null;
  /** The last validation, whether or not a checkpoint has its state. */
  readonly validation: { step: number; loss: number; top1: number; top5: number } | null;
  /** Training speed of this coordinator; null: it made no step. */
  readonly imagesPerSecond: number | null;
  readonly config: RunConfig;
}

/**
 * Starts or resumes a run and conducts it to its end.
 * @throws CornetError that refused or ended it
 */
export async function startRun(given: StartOptions, frontend: Frontend<RunViewer>): Promise<RunReport> {
  const options = await withAutoResume(given);
  const controlToken = await readControlToken(options.controlTokenFile, process.env);
  return withReleasers(async (release) => {
    const interruption = frontend.interruption();
    release(interruption.release);
    if (!options.resume) await checkOutputPlace(options);
    const folder = options.resume
      ? await RunFolder.open(options.outputPath, hostname(), frontend.note)
      : await RunFolder.create(options.outputPath, hostname(), frontend.note);
    release(() => folder.release());
    const former = options.resume ? await readConfig(folder) : null;
    const localWorkers = chooseLocalWorkers(options, former?.options.localWorkers ?? null);
    refuseUnreachable(localWorkers, options.redis, former?.options.redis);
    const { devices, notes } = await chooseDevices(localWorkers, process.env);
    for (const note of notes) frontend.note(note);
    const { config, index, goBackTo } =
      former === null
        ? await newConfig(options, localWorkers, frontend)
        : await resumedConfig(options, former, localWorkers, frontend);
    const warning = await compareRoom(folder, config);
    if (warning !== null) frontend.note(warning);
    const setup = {
      config,
      devices,
      folder,
      interruption,
      redisUrl: options.redis,
      redisPatience: (options.wait ?? defaultOf('wait')) * 1000,
      diskPatience: (options.waitForDisk ?? defaultOf('waitForDisk')) * 1000,
      bytesNeeded: bytesNeeded(config),
      openHttp: () => openHttp(options),
      metricsHost: options.metricsHost,
      blobHost: options.blobHost,
      blobPorts: options.blobPorts,
    };
    return conductRun(setup, (context) =>
      prepareTraining({ options, config, index, goBackTo, devices, folder, controlToken, frontend }, context),
    );
  });
}

function bytesNeeded({ result }: RunConfig): number {
  const model = modelOf(result);
  const vectorBytes = 4 * vectorLayout(model, result.imageSize).length;
  return 2 * (result.lanes + 1) * vectorBytes + 2 * stateLayout(model).bytes;
}

/** Without --metrics-port a second run on this machine takes whatever port is free. */
async function openHttp({ metricsHost, metricsPort }: StartOptions): Promise<HttpServer> {
  const host = metricsHost ?? httpDefaults.host;
  if (metricsPort !== undefined) return HttpServer.listen(host, metricsPort);
  return HttpServer.listen(host, httpDefaults.port).catch(() => HttpServer.listen(host, 0));
}

/** Whoever opens or scrapes the usual port must not take another run for this one. */
function portNotice({ metricsPort }: StartOptions, http: HttpServer | null): string | null {
  if (http === null || metricsPort !== undefined || http.port === httpDefaults.port) return null;
  return (
    `Port ${httpDefaults.port} is taken, perhaps by another run: this one has its live page and metrics at ` +
    `http://${http.address}/. Add http://${http.address}/service-discovery to Prometheus (deploy/prometheus.yml), ` +
    'or choose a port with --metrics-port.'
  );
}

interface TrainingParts {
  options: StartOptions;
  config: RunConfig;
  index: DatasetIndex;
  goBackTo: string | null;
  devices: string[];
  folder: RunFolder;
  controlToken: string | null;
  frontend: Frontend<RunViewer>;
}

async function prepareTraining(
  { options, config, index, goBackTo, devices, folder, controlToken, frontend }: TrainingParts,
  { log, faults, http, disk, redisName, join }: RunContext,
): Promise<RunKind<RunReport>> {
  const startedAt = new Date();
  const model = modelOf(config.result);
  const keep = config.options.keepCheckpoints;
  const checkpoints = await Checkpoints.open(folder.checkpointsPath, stateLayout(model).slots, keep, {
    fence: folder.fence,
    checkIdentity: (identity, path) => checkIdentity(config, identity, path),
  });
  const schedule = scheduleOf(config.result);
  const plan = planOf(config, schedule);
  const watch = new Watch({ config, now: () => performance.now(), clock: () => new Date() });
  watch.add(frontend.viewer());
  const start: StartInfo = {
    run: config.run,
    name: labelsOf(config).name,
    folder: folder.path,
    devices,
    config,
    page: http === null ? null : `http://${http.address}/`,
    redis: redisName,
    join,
  };
  await folder.keepClasses(namesOfOutputs(config.result, index.classes));
  watch.begun(start);
  const trackers = new Trackers({
    config,
    folder,
    mlflow: options.mlflow,
    environment: process.env,
    tell: (level, sentence) => {
      log[level](sentence);
      watch.say(sentence, level);
    },
    notices: frontend,
  });
  const output = new TrainingOutput({
    config,
    schedule,
    kept: keptSteps(config),
    folder,
    disk,
    checkpoints,
    log,
    faults,
    watch,
    trackers,
    initialState: () => startingState(config, model),
    restorePath: goBackTo,
  });
  return {
    plan,
    output,
    reporter: watch,
    describeShard: (step, lane) => {
      const { epoch, samples } = schedule.shard(step, lane);
      return `step ${step}, lane ${lane} (epoch ${epoch}: ${describeImages(index.train, samples)})`;
    },
    describeBatch: (batch) => `batch ${batch} of the validation`,
    whenStopped: 'stopping after a checkpoint',
    howToGoOn: 'Start again with --resume: the last checkpoint is untouched.',
    observe: (observed) =>
      observeTraining(observed, {
        config,
        checkpoints,
        checkpointsPath: folder.checkpointsPath,
        disk,
        http,
        log,
        watch,
        trackers,
        controlToken,
        facts: pageFactsOf({
          start,
          startedAt: startedAt.toISOString(),
          command: frontend.command,
          resume: resumeCommand(folder.path, config, options),
          checkpointsPath: folder.checkpointsPath,
          served: http === null ? null : { address: http.address, host: hostname() },
          control: controlToken !== null,
        }),
        notice: portNotice(options, http),
        note: frontend.note,
      }),
    report: async (outcome) => {
      trackers.ending(outcome.outcome);
      return report({ outcome, options, config, folder, checkpoints, disk, watch, output });
    },
  };
}

/** What the end of a run means for the user. */
function report({
  outcome,
  options,
  config,
  folder,
  checkpoints,
  disk,
  watch,
  output: { begunAt, skipped },
}: {
  outcome: Outcome;
  options: StartOptions;
  config: RunConfig;
  folder: RunFolder;
  checkpoints: Checkpoints;
  disk: PatientDisk;
  watch: Watch;
  output: Pick<TrainingOutput, 'begunAt' | 'skipped'>;
}): RunReport {
  if (outcome.outcome === 'failed') {
    const failure = failureOf(outcome.failure, checkpoints, folder.checkpointsPath);
    throw isOfImages(failure) && checkpoints.latest !== null
      ? withHint(
          failure,
          `${failure.hint} ${howToContinue(folder.path, config, options, neededAfter(failure) ?? [])}`,
        )
      : failure;
  }
  const { latest, best } = checkpoints;
  const { images, seconds } = watch.totals;
  const complete = outcome.outcome === 'complete';
  if (!complete && disk.trouble !== null) throw disk.trouble;
  const steps = totalSteps(config);
  const at = latest === null ? 'before its first checkpoint' : `at step ${latest.step} of ${steps}`;
  const file = latest === null ? null : `${folder.checkpointsPath}/${latest.file}`;
  const weights = best?.validation == null ? folder.path : `${folder.path}:best`;
  watch.ended({
    outcome: outcome.outcome,
    exitCode: complete ? exitCodes.complete : exitCodes.resumable,
    step: latest?.step ?? null,
    checkpoint: file,
    message: complete
      ? begunAt === steps
        ? `Nothing was left to train: all ${count(steps, 'step', 'steps')} had been done, last checkpoint ${file}.`
        : `Done: ${stepsInWords(steps, begunAt)} (${duration(seconds)} in steps)${bestInWords(best, config)}, last checkpoint ${file}.${keptInWords(checkpoints, config)}${skippedInWords(skipped)}`
      : `Stopped ${at}. ${howToContinue(folder.path, config, options)}`,
    next: complete ? nextCommands(folder.path, weights, validationImages(config)) : [],
  });
  const reported = (record: CheckpointRecord | null): ReportedCheckpoint | null => {
    if (record === null) return null;
    const { step, file, sha256, validation } = record;
    return { step, path: join(folder.checkpointsPath, file), sha256, validation };
  };
  return {
    outcome: outcome.outcome,
    run: config.run,
    folder: folder.path,
    steps,
    latest: reported(latest),
    best: best?.validation == null ? null : reported(best),
    validation: watch.validation,
    imagesPerSecond: seconds > 0 ? images / seconds : null,
    config: structuredClone(config),
  };
}

/** The seconds beside it are those of this coordinator alone. */
function stepsInWords(steps: number, begunAt: number | null): string {
  const all = count(steps, 'step', 'steps');
  return begunAt === null || begunAt === 0 ? all : `${all}, ${steps - begunAt} of them now`;
}

function skippedInWords(skipped: number): string {
  return skipped === 0
    ? ''
    : ` ${count(skipped, 'unreadable image was', 'unreadable images were')} skipped; log.jsonl has the names.`;
}

function keptInWords({ records }: Checkpoints, config: RunConfig): string {
  const epochs = keptViews(records, stepsPerEpoch(config)).map(({ epoch }) => epoch);
  if (epochs.length === 0) return '';
  const which = epochs.length === 1 ? 'that of epoch' : 'those of the epochs';
  return ` Kept for good: ${which} ${epochList(epochs)}.`;
}

function bestInWords(best: Checkpoints['best'], config: RunConfig): string {
  if (best?.validation == null) return '';
  const epoch = (best.step / stepsPerEpoch(config)).toFixed(2);
  return `, best validation top-1 ${percent(best.validation.top1)} at step ${best.step} (epoch ${epoch})`;
}

/** The first images of a shard, relative to the data folder. */
function describeImages(train: Split, samples: ArrayLike<number>): string {
  const shown = Array.from(samples).slice(0, imagesShown);
  const names = shown.map((sample) => quoteName(train.path(sample))).join(', ');
  return samples.length > imagesShown ? `${names}, … ${samples.length} in all` : names;
}

function isOfImages({ code }: CornetError): boolean {
  return code === 'IMAGE_UNREADABLE' || code === 'IMAGE_UNREACHABLE';
}

function withHint(error: CornetError, hint: string): CornetError {
  return CornetError.fromJSON({ ...error.toJSON(), hint });
}
