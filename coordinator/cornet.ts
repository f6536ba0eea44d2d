#!/usr/bin/env node
/**
 * The `cornet` command: what `coordinator` and `worker` do, under one name and with the names of the tasks. `worker` is
 * that command itself, in this process, so that signals, exit codes and its restart of itself are its own.
 */
import { pathToFileURL } from 'node:url';
import { loadProgram } from '../shared/process/open-files.ts';
import { workerScript } from './host/worker-command.ts';

const taskNames: Readonly<Record<string, string>> = { start: 'train', test: 'features' };

if (process.argv[2] === 'worker') {
  process.argv.splice(1, 2, workerScript);
  await import(pathToFileURL(workerScript).href);
} else {
  await loadProgram(async () => {
    const { program, runProgram } = await import('./cli.ts');
    program.name('cornet');
    for (const command of program.commands) command.name(taskNames[command.name()] ?? command.name());
    program
      .command('worker')
      .description('Serve a run on one device, from any host (cornet worker --help).')
      .usage('<command> [options]');
    await runProgram();
  });
}
