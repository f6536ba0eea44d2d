/** What `npm pack` publishes: everything that is needed, nothing else. */
import { execFileSync, spawn } from 'node:child_process';
import {
  accessSync,
  constants,
  cpSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
} from 'node:fs';
import { join, resolve } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { version } from '../../shared/process/version.ts';
import { install, packedFiles } from '../helpers/installed-package.ts';
import { Command, checkpoint, Stage, tinyImages, tinyRun } from '../helpers/run.ts';
import { temporaryFolder } from '../helpers/temporary.ts';

test('the package holds the compiled rooms, the sources of the addons, and no tests', (t) => {
  const compiled = (room: string) =>
    readdirSync(room, { recursive: true, encoding: 'utf8' })
      .filter((name) => name.endsWith('.ts'))
      .map((name) => `dist/${room}/${name.replace(/\.ts$/, '.js')}`);
  const types = ['coordinator', 'shared'].flatMap(compiled).map((path) => path.replace(/js$/, 'd.ts'));
  const sources = (folder: string) => readdirSync(folder).map((name) => `${folder}/${name}`);
  const needed = [
    ...['coordinator', 'shared', 'worker'].flatMap(compiled),
    ...types,
    ...['worker/backend/torch/addon', 'worker/data/addon'].flatMap(sources),
    ...readdirSync('worker/data/probe-images').map((name) => `worker/data/probe-images/${name}`),
    ...['index.html', 'page.css', 'chart.css', 'cards.css'].map((name) => `coordinator/watch/page/${name}`),
    ...sources('coordinator/export/brain-score'),
    ...['deploy/setup.sh', 'deploy/setup/build-addon.sh', 'package.json', 'README.md', 'LICENSE'],
  ];
  t.deepEqual(
    needed.filter((path) => !packedFiles.includes(path)),
    [],
  );
  const known =
    /^(dist\/(coordinator|shared|worker)|coordinator\/watch\/page|coordinator\/export\/brain-score|deploy|dashboards|worker\/.*\/addon|worker\/data\/probe-images)\//;
  t.deepEqual(
    packedFiles.filter((path) => !known.test(path)),
    ['LICENSE', 'README.md', 'package.json'],
  );
  t.deepEqual(
    packedFiles.filter((path) => /test|\.map$|\.tsbuildinfo/.test(path)),
    [],
  );
});

test("an installed package trains, with addons that lie in the user's cache", async (t) => {
  const stage = new Stage(t);
  const { modules, env } = install(stage);

  // As npm links them; npx takes the command that is called like the package.
  const { bin } = JSON.parse(readFileSync('package.json', 'utf8')) as { bin: Record<string, string> };
  mkdirSync(join(modules, '.bin'));
  for (const [name, path] of Object.entries(bin)) {
    symlinkSync(join('..', 'cornet-ts', path), join(modules, '.bin', name));
  }
  const npx = (...words: string[]) =>
    execFileSync('npx', ['--no', '--', ...words], { cwd: stage.folder, encoding: 'utf8' });
  t.is(npx('cornet-ts', '--version'), `${version}\n`);
  t.regex(npx('cornet-ts', 'train', '--help'), /^Usage: cornet-ts train /);
  t.regex(npx('cornet-ts', 'worker', '--help'), /^Usage: worker /);

  const output = join(stage.folder, 'run');
  const argv = [
    ...tinyRun(await tinyImages(stage.folder)),
    '--max-steps',
    '2',
    '--cpu-workers',
    '2',
    '-o',
    output,
  ];
  const script = join(modules, 'cornet-ts', 'dist', 'coordinator', 'main.js');
  const run = new Command(spawn(process.execPath, [script, ...argv], { cwd: stage.folder, env }));
  t.is(await run.ended, 0, run.stderr);
  t.true(checkpoint(output, 2).length > 0);
});

/** The clone's sources, which a test may compile without touching what the other tests run. */
function copyOfSources(t: ExecutionContext): string {
  const folder = temporaryFolder(t);
  const rooms = ['coordinator', 'shared', 'worker', 'tools', 'test'];
  for (const path of [...rooms, 'package.json', 'tsconfig.json', 'README.md', 'deploy', 'dashboards']) {
    cpSync(path, join(folder, path), { recursive: true });
  }
  symlinkSync(resolve('node_modules'), join(folder, 'node_modules'));
  return folder;
}

test('whatever has compiled the clone, its commands can be run: npm run build, npm pack, set-up', (t) => {
  const folder = copyOfSources(t);
  const { bin, scripts } = JSON.parse(readFileSync('package.json', 'utf8')) as {
    bin: Record<string, string>;
    scripts: Record<string, string>;
  };
  for (const command of [
    ['run', 'build'],
    ['pack', '--pack-destination', folder],
  ]) {
    rmSync(join(folder, 'dist'), { recursive: true, force: true });
    execFileSync('npm', command, { cwd: folder, stdio: ['ignore', 'ignore', 'pipe'] });
    for (const path of Object.values(bin)) {
      t.notThrows(() => accessSync(join(folder, path), constants.X_OK), `npm ${command[0]}: ${path}`);
    }
  }
  t.deepEqual(Object.keys(bin), ['cornet', 'cornet-ts', 'coordinator', 'worker']);
  for (const [name, path] of Object.entries(bin)) {
    const help = execFileSync(join(folder, path), ['--help'], { cwd: folder, encoding: 'utf8' });
    // As a script it cannot know the name of the link to it.
    t.regex(help, new RegExp(`^Usage: ${name === 'cornet-ts' ? 'cornet' : name} `));
  }
  // one place compiles
  const others = Object.entries({ ...scripts, setup: readFileSync('deploy/setup.sh', 'utf8') }).filter(
    ([name, text]) => name !== 'build' && /tsc --build(?! --noEmit)/.test(text),
  );
  t.deepEqual(others, []);
});
