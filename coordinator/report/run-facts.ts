/** What is known of a run besides its curves: how it stands, its best validation, how long it took. */
import { createReadStream } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { totalSteps } from '../../shared/run-config.ts';
import { quoteName } from '../../shared/util/printable.ts';
import { exists, fileError } from '../disk/durable-file.ts';
import { runFiles } from '../run-folder/run-files.ts';
import { tracesOf } from '../run-folder/traces.ts';
import type { ValidationPoint } from '../view/run-view.ts';
import type { ReportRun } from './read-runs.ts';

export interface RunFacts {
  /** In a few words. */
  readonly state: string;
  readonly step: number;
  readonly steps: number;
  /** By top-1; null: it was never validated. */
  readonly best: ValidationPoint | null;
  readonly last: ValidationPoint | null;
  /** Checkpoints that stay for good, in epochs. */
  readonly kept: readonly number[];
  /** That coordinators were at work on it; null: the log does not have all of it. */
  readonly seconds: number | null;
  /** Over that time, with starting, validations and checkpoints. */
  readonly imagesPerSecond: number | null;
}

export async function factsOf(run: ReportRun): Promise<RunFacts> {
  const { path, config, training, validations, images } = run;
  const traces = await tracesOf(path, config, { host: hostname(), now: Date.now(), unheard: 'no-redis' });
  const steps = totalSteps(config);
  const step = training.at(-1)?.step ?? 0;
  const complete = (traces.checkpoint?.step ?? -1) >= steps;
  const active = !complete && traces.coordinator === 'running';
  // One that was killed left no line when that happened.
  const known = complete || active || traces.ended !== null;
  const seconds = known ? await secondsAtWork(path, config.term, active ? Date.now() : null) : null;
  return {
    state: complete
      ? 'complete'
      : { running: 'active', unknown: 'perhaps active elsewhere', gone: 'stopped' }[traces.coordinator],
    step,
    steps,
    best: validations.reduce<ValidationPoint | null>(
      (best, point) => (best === null || point.top1 > best.top1 ? point : best),
      null,
    ),
    last: validations.at(-1) ?? null,
    kept: traces.kept.map(({ epoch }) => epoch),
    seconds,
    imagesPerSecond: seconds === null || seconds <= 0 ? null : images / seconds,
  };
}

/**
 * From each start of a coordinator to its last line in the log.
 * @param terms how many starts there were
 * @param now milliseconds since 1970 while one is at work, else null
 */
async function secondsAtWork(folder: string, terms: number, now: number | null): Promise<number | null> {
  let started = 0;
  let total = 0;
  let begin: number | null = null;
  let last = 0;
  for (const name of [runFiles.formerLog, runFiles.log]) {
    const path = join(folder, name);
    if (!(await exists(path))) continue;
    try {
      for await (const line of createInterface({ input: createReadStream(path) })) {
        const at = timeOf(line);
        if (at === null) continue;
        if (line.endsWith('"msg":"Starting."}') && line.includes('"config":')) {
          if (begin !== null) total += last - begin;
          begin = at;
          started++;
        }
        last = Math.max(last, at);
      }
    } catch (error) {
      throw fileError(error, `read ${quoteName(path)}`);
    }
  }
  // A log that was replaced twice has lost its beginning.
  return begin === null || started < terms ? null : (total + (now ?? last) - begin) / 1000;
}

/** Milliseconds since 1970, without reading the rest of the line. */
function timeOf(line: string): number | null {
  const [, time] = /^\{"level":"\w+","time":"([\dT:.Z-]+)"/.exec(line) ?? [];
  return time === undefined ? null : Date.parse(time);
}
