/** The shell scripts in examples/, and a line of docs/watch.md, as somebody would run them who has the commands on their PATH. */
import { spawn, spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { possible } from '../helpers/possible.ts';
import {
  Command,
  checkpoint,
  isPaused,
  metricsOf,
  pausedAt,
  Stage,
  scripts,
  tinyImages,
  tinyRun,
  tinySteps,
  trainedSteps,
} from '../helpers/run.ts';
import { thoroughSerial } from '../helpers/thorough.ts';

class Shell {
  readonly stage: Stage;

  constructor(t: ExecutionContext) {
    this.stage = new Stage(t);
    const programs = join(this.stage.folder, 'bin');
    mkdirSync(programs);
    for (const [name, path] of Object.entries(scripts)) {
      const script = `#!/bin/bash\nexec ${process.execPath} ${resolve(path)} "$@"\n`;
      writeFileSync(join(programs, name), script, { mode: 0o755 });
    }
  }

  run(example: string, argv: readonly string[], env: NodeJS.ProcessEnv = {}): Command {
    const path = `${join(this.stage.folder, 'bin')}:${process.env.PATH}`;
    const marked = this.stage.environment({ PATH: path, ...env });
    return new Command(spawn(example, argv, { env: marked, stdio: ['ignore', 'pipe', 'pipe'] }));
  }
}

thoroughSerial('a run that is stopped is continued by the same command, until it is complete', async (t) => {
  const shell = new Shell(t);
  const output = join(shell.stage.folder, 'run');
  const [, ...options] = tinyRun(await tinyImages(shell.stage.folder));
  const argv = [output, '600', '--', ...options, '--cpu-workers', '2'];
  const retry = shell.run('examples/retry.sh', argv, pausedAt(3));
  const slice = () => shell.stage.processes('cornet.js train');
  await retry.until('it stood still', () => slice().some(isPaused));
  for (const signal of ['SIGTERM', 'SIGCONT']) for (const pid of slice()) process.kill(pid, signal);
  t.is(await retry.ended, 0, retry.stderr);
  t.regex(retry.stdout, /Stopped before its end; the next slice continues\./);
  t.true(checkpoint(output, tinySteps).length > 0);
});

test.serial('a signal to the command that retries stops the run, and is the end of it', async (t) => {
  const shell = new Shell(t);
  const output = join(shell.stage.folder, 'run');
  const [, ...options] = tinyRun(await tinyImages(shell.stage.folder));
  const long = [...options, '--epochs', '2000', '--save-val-epochs', '5000', '--cpu-workers', '1'];
  const retry = shell.run('examples/retry.sh', [output, '--', ...long]);
  await retry.untilStep(output, 1);
  retry.signal('SIGTERM');
  t.is(await retry.ended, 75, retry.stderr);
  await shell.stage.empty();
});

thoroughSerial('two workers of their own serve a run, and end with it', async (t) => {
  const shell = new Shell(t);
  const output = join(shell.stage.folder, 'run');
  const images = await tinyImages(shell.stage.folder);
  const size = ['--image-size', '32', '--batch-size', '8', '--max-steps', '4'];
  const run = shell.run('examples/two-workers.sh', [images, output, ...size]);
  t.is(await run.ended, 0, run.stderr);
  await shell.stage.empty();
  t.true(checkpoint(output, 4).length > 0);
  const log = readFileSync(join(output, 'log.jsonl'), 'utf8');
  t.is(log.match(/ joined\./g)?.length, 2);
});

test('an example that misses an argument says which, and an error ends the retries', async (t) => {
  const shell = new Shell(t);
  for (const example of ['examples/retry.sh', 'examples/two-workers.sh']) {
    const { status, stderr } = spawnSync(example, [], { encoding: 'utf8' });
    t.not(status, 0);
    t.regex(stderr, / is the /);
  }
  const retry = shell.run('examples/retry.sh', [join(shell.stage.folder, 'run'), '--', '--no-such-option']);
  t.is(await retry.ended, 2);
});

const python = possible(spawnSync('python3', ['-V']).status === 0, 'python3 is missing');

(python ? test.serial : test.serial.skip)(
  'the line of docs/watch.md that reads --json prints the loss of each step, and its end does not end the run',
  async (t) => {
    const page = readFileSync('docs/watch.md', 'utf8');
    const [block] = /^ {4}coordinator start … --json \| .*\n(?: {4}.*\n)+/m.exec(page)!;
    const shell = new Shell(t);
    const options = tinyRun(await tinyImages(shell.stage.folder)).slice(1);
    const lineWith = (output: string, text: string) =>
      text
        .replaceAll(/^ {4}/gm, '')
        .replace('…', [...options, '--max-steps', '3', '--cpu-workers', '1', '-o', output].join(' '));
    const whole = join(shell.stage.folder, 'whole');
    const read = shell.run('bash', ['-c', `set -o pipefail\n${lineWith(whole, block)}`]);
    t.is(await read.ended, 0, read.stderr);
    const told = read.stdout.trimEnd().split('\n');
    t.deepEqual(
      told.map((line) => line.split(' ').map(Number)),
      metricsOf(whole).flatMap((line) => ('train/loss' in line ? [[line.step!, line['train/loss']!]] : [])),
    );
    t.is(told.length, 3);

    const left = join(shell.stage.folder, 'left');
    const alone = shell.run('bash', [
      '-c',
      `set -o pipefail\n${lineWith(left, 'coordinator start … --json | head -n 1')}`,
    ]);
    t.is(await alone.ended, 0, alone.stderr);
    t.deepEqual(trainedSteps(left), [1, 2, 3]);
  },
);
