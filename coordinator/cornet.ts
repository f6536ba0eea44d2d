#!/usr/bin/env node
/**
 * The `cornet` command: what `coordinator` and `worker` do, under one name and with the names of the tasks. `worker` is
 * that command itself, in this process, so that signals, exit codes and its restart of itself are its own. Under the
 * package's name, `cornet-ts`, npx finds it.
 */
import { basename } from 'node:path';
import { pathToFileURL } from 'node:url';
import { loadProgram } from '../shared/process/open-files.ts';
import { taskNames } from '../shared/process/own-command.ts';
import { workerScript } from './host/worker-command.ts';

const name = basename(process.argv[1]!) === 'cornet-ts' ? 'cornet-ts' : 'cornet';

if (process.argv[2] === 'worker') {
  process.argv.splice(1, 2, workerScript);
  await import(pathToFileURL(workerScript).href);
} else {
  await loadProgram(async () => {
    const { program, runProgram } = await import('./cli.ts');
    program.name(name);
    for (const command of program.commands) command.name(taskNames[command.name()] ?? command.name());
    program
      .command('worker')
      .description(`Serve a run on one device, from any host (${name} worker --help).`)
      .usage('<command> [options]');
    await runProgram();
  });
}
