import test from 'ava';
import { Command } from 'commander';
import { addOptions } from '../../coordinator/options/flags.ts';
import type { StartOptions } from '../../coordinator/options/table.ts';
import { chooseRecipe } from '../../coordinator/training/recipe.ts';
import { pastSchedule } from '../../coordinator/training/resumed-end.ts';
import { optimizerWords, scheduleWords } from '../../coordinator/view/recipe-words.ts';
import { plainRecipe } from '../../shared/defaults.ts';
import { CornetError } from '../../shared/errors.ts';
import { buildModel } from '../../shared/models/family.ts';
import { resultOptions } from '../../shared/run-config.ts';
import { resultOf } from '../helpers/state.ts';
import { trainingConfig } from '../helpers/training-config.ts';

function parse(...argv: string[]): StartOptions {
  const command = addOptions(new Command('start'), 'start').exitOverride();
  return command.parse(['-o', 'x', ...argv], { from: 'user' }).opts();
}

const choose = (...argv: string[]) => chooseRecipe(parse(...argv), { model: 'RT', times: 5 });

test('without an option the recipe is the published one', (t) => {
  const published = { learningRate: 0.1, stepSize: 10, momentum: 0.9, weightDecay: 1e-4 };
  t.deepEqual(choose(), { ...plainRecipe, ...published });
});

test('only a schedule that has an end keeps the epochs that the run begins with', (t) => {
  for (const schedule of ['cosine', 'poly']) {
    t.is(choose('--schedule', schedule).scheduleEpochs, 25, schedule);
    t.is(choose('--schedule', schedule, '--epochs', '2.5').scheduleEpochs, 2.5, schedule);
  }
  for (const schedule of ['step', 'constant']) t.is(choose('--schedule', schedule).scheduleEpochs, null);
});

test('what would have no effect, or what PyTorch refuses, is refused with the option that is meant', (t) => {
  const wrong: [string[], RegExp][] = [
    [['--min-lr', '1e-3'], /^--min-lr 0\.001 .* --schedule step does not/],
    [['--min-lr', '1e-3', '--schedule', 'constant'], /--schedule constant does not/],
    [['--min-lr', '0.2', '--schedule', 'cosine'], /^--min-lr 0\.2 is more than --lr 0\.1\.$/],
    [['--warmup-epochs', '2', '--epochs', '1.5'], /^--warmup-epochs 2 is more than --epochs 1\.5/],
    [['--nesterov', '--momentum', '0'], /^--nesterov needs a --momentum greater than 0\.$/],
    [
      ['--label-smoothing', '1'],
      /^--label-smoothing must be a number of at least 0 and less than 1, not 1\.$/,
    ],
    [['--lr-scale', 'decoder'], /^--lr-scale: decoder must be names with factors greater than 0/],
    [['--lr-scale', 'V3=2'], /^--lr-scale V3 names no parameter of CORnet-RT\.$/],
  ];
  for (const [argv, message] of wrong) {
    const error = t.throws(() => choose(...argv), { instanceOf: CornetError, message });
    t.is(error?.code, 'OPTION_INVALID');
  }
  const hint = (name: string) =>
    t.throws(() => choose('--lr-scale', `V1=1,${name}=2`), { instanceOf: CornetError })!.hint;
  t.regex(hint('decodr'), /^Its areas are V1, V2, V4, IT, decoder; its layers V1\.conv_input, /);
  t.notThrows(() => choose('--min-lr', '0', '--warmup-epochs', '25'));
});

test('--lr-scale can be given several times, and says the same as one list', (t) => {
  const several = parse('--lr-scale', 'decoder=10', '--lr-scale', 'V1=0.1,V2=0.5');
  t.is(several.lrScale, 'V1=0.1,V2=0.5,decoder=10');
  t.throws(() => parse('--lr-scale', 'V1=1', '--lr-scale', 'V1=2'), { code: 'OPTION_INVALID' });
});

test('a resume with more epochs than the schedule has says at which rate it goes on', (t) => {
  const run = (epochs: number, scheduleEpochs: number | null) => ({
    options: { ...trainingConfig.options, epochs },
    result: { ...trainingConfig.result, schedule: 'cosine' as const, scheduleEpochs, minLr: 0.01 },
  });
  t.is(
    pastSchedule(run(3, 2)),
    'The run began with --schedule cosine over 2 epochs: after them, to epoch 3, the learning rate stays at 0.01.',
  );
  for (const same of [run(2, 2), run(1, 2), run(3, null)]) t.is(pastSchedule(same), null);
});

test('a configuration of an earlier version has the recipe of its time', (t) => {
  const result = resultOf(buildModel('Z', 1));
  const earlier = Object.fromEntries(Object.entries(result).filter(([name]) => !(name in plainRecipe)));
  t.deepEqual(resultOptions.parse(earlier), result);
});

test('a recipe in words names all that is not the default', (t) => {
  const plain = resultOf(buildModel('Z', 1));
  t.is(scheduleWords(plain), 'lr 0.5, step size 2');
  t.is(optimizerWords(plain), 'momentum 0.9, weight decay 0.0001');
  const other = {
    ...plain,
    schedule: 'cosine' as const,
    scheduleEpochs: 25,
    warmupEpochs: 1,
    minLr: 0.01,
    lrScale: 'V1=0.1,decoder=10',
    nesterov: true,
    labelSmoothing: 0.1,
  };
  t.is(
    scheduleWords(other),
    'lr 0.5, cosine to 0.01 over 25 epochs, warm-up 1 epoch, lr scale V1=0.1 decoder=10',
  );
  t.is(optimizerWords(other), 'Nesterov momentum 0.9, weight decay 0.0001, label smoothing 0.1');
});
