/** `coordinator start`. */
import { CornetError, describeError, exitCodes } from '../../shared/errors.ts';
import { asCalled } from '../../shared/process/own-command.ts';
import { asUserError } from '../../shared/process/user-error.ts';
import { printableJson } from '../../shared/util/printable.ts';
import type { Frontend } from '../conduct/frontend.ts';
import type { StartOptions } from '../options/table.ts';
import { atTerminal, exitCodeOf } from '../watch/at-terminal.ts';
import { chooseViewer } from '../watch/choose-viewer.ts';
import type { RunNews } from '../watch/news.ts';
import type { RunViewer } from '../watch/watch.ts';
import { dryRun } from './dry-run.ts';
import { startRun } from './start.ts';

/** @returns the exit code */
export async function startAtTerminal(options: StartOptions): Promise<number> {
  if (options.dryRun === true) {
    await dryRun(options, trainingTerminal(false));
    return exitCodes.complete;
  }
  const json = options.json ?? false;
  try {
    return exitCodeOf(await startRun(options, trainingTerminal(json)));
  } catch (error) {
    if (json) printError(error);
    throw error;
  }
}

export function trainingTerminal(json: boolean): Frontend<RunViewer> {
  return atTerminal(() => chooseViewer(process.stdout, process.env, json));
}

/** With `--json` the last line says why the command fails. */
function printError(error: unknown): void {
  const { code, message, hint, exitCode } = CornetError.fromJSON(describeError(asUserError(error)));
  const told = { message: asCalled(message), hint: asCalled(hint) };
  const news: RunNews = { at: new Date().toISOString(), type: 'error', code, ...told, exitCode };
  process.stdout.write(printableJson(`${JSON.stringify(news)}\n`));
}
