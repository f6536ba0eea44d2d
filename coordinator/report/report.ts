/** `coordinator report`: the curves of runs as a picture, a page or a table. It only reads what the runs wrote. */
import { extname } from 'node:path';
import { CornetError } from '../../shared/errors.ts';
import { quoteName } from '../../shared/util/printable.ts';
import { type OutputKind, outputTarget, writeOutput } from '../disk/output-file.ts';
import type { ReportOptions } from '../options/table.ts';
import { count } from '../view/format.ts';
import { csvBegins, csvOf } from './csv.ts';
import { htmlOf } from './html.ts';
import { drawRuns, svgDocument } from './picture.ts';
import { findRuns, type ReportRun, type RunSource, readRun } from './read-runs.ts';
import { factsOf } from './run-facts.ts';
import { describeRuns } from './words.ts';

type Format = 'svg' | 'html' | 'csv';
type Parts = Iterable<Buffer> | AsyncIterable<Buffer>;

/** Of `-o`: for a table that another program reads. */
const standardOutput = '-';

const reports: OutputKind = {
  flag: '-o',
  what: 'report',
  isOne: (head) => head.includes('cornet-report') || head.toString().startsWith(csvBegins),
};

/**
 * @param paths of run folders
 * @param options its `output` is a file, whose extension says the format; `-`: standard output, as CSV
 * @throws CornetError OPTION_INVALID, OUTPUT_EXISTS, RUN_MISSING, RUN_DAMAGED, RUN_FORMAT, DISK_FULL, FOLDER_NOT_WRITABLE
 */
export async function report(paths: readonly string[], { output }: ReportOptions): Promise<void> {
  const format = formatOf(output);
  const target = output === standardOutput ? null : await outputTarget(output, reports);
  const runs = await findRuns(paths);
  const parts = await makers[format](runs);
  if (target === null) return print(parts);
  await writeOutput(target, reports, parts);
  const what = runs.length === 1 ? quoteName(runs[0]!.path) : count(runs.length, 'run', 'runs');
  process.stdout.write(`Wrote ${quoteName(output)} from ${what}.\n`);
}

/** @throws CornetError OPTION_INVALID */
function formatOf(output: string): Format {
  if (output === standardOutput) return 'csv';
  const extension = extname(output).slice(1).toLowerCase();
  if (Object.hasOwn(makers, extension)) return extension as Format;
  throw new CornetError(
    'OPTION_INVALID',
    `-o ${quoteName(output)}: the name of a report must end in .svg (a picture), .html (a page) or .csv (a table).`,
    { hint: 'Use for example -o report.svg, or -o - for CSV on standard output.' },
  );
}

const makers: Record<Format, (runs: readonly RunSource[]) => Promise<Parts>> = {
  csv: async (runs) => csvOf(runs),
  svg: async (sources) => [Buffer.from(pictureOf(await readAll(sources)))],
  html: async (sources) => {
    const runs = await readAll(sources);
    const facts = await Promise.all(runs.map(factsOf));
    return [Buffer.from(htmlOf({ runs, facts, picture: pictureOf(runs), at: new Date() }))];
  },
};

async function readAll(sources: readonly RunSource[]): Promise<ReportRun[]> {
  const runs: ReportRun[] = [];
  for (const source of sources) runs.push(await readRun(source));
  return runs;
}

function pictureOf(runs: readonly ReportRun[]): string {
  return svgDocument(drawRuns(runs), describeRuns(runs));
}

/** As fast as the reader takes it; one that has gone (`| head`) needs no more. */
async function print(parts: Parts): Promise<void> {
  for await (const part of parts) {
    if (process.stdout.destroyed) return;
    const written = process.stdout.write(part);
    if (!written) await new Promise<void>((resolve) => waitForRoom(resolve));
  }
}

function waitForRoom(resolve: () => void): void {
  const done = () => {
    for (const event of ['drain', 'error', 'close']) process.stdout.off(event, done);
    resolve();
  };
  for (const event of ['drain', 'error', 'close']) process.stdout.on(event, done);
}
