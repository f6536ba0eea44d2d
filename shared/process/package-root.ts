import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The folder that holds package.json: this file is compiled to dist/shared/process/. */
export const packageRoot = join(dirname(fileURLToPath(import.meta.url)), '..', '..', '..');
