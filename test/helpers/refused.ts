import { readdirSync } from 'node:fs';
import type { ExecutionContext } from 'ava';
import type { ErrorCode } from '../../shared/errors.ts';
import type { Command, Stage } from './run.ts';

/** One sentence with its code on standard error, then the way out; no stack, and nothing half-written. */
export async function assertRefused(
  t: ExecutionContext,
  stage: Stage,
  command: Command,
  { code, exit, says }: { code: ErrorCode; exit: number; says: RegExp },
): Promise<void> {
  t.is(await command.ended, exit, command.stdout + command.stderr);
  t.regex(command.stderr, says);
  const lines = command.stderr.trimEnd().split('\n');
  const [first, second, ...rest] = lines.filter((line) => !line.startsWith('warning: '));
  t.true(first?.startsWith('error: ') && first.endsWith(` [${code}]`), command.stderr);
  t.notRegex(second ?? '', /^\s+at /);
  t.deepEqual(rest, []);
  t.deepEqual(readdirSync(stage.temporary), []);
  t.deepEqual(stage.processes(), []);
}
