/** Looks at every line of `metrics.jsonl`. */
import { createReadStream } from 'node:fs';
import { join } from 'node:path';
import { CornetError } from '../../shared/errors.ts';
import type { RunConfig } from '../../shared/run-config.ts';
import { quoteName } from '../../shared/util/printable.ts';
import type { CheckpointRecord } from '../checkpoints/checkpoint-records.ts';
import { exists, fileError } from '../disk/durable-file.ts';
import { count } from '../view/format.ts';
import { bad, type Finding, note, ok } from './finding.ts';

/** What is told of the lines that are wrong. */
const longestList = 5;
/** Bytes that no line has. */
const longestLine = 1024 * 1024;

export interface MetricsContext {
  readonly config: RunConfig;
  /** Read before the metrics: their lines up to its step were on disk before it. */
  readonly latest: CheckpointRecord | null;
  /** A coordinator is at work: the last line may be half written, and the run may have gone back. */
  readonly live: boolean;
}

export async function verifyMetrics(folder: string, context: MetricsContext): Promise<Finding> {
  const file = 'metrics.jsonl';
  const path = join(folder, file);
  const { config, latest, live } = context;
  const lines = new Lines();
  try {
    if (await exists(path)) await readLines(path, lines);
    else if (latest === null) return note(file, 'There is none yet.');
  } catch (error) {
    return bad(file, fileError(error, `read ${quoteName(path)}`));
  }
  // A run that began from a checkpoint may have another before its first step.
  const begun = lines.last !== null || config.result.startingWeights.from !== 'checkpoint';
  const missing = latest !== null && begun && (lines.last ?? 0) < latest.step;
  const validated = latest === null || latest.validation === null || lines.validated.has(latest.step);
  if (missing && !live) lines.wrong(`the lines up to the checkpoint of step ${latest.step} are missing`);
  else if (!validated && !live) lines.wrong(`the validation of step ${latest!.step} is missing`);
  const reach =
    lines.last === null
      ? 'It has no step yet'
      : `It has ${count(lines.count, 'line', 'lines')}, up to step ${lines.last}`;
  if (lines.problems.length > 0) {
    const shown = lines.problems.slice(0, longestList).join('; ');
    const more =
      lines.problems.length > longestList ? `; and ${lines.problems.length - longestList} more` : '';
    return bad(file, damaged(path, `${shown}${more}. ${reach}`));
  }
  if (!lines.unfinished || live) return ok(file, `${reach}.`);
  return note(file, `${reach}. A last line was never finished: a resume removes it.`);
}

function damaged(path: string, why: string): CornetError {
  return new CornetError('RUN_DAMAGED', `${quoteName(path)} is not whole: ${why}.`, {
    hint: 'The training is not affected: a resume goes on from the latest checkpoint, and leaves damaged lines out. Lost lines come back from a copy of the file, or when the run is repeated from an earlier checkpoint.',
  });
}

/** What was read so far. */
class Lines {
  count = 0;
  /** The last step that a line of training is of, or null. */
  last: number | null = null;
  /** Steps with a validation. */
  readonly validated = new Set<number>();
  readonly problems: string[] = [];
  unfinished = false;

  wrong(problem: string): void {
    this.problems.push(problem);
  }

  take(text: string): void {
    this.count++;
    const line = parse(text);
    if (line === null) return this.wrong(`line ${this.count} is not one of metrics`);
    if (!('train/loss' in line)) {
      if (this.last !== null && line.step < this.last) this.#back(line.step);
      this.validated.add(line.step);
      return;
    }
    if (this.last !== null && line.step <= this.last) this.#back(line.step);
    else if (this.last !== null && line.step > this.last + 1) {
      const from = this.last + 1;
      const steps = from === line.step - 1 ? `step ${from} is` : `steps ${from} to ${line.step - 1} are`;
      this.wrong(`${steps} missing, as a full disk may leave it`);
    }
    this.last = line.step;
  }

  #back(step: number): void {
    this.wrong(`line ${this.count} is of step ${step}, after one of step ${this.last}`);
  }
}

function parse(text: string): ({ step: number } & Record<string, unknown>) | null {
  try {
    const line = JSON.parse(text) as { step?: unknown } | null;
    return typeof line?.step === 'number' ? (line as { step: number }) : null;
  } catch {
    return null;
  }
}

async function readLines(path: string, lines: Lines): Promise<void> {
  let rest = Buffer.alloc(0);
  for await (const chunk of createReadStream(path)) {
    const data = Buffer.concat([rest, chunk as Buffer]);
    const end = data.lastIndexOf('\n') + 1;
    for (const line of data.toString('utf8', 0, end).split('\n').slice(0, -1)) lines.take(line);
    rest = data.subarray(end);
    if (rest.length > longestLine) {
      lines.wrong(`behind line ${lines.count} comes what is no line`);
      rest = Buffer.alloc(0);
    }
  }
  lines.unfinished = rest.length > 0;
  if (rest.includes(0)) lines.wrong('it ends with zeros, as a power cut may leave it');
}
