/** Runs another program for what it says. */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { doctor as limits, timeouts } from '../defaults.ts';

export type Answer = { output: string } | { problem: string };

/** Runs a program to its end, in bounded time; the problem is said in a few words. */
export async function runProgram(
  program: string,
  args: readonly string[],
  options: { timeout?: number; env?: NodeJS.ProcessEnv } = {},
): Promise<Answer> {
  const settings = { timeout: timeouts.program, killSignal: 'SIGKILL', ...options } as const;
  try {
    const { stdout } = await promisify(execFile)(program, args, settings);
    return { output: stdout };
  } catch (error) {
    const { code, signal, killed, stderr, stdout } = error as Error & Record<string, unknown>;
    if (code === 'ENOENT') return { problem: 'not found' };
    if (killed === true) return { problem: `no answer within ${settings.timeout / 1000} s` };
    const words = String(stderr || stdout || '')
      .trim()
      .split('\n')
      .slice(-limits.lastWords)
      .join(' ');
    const how = typeof signal === 'string' ? `ended by ${signal}` : `exit code ${code}`;
    return { problem: words === '' ? how : `${how}: ${words}` };
  }
}
