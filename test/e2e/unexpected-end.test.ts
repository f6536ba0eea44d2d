/** Mistakes that nobody catches: they end the process, but with a name, and with a word in the log. */
import { spawnSync } from 'node:child_process';
import { readFileSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import test from 'ava';
import { Stage, tinyImages, tinyRun, trainedSteps, until } from '../helpers/run.ts';
import { thoroughSerial } from '../helpers/thorough.ts';

/** Makes every process that is started with it reject a promise, or throw, when it is told to by a signal. */
const accidents = encodeURIComponent(`
  process.on('SIGUSR2', () => void Promise.reject(new Error('an accident')));
  process.on('SIGALRM', () => { throw new Error('a mishap'); });
`);
const env = { NODE_OPTIONS: `--import=data:text/javascript,${accidents}` };

interface Line {
  level: string;
  code?: string;
  msg: string;
}

function fatalLines(output: string): Line[] {
  const lines = readFileSync(join(output, 'log.jsonl'), 'utf8').trim().split('\n');
  return lines.map((line) => JSON.parse(line) as Line).filter(({ level }) => level === 'fatal');
}

/** A run that does not end by itself. */
async function endless(stage: Stage): Promise<string[]> {
  return [...tinyRun(await tinyImages(stage.folder)), '--epochs', '1000'];
}

for (const [signal, words] of [
  ['SIGUSR2', 'an accident'],
  ['SIGALRM', 'a mishap'],
] as const) {
  test.serial(
    `${words} in the coordinator ends it with INTERNAL, in its log too, and leaves nothing`,
    async (t) => {
      const stage = new Stage(t);
      const output = join(stage.folder, 'run');
      const argv = [...(await endless(stage)), '--cpu-workers', '1', '-o', output];
      const run = stage.start('coordinator', argv, env);
      await run.untilStep(output, 2);
      run.signal(signal);
      t.is(await run.ended, 1);
      t.regex(run.stderr, new RegExp(`^error: Error: ${words}\\n[^]* \\[INTERNAL\\]\\n$`));
      const [line, ...others] = fatalLines(output);
      t.like(line, { code: 'INTERNAL' });
      t.true(line!.msg.includes(words));
      t.is(others.length, 0);
      await stage.empty();
      t.is(spawnSync('ls', [stage.temporary], { encoding: 'utf8' }).stdout, '');
    },
  );
}

thoroughSerial(
  'an accident in a worker is told by its code in the log of the run, which goes on',
  async (t) => {
    const stage = new Stage(t);
    const output = join(stage.folder, 'run');
    const argv = [...(await endless(stage)), '--cpu-workers', '2', '-o', output];
    const run = stage.start('coordinator', argv, env);
    await run.untilStep(output, 2);
    const [worker] = stage.processes('worker/main.js');
    process.kill(worker!, 'SIGUSR2');
    await until('the log has it', () => fatalLines(output).length > 0);
    t.like(fatalLines(output)[0], { code: 'INTERNAL' });
    await run.until('there is another', () => run.stdout.split(' joined.').length > 3);
    run.signal('SIGINT');
    t.is(await run.ended, 75, run.stderr);
  },
);

test.serial('a run goes on when its private Redis has lost folder and process', async (t) => {
  const stage = new Stage(t);
  const output = join(stage.folder, 'run');
  const argv = [...(await endless(stage)), '--cpu-workers', '1', '-o', output];
  const run = stage.start('coordinator', argv);
  await run.untilStep(output, 2);
  const { socket } = JSON.parse(readFileSync(join(output, 'redis.json'), 'utf8')) as { socket: string };
  rmSync(dirname(socket), { recursive: true });
  stage.kill(socket);
  await run.until('it is back', () => /is back after/.test(run.stdout));
  await run.untilStep(output, trainedSteps(output).length + 2);
  run.signal('SIGINT');
  t.is(await run.ended, 75, run.stderr);
});
