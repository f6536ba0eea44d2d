/** Time steps with which the image reaches the decoder, and what is said with fewer. */
import { spawnSync } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import test from 'ava';
import type { StartOptions } from '../../coordinator/options/table.ts';
import { chooseOptions } from '../../coordinator/training/options.ts';
import { CornetError } from '../../shared/errors.ts';
import { buildModel } from '../../shared/models/family.ts';
import type { ModelName } from '../../shared/models/model.ts';
import { resultOf } from '../helpers/state.ts';
import { temporaryFolder } from '../helpers/temporary.ts';
import { trainingConfig } from '../helpers/training-config.ts';

test('a training in which the image would not reach the decoder is refused, with the time steps that it takes', (t) => {
  const choose = (model: ModelName, times?: number) =>
    chooseOptions({ model, ...(times === undefined ? {} : { times }) } as StartOptions, {
      device: 'cpu',
      count: 1,
    });
  for (const [model, times, needed] of [
    ['RT', 1, 4],
    ['RT', 3, 4],
    ['R', 1, 2],
  ] as const) {
    const error = t.throws(() => choose(model, times), { instanceOf: CornetError });
    t.is(error?.code, 'OPTION_INVALID');
    t.is(
      error?.message,
      `With --times ${times} the image does not reach the decoder of CORnet-${model}: its outputs are the same for every image.`,
    );
    t.is(error?.hint, `Use --times ${needed} or more, or omit it: the default is 5.`);
  }
  for (const times of [4, undefined]) t.notThrows(() => choose('RT', times));
  t.notThrows(() => choose('R', 2));
  for (const model of ['Z', 'S'] as const) t.notThrows(() => choose(model, 1));
});

test('a run of an earlier version whose image never reaches the decoder is still read, with a warning', async (t) => {
  const run = temporaryFolder(t);
  const result = resultOf(buildModel('RT', 3), { times: 3 });
  const options = { ...trainingConfig.options, dataPath: join(run, 'none') };
  await writeFile(join(run, 'config.json'), JSON.stringify({ ...trainingConfig, result, options }));
  const said = (...argv: string[]) =>
    spawnSync(process.execPath, ['dist/coordinator/main.js', ...argv], { encoding: 'utf8' }).stderr;
  const sentence =
    'warning: With --times 3 the image does not reach the decoder of CORnet-RT: its outputs are the same for every image.';
  const resumed = said('start', '--resume', '--dry-run', '-o', run);
  t.true(
    resumed.includes(`${sentence} This run learns nothing: begin another one with --times 4 or more.\n`),
  );
  t.regex(resumed, /\[DATA_MISSING\]/, 'which is not its --times');
  const asked = ['--model', 'RT', '--times', '3', '--weights', 'untrained', '--data-path', join(run, 'none')];
  const validated = said('validate', ...asked, '-o', join(run, 'out'));
  t.true(validated.includes(`${sentence}\n`), validated);
  t.regex(validated, /\[DATA_MISSING\]/);
});
