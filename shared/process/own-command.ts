/**
 * How this program was called: a command that it prints can be pasted into the same shell, whether the user has
 * `cornet` or `coordinator` on the PATH, or calls npx, or `node` with a script.
 */
import { realpathSync } from 'node:fs';
import { basename, delimiter, dirname, join, relative } from 'node:path';
import { shellWords } from '../util/shell-words.ts';
import { packageRoot } from './package-root.ts';

type ProgramName = 'coordinator' | 'worker';

/** How `cornet` calls the commands of `coordinator`. */
export const taskNames: Readonly<Record<string, string>> = { start: 'train', test: 'features' };

/** The package's commands that have the commands of `coordinator` under the names of the tasks. */
const taskPrograms: readonly string[] = ['cornet', 'cornet-ts'];
const programs: readonly string[] = [...taskPrograms, 'coordinator', 'worker'];

/** In a worker that another process of ours has started: what that one was called as. */
const variable = 'CORNET_CALLED_AS';

export interface Caller {
  /** What Node was given to run: a script, or a link to it. */
  readonly script: string;
  readonly execPath: string;
  readonly env: NodeJS.ProcessEnv;
  readonly cwd: string;
}

/** As of the start: `cornet worker` gives its place to `worker`. */
const self: Caller = {
  script: process.env[variable] ?? process.argv[1] ?? '',
  execPath: process.execPath,
  env: process.env,
  cwd: process.cwd(),
};

/** With this in its environment, a process that this one starts says what to call as the user called this one. */
export const calledAs: Readonly<Record<string, string>> = { [variable]: self.script };

/** A command of this package (null: the program alone) as the user would type it, with its arguments quoted for a shell. */
export function ownCommand(
  program: ProgramName,
  command: string | null,
  args: readonly string[] = [],
  caller: Caller = self,
): string {
  const name = basename(caller.script);
  const tasks = taskPrograms.includes(name) || name === 'cornet.js';
  const words = [
    ...(tasks && program === 'worker' ? ['worker'] : []),
    ...(command === null
      ? []
      : [tasks && program === 'coordinator' ? (taskNames[command] ?? command) : command]),
  ];
  const called = tasks ? (name === 'cornet.js' ? 'cornet' : name) : program;
  return `${prefix(called, caller)} ${shellWords([...words, ...args])}`.trimEnd();
}

/** A sentence, with the commands of this package that it has in backticks as `ownCommand` says them. */
export function asCalled(sentence: string, caller: Caller = self): string {
  return sentence.replace(
    /`(coordinator|worker) ([a-z-]+)([^`]*)`/g,
    (_, program: ProgramName, command: string, rest: string) =>
      `\`${ownCommand(program, command, [], caller)}${rest}\``,
  );
}

/** What stands before the command: the program's name, by itself where a shell finds it. */
function prefix(program: string, caller: Caller): string {
  const { script, env, cwd } = caller;
  if (!programs.includes(basename(script))) return throughNode(program, caller);
  if (env.npm_command === 'exec' && env.npm_lifecycle_event === 'npx') {
    // Outside of a project that has this package, npx knows it by the package's name alone.
    // In a clone npm links it there, and finds it by the command's name.
    const fetched = (real(script) ?? script).includes('/_npx/') && program !== 'cornet-ts';
    return fetched ? `npx -p cornet-ts ${program}` : `npx ${program}`;
  }
  const path = join(dirname(script), program);
  return isOnPath(program, path, env) ? program : shellWords([nearer(path, cwd)]);
}

function throughNode(program: string, { execPath, env, cwd }: Caller): string {
  const scripts: Record<string, string[]> = {
    coordinator: ['coordinator', 'main.js'],
    worker: ['worker', 'main.js'],
  };
  const script = join(packageRoot, 'dist', ...(scripts[program] ?? ['coordinator', 'cornet.js']));
  const node = isOnPath('node', execPath, env) ? 'node' : execPath;
  return shellWords([node, nearer(script, cwd)]);
}

/** Relative to the working folder where that is below it. */
function nearer(path: string, cwd: string): string {
  const below = relative(cwd, path);
  if (below.startsWith('..')) return path;
  return below.includes('/') ? below : `./${below}`;
}

function isOnPath(name: string, path: string, { PATH = '' }: NodeJS.ProcessEnv): boolean {
  const found = PATH.split(delimiter)
    .map((folder) => real(join(folder, name)))
    .find((file) => file !== null);
  return found !== undefined && found === real(path);
}

function real(path: string): string | null {
  try {
    return realpathSync(path);
  } catch {
    return null;
  }
}
