/** The measurements of runs as one table. */
import { csvLine } from '../../shared/util/csv.ts';
import { quoteName } from '../../shared/util/printable.ts';
import { fileError } from '../disk/durable-file.ts';
import { type MetricsRecord, readMetrics } from '../run-folder/metrics-file.ts';
import type { RunSource } from './read-runs.ts';

/** The measurements of metrics.jsonl, by the names that they have there. */
export const metricColumns = [
  'train/loss',
  'train/top1',
  'train/top5',
  'train/learning_rate',
  'train/images',
  'val/loss',
  'val/top1',
  'val/top5',
  'val/images',
] as const;

const runColumns = ['run', 'model', 'seed', 'step', 'epoch'];
const header = [...runColumns, ...metricColumns];

/** By which a table of ours is known. */
export const csvBegins: string = runColumns.join();

/** Characters that are written at once. */
const pieceLength = 256 * 1024;

/**
 * One row per run and step, one column per measurement: a validation stands in the row of the step that it followed. In
 * a longer form, with a row for each value, a long run would have more rows than a spreadsheet takes.
 */
export async function* csvOf(runs: readonly RunSource[]): AsyncGenerator<Buffer> {
  let piece = csvLine(header);
  for (const run of runs) {
    for await (const row of rowsOf(run)) {
      piece += csvLine(cellsOf(run, row));
      if (piece.length < pieceLength) continue;
      yield Buffer.from(piece);
      piece = '';
    }
  }
  yield Buffer.from(piece);
}

/** Records of the same step as one. */
async function* rowsOf({ metricsPath }: RunSource): AsyncGenerator<MetricsRecord> {
  let row: MetricsRecord | undefined;
  try {
    for await (const record of readMetrics(metricsPath)) {
      if (row !== undefined && row.step === record.step) row = { ...row, ...record };
      else {
        if (row !== undefined) yield row;
        row = record;
      }
    }
  } catch (error) {
    throw fileError(error, `read ${quoteName(metricsPath)}`);
  }
  if (row !== undefined) yield row;
}

function cellsOf({ name, config: { result } }: RunSource, record: MetricsRecord): string[] {
  const known = [name, `CORnet-${result.model}`, result.seed, record.step].map(String);
  return [...known, ...['epoch', ...metricColumns].map((column) => numberOf(record[column]))];
}

/** As short as it can be and still the same number; empty: not measured. JSON says `null` for what is not finite. */
function numberOf(value: unknown): string {
  if (value === undefined) return '';
  return typeof value === 'number' ? String(value) : 'NaN';
}
