#!/usr/bin/env node
/** The `worker` command. It looks first whether Node can open as many files as the rest consists of. */
import { loadProgram } from '../shared/process/open-files.ts';

await loadProgram(() => import('./cli.ts'));
