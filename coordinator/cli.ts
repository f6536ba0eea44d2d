/** Runs the command that was typed. */
import { runCommand } from '../shared/process/command-line.ts';
import { program } from './program.ts';

process.exitCode = await runCommand(program, process.argv.slice(2));
process.exit();
