/** `coordinator report`: the curves of runs as a picture, a page or a table. It only reads what the runs wrote. */
import { open, realpath, stat } from 'node:fs/promises';
import { extname } from 'node:path';
import { CornetError } from '../../shared/errors.ts';
import { quoteName } from '../../shared/util/printable.ts';
import { fileError, systemCode, writeDurably } from '../disk/durable-file.ts';
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

/**
 * @param paths of run folders
 * @param options its `output` is a file, whose extension says the format; `-`: standard output, as CSV
 * @throws CornetError OPTION_INVALID, OUTPUT_EXISTS, RUN_MISSING, RUN_DAMAGED, RUN_FORMAT, DISK_FULL, FOLDER_NOT_WRITABLE
 */
export async function report(paths: readonly string[], { output }: ReportOptions): Promise<void> {
  const format = formatOf(output);
  const target = output === standardOutput ? null : await targetOf(output);
  const runs = await findRuns(paths);
  const parts = await makers[format](runs);
  if (target === null) return print(parts);
  await write(target, parts);
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

/**
 * Where to write: behind a link, the file that it leads to.
 * @throws CornetError OPTION_INVALID: something is there that is not a file; OUTPUT_EXISTS: a file that is no report
 */
async function targetOf(output: string): Promise<string> {
  try {
    const found = await stat(output);
    if (found.isFile()) {
      await refuseForeign(output);
      return await realpath(output);
    }
    const what = found.isDirectory() ? 'is a folder' : 'is not a regular file';
    throw new CornetError('OPTION_INVALID', `-o ${quoteName(output)} ${what}.`, {
      hint: 'Name another file. An earlier report is replaced.',
    });
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return output;
    throw fileError(error, `write ${quoteName(output)}`, writeHint);
  }
}

/** Bytes at the beginning of a report that tell that it is one. */
const headBytes = 16 * 1024;

/** An earlier report is replaced, somebody else's file is not. */
async function refuseForeign(path: string): Promise<void> {
  const file = await open(path);
  try {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(headBytes), 0, headBytes, 0);
    const head = buffer.toString('utf8', 0, bytesRead);
    if (bytesRead === 0 || head.includes('cornet-report') || head.startsWith(csvBegins)) return;
  } finally {
    await file.close();
  }
  throw new CornetError('OUTPUT_EXISTS', `${quoteName(path)} is there already, and is no report.`, {
    hint: 'Name another file.',
  });
}

const writeHint = 'Give -o a file in a folder that you may write to.';

async function write(target: string, parts: Parts): Promise<void> {
  try {
    await writeDurably(target, parts);
  } catch (error) {
    // What a run folder could not give has a way out of its own.
    if (!(error instanceof CornetError) || !error.message.startsWith('Cannot write')) throw error;
    const hints: Partial<Record<string, string>> = {
      FOLDER_NOT_WRITABLE: writeHint,
      DISK_FULL: 'Free some space, or give -o a file on another disk.',
    };
    throw new CornetError(error.code, error.message, { hint: hints[error.code] ?? error.hint, cause: error });
  }
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
