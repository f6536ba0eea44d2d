import { execFileSync } from 'node:child_process';
import { mkdirSync, symlinkSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { nextCommands } from '../../coordinator/options/next-commands.ts';
import { asCalled, type Caller, ownCommand } from '../../shared/process/own-command.ts';
import { hasSteering } from '../../shared/util/printable.ts';
import { shellWords } from '../../shared/util/shell-words.ts';
import { temporaryFolder } from '../helpers/temporary.ts';

/** Somebody who has Node on the PATH, and this package's commands as links in `bin`. */
function caller(t: ExecutionContext, script: string, env: NodeJS.ProcessEnv = {}): Caller {
  const root = temporaryFolder(t);
  const bin = join(root, 'bin');
  mkdirSync(bin);
  const main = resolve('dist/coordinator/main.js');
  for (const name of ['cornet', 'cornet-ts', 'coordinator', 'worker']) symlinkSync(main, join(bin, name));
  const PATH = dirname(process.execPath);
  return { script: script.replace('BIN', bin), execPath: process.execPath, env: { PATH, ...env }, cwd: root };
}

/** What starts a run and a worker. */
const both = (of: Caller) => [
  ownCommand('coordinator', 'start', ['-o', 'x'], of),
  ownCommand('worker', 'start', [], of),
];

test('a command on the PATH is called by its name', (t) => {
  for (const [name, run, worker] of [
    ['coordinator', 'coordinator start -o x', 'worker start'],
    ['worker', 'coordinator start -o x', 'worker start'],
    ['cornet', 'cornet train -o x', 'cornet worker start'],
    ['cornet-ts', 'cornet-ts train -o x', 'cornet-ts worker start'],
  ] as const) {
    const of = caller(t, `BIN/${name}`);
    const PATH = `/nowhere:${dirname(of.script)}`;
    t.deepEqual(both({ ...of, env: { PATH } }), [run, worker], name);
  }
});

test('a command that the PATH does not lead to is called by its path', (t) => {
  const of = caller(t, 'BIN/coordinator');
  t.deepEqual(both(of), ['bin/coordinator start -o x', 'bin/worker start']);
  const elsewhere = { ...of, cwd: '/' };
  t.is(ownCommand('coordinator', 'status', [], elsewhere), `${of.script.slice(1)} status`);
  t.is(ownCommand('coordinator', 'status', [], { ...of, cwd: '/usr' }), `${of.script} status`);
});

test('a script is called through node, by the path from here if it lies below', (t) => {
  const PATH = dirname(process.execPath);
  const of = { script: resolve('dist/coordinator/main.js'), execPath: process.execPath, env: { PATH } };
  const script = 'node dist/coordinator';
  const here = { ...of, cwd: process.cwd() };
  t.deepEqual(both(here), [`${script}/main.js start -o x`, 'node dist/worker/main.js start']);
  const cornet = { ...here, script: resolve('dist/coordinator/cornet.js') };
  t.deepEqual(both(cornet), [`${script}/cornet.js train -o x`, `${script}/cornet.js worker start`]);
  const other = { ...of, cwd: '/usr', env: { PATH: '/nowhere' } };
  t.is(ownCommand('coordinator', 'doctor', [], other), `${shellWords([process.execPath, of.script])} doctor`);
});

test('through npx it is npx again, by the name of the package outside of a project', (t) => {
  const npx = { npm_command: 'exec', npm_lifecycle_event: 'npx' };
  const local = caller(t, '/project/node_modules/.bin/coordinator', npx);
  t.deepEqual(both(local), ['npx coordinator start -o x', 'npx worker start']);
  const fetched = '/home/me/.npm/_npx/0a1b/node_modules/.bin';
  t.deepEqual(both(caller(t, `${fetched}/cornet-ts`, npx)), [
    'npx cornet-ts train -o x',
    'npx cornet-ts worker start',
  ]);
  t.deepEqual(both(caller(t, `${fetched}/coordinator`, npx)), [
    'npx -p cornet-ts coordinator start -o x',
    'npx -p cornet-ts worker start',
  ]);
});

test('in a clone, which npx links where it keeps what it fetches, it is npx and the name of the command', (t) => {
  const kept = join(temporaryFolder(t), '_npx', '0a1b');
  mkdirSync(kept, { recursive: true });
  const script = join(kept, 'coordinator');
  symlinkSync(resolve('dist/coordinator/main.js'), script);
  const of = caller(t, script, { npm_command: 'exec', npm_lifecycle_event: 'npx' });
  t.deepEqual(both(of), ['npx coordinator start -o x', 'npx worker start']);
});

test('commands in backticks become those that the user would type, other words stay', (t) => {
  const of = caller(t, 'BIN/cornet');
  t.is(
    asCalled('Run `coordinator setup --libtorch wheel`, then `worker start`; a coordinator tests `npm`.', of),
    'Run `bin/cornet setup --libtorch wheel`, then `bin/cornet worker start`; a coordinator tests `npm`.',
  );
  t.is(asCalled('See `coordinator test --help-all`.', of), 'See `bin/cornet features --help-all`.');
});

test('a shell reads every word again as it was', (t) => {
  const words = [
    'runs/x ace',
    "it's",
    '$HOME `ls` "x" \\',
    '*',
    '~/x',
    '=x',
    'a=b',
    '',
    '\x1b[31mred\n',
    'redis://h:1/0',
    'ü\u202e',
  ];
  const line = `printf '%s\\0' ${shellWords(words)}`;
  t.false(hasSteering(line));
  const read = execFileSync('bash', ['-c', line], { encoding: 'utf8' }).split('\0').slice(0, -1);
  t.deepEqual(read, words);
  t.is(
    shellWords(['--resume', '-o', '/data/runs/s-1', 'redis://host:6379/0']),
    '--resume -o /data/runs/s-1 redis://host:6379/0',
  );
});

test('what the next commands write lies beside the run, however its folder was called', (t) => {
  const written = (folder: string) =>
    nextCommands(folder, folder, ['--data-path', 'data']).map(
      (command) => /(\S+)\.svg$/.exec(command)?.[1],
    )[0];
  t.is(written('runs/s'), 'runs/s');
  t.is(written('runs/s/'), 'runs/s');
  t.is(written('.'), join('..', basename(process.cwd())));
});
