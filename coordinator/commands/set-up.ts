import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { exitCodes } from '../../shared/errors.ts';
import { packageRoot } from '../../shared/process/package-root.ts';

/** Runs the set-up script of this package in the user's terminal; returns its exit code. */
export function setUp(argv: readonly string[]): Promise<number> {
  const child = spawn(join(packageRoot, 'deploy', 'setup.sh'), argv, { stdio: 'inherit' });
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code) => resolve(code ?? exitCodes.error));
  });
}
