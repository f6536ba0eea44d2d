/** What a report needs of run folders. It only reads, and a coordinator may be at work on them meanwhile. */
import { realpath } from 'node:fs/promises';
import { resolve, sep } from 'node:path';
import { CornetError } from '../../shared/errors.ts';
import { say } from '../../shared/process/say.ts';
import { type RunConfig, stepsPerEpoch } from '../../shared/run-config.ts';
import { quoteName } from '../../shared/util/printable.ts';
import { exists, fileError } from '../disk/durable-file.ts';
import { lastMeasurements, readMetrics } from '../run-folder/metrics-file.ts';
import { RunFolder } from '../run-folder/run-folder.ts';
import type { ValidationPoint } from '../view/run-view.ts';

/** A run that has measurements. */
export interface RunSource {
  readonly path: string;
  /** The end of its path, as long as it takes to tell it from the others'. */
  readonly name: string;
  readonly config: RunConfig;
  readonly stepsPerEpoch: number;
  readonly metricsPath: string;
}

interface TrainingPoint {
  /** Updates done. */
  step: number;
  /** NaN: not finite. */
  loss: number;
  top1: number;
}

export interface ReportRun extends Omit<RunSource, 'metricsPath'> {
  /** In the order of the steps, as are the validations. */
  readonly training: readonly TrainingPoint[];
  readonly validations: readonly ValidationPoint[];
  /** Images that were trained on. */
  readonly images: number;
}

/**
 * @param paths of run folders; one that is given twice counts once. Among several, what is no run is left out: a pattern
 * such as runs/* also finds what other commands write beside a run
 * @throws CornetError RUN_MISSING, OPTION_INVALID, RUN_DAMAGED, RUN_FORMAT, FOLDER_NOT_WRITABLE
 */
export async function findRuns(paths: readonly string[]): Promise<RunSource[]> {
  const found = new Map<string, Omit<RunSource, 'name'>>();
  for (const path of await withoutOthers(paths)) {
    const run = await findRun(path);
    const place = await realpath(path);
    if (!found.has(place)) found.set(place, run);
  }
  const runs = [...found.values()];
  const names = distinctNames(runs.map(({ path }) => resolve(path)));
  return runs.map((run, i) => ({ ...run, name: names[i]! }));
}

/** @throws CornetError RUN_MISSING: none is a run */
async function withoutOthers(paths: readonly string[]): Promise<readonly string[]> {
  const [only, ...more] = paths;
  if (only === undefined || more.length === 0) return paths;
  const runs: string[] = [];
  const others: string[] = [];
  for (const path of paths) {
    const isOther = !(await RunFolder.holdsRun(path)) && (await exists(path));
    (isOther ? others : runs).push(path);
  }
  const named = others.map(quoteName).join(', ');
  if (runs.length === 0)
    throw new CornetError('RUN_MISSING', `None of these is the folder of a run: ${named}.`);
  if (others.length > 0) say(`Skipped, because no run is there: ${named}.`);
  return runs;
}

async function findRun(path: string): Promise<Omit<RunSource, 'name'>> {
  const { config, metricsPath } = await peek(path);
  const { step, validation } = await lastMeasurements(metricsPath);
  if (step === 0 && validation === null) {
    throw new CornetError('OPTION_INVALID', `The run in ${quoteName(path)} has no measurements yet.`, {
      hint: 'Wait for its first step, or omit this run.',
    });
  }
  return { path, config, stepsPerEpoch: stepsPerEpoch(config), metricsPath };
}

async function peek(path: string): ReturnType<typeof RunFolder.peekTraining> {
  try {
    return await RunFolder.peekTraining(path);
  } catch (error) {
    if (!(error instanceof CornetError)) throw error;
    const hints: Partial<Record<string, string>> = {
      FOLDER_NOT_WRITABLE:
        'Name a run folder that you may read: the --output-path of its `coordinator start`.',
      RUN_FORMAT: 'Make the report with the version that wrote the run.',
    };
    const hint = hints[error.code] ?? error.hint;
    throw new CornetError(error.code, error.message, { hint, cause: error });
  }
}

/** As few folders from the end of each path as make all of them different. */
export function distinctNames(paths: readonly string[]): string[] {
  const parts = paths.map((path) => path.split(sep).filter((part) => part !== ''));
  const longest = Math.max(...parts.map(({ length }) => length));
  for (let kept = 1; kept < longest; kept++) {
    const names = parts.map((folders) => folders.slice(-kept).join(sep));
    if (new Set(names).size === names.length) return names.map(nameOf);
  }
  return parts.map((folders) => nameOf(folders.join(sep)));
}

function nameOf(path: string): string {
  return path === '' ? sep : quoteName(path);
}

/** @throws CornetError FOLDER_NOT_WRITABLE */
export async function readRun({ metricsPath, ...run }: RunSource): Promise<ReportRun> {
  const training: TrainingPoint[] = [];
  const validations: ValidationPoint[] = [];
  let images = 0;
  try {
    for await (const record of readMetrics(metricsPath)) {
      const { step } = record;
      const of = (name: string) => finite(record[name]);
      if ('train/loss' in record) {
        training.push({ step, loss: of('train/loss'), top1: of('train/top1') });
        images += of('train/images') || 0;
      }
      if ('val/loss' in record) {
        validations.push({ step, loss: of('val/loss'), top1: of('val/top1'), top5: of('val/top5') });
      }
    }
  } catch (error) {
    throw fileError(error, `read ${quoteName(metricsPath)}`);
  }
  const inOrder = <T extends { step: number }>(points: T[]) => points.sort((a, b) => a.step - b.step);
  return { ...run, training: inOrder(training), validations: inOrder(validations), images };
}

/** JSON has no number for what is not finite, and `null` in its place. */
function finite(value: unknown): number {
  return typeof value === 'number' ? value : Number.NaN;
}
