#!/usr/bin/env node
/** The `worker` command. It looks first whether Node can open as many files as the rest consists of. */
import { endIfTooFewFiles } from '../shared/process/open-files.ts';

endIfTooFewFiles();
await import('./cli.ts');
