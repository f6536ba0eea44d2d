/** `coordinator verify`: whether the files of a run are what they should be. */
import { resolve } from 'node:path';
import { CornetError } from '../../shared/errors.ts';
import { oneLine, printableJson, quoteName } from '../../shared/util/printable.ts';
import type { Finding } from './finding.ts';
import { verifyRun } from './verify-run.ts';

export interface VerifyOptions {
  json: boolean;
}

/**
 * Prints one line per file.
 * @param path the run folder
 * @throws CornetError RUN_MISSING, or the first fault
 */
export async function verify(path: string, { json }: VerifyOptions): Promise<void> {
  const folder = resolve(path);
  const faults: Finding[] = [];
  let count = 0;
  for await (const finding of verifyRun(folder)) {
    count++;
    if (finding.verdict === 'bad') faults.push(finding);
    process.stdout.write(json ? printableJson(`${JSON.stringify(finding)}\n`) : line(finding));
  }
  const [first] = faults;
  if (first !== undefined) {
    const others = faults.length === 1 ? '' : ` And ${faults.length - 1} more of ${count} files.`;
    throw new CornetError(first.code!, `${first.text}${others}`, { hint: first.hint! });
  }
  if (!json) process.stdout.write(`All is well: ${count} files of ${quoteName(folder)}.\n`);
}

function line({ verdict, file, text }: Finding): string {
  return `${verdict.padEnd(4)}  ${oneLine(file).padEnd(37)}  ${oneLine(text.replaceAll('\n', ' '))}\n`;
}
