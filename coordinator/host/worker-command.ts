/** The `worker` command of this package, as a coordinator runs it. */
import { join } from 'node:path';
import { packageRoot } from '../../shared/process/package-root.ts';

/** What Node is given to run; the subcommand and its options follow. */
export const workerScript = join(packageRoot, 'dist', 'worker', 'main.js');
