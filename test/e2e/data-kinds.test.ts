/** In whichever way the images lie about, the weights are the same. */
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { validationImages } from '../../coordinator/options/chosen-images.ts';
import {
  flatten,
  listOf,
  packClasses,
  packFolders,
  packNested,
  packShards,
  writeParquet,
} from '../helpers/archives.ts';
import { checkpoint, metricsOf, pausedAt, Stage, tinyImages, tinyRun, tinySteps } from '../helpers/run.ts';
import { thorough } from '../helpers/thorough.ts';

test('class folders, lists, archives, archives of archives, shards and Parquet files give the same checkpoints', async (t) => {
  const stage = new Stage(t);
  const folders = await tinyImages(stage.folder);
  const fresh = (name: string) => {
    const folder = join(stage.folder, name);
    mkdirSync(folder, { recursive: true });
    return folder;
  };
  const scratch = fresh('scratch');
  const [lists, tars, nested, classes, shards, parquet] = [
    'lists',
    'tars',
    'nested',
    'classes',
    'shards',
    'parquet',
  ].map(fresh) as [string, string, string, string, string, string];
  for (const split of ['train', 'val']) {
    writeFileSync(join(lists, `${split}.csv`), listOf(folders, split));
    packFolders(folders, tars, split);
    packShards(folders, shards, split, scratch);
    writeParquet(folders, parquet, split);
  }
  packNested(folders, nested, 'train', join(scratch, 'nested'));
  flatten(folders, nested, 'val');
  packClasses(folders, classes, 'train');
  packFolders(folders, classes, 'val');
  writeFileSync(join(shards, 'classes.txt'), readdirSync(join(folders, 'train')).sort().join('\n'));

  const ways: Record<string, { argv: string[]; workers: number }> = {
    folders: { argv: [folders], workers: 2 },
    lists: {
      argv: [folders, '--train-list', join(lists, 'train.csv'), '--val-list', join(lists, 'val.csv')],
      workers: 1,
    },
    tars: { argv: [tars], workers: 3 },
    classes: { argv: [classes], workers: 1 },
    shards: { argv: [shards, '--classes', 'classes.txt'], workers: 2 },
    parquet: { argv: [parquet], workers: 1 },
  };
  const first = join(stage.folder, 'run-folders');
  for (const [
    name,
    {
      argv: [dataPath, ...more],
      workers,
    },
  ] of Object.entries(ways)) {
    const run = join(stage.folder, `run-${name}`);
    const argv = [...tinyRun(dataPath!), ...more, '--cpu-workers', String(workers), '-o', run];
    const whole = stage.start('coordinator', argv);
    t.is(await whole.ended, 0, whole.stderr);
    t.deepEqual(metricsOf(run), metricsOf(first), name);
    t.true(checkpoint(run, tinySteps).equals(checkpoint(first, tinySteps)), name);
  }

  // Where the images lie may even change in the middle of a run.
  const moved = join(stage.folder, 'run-moved');
  const argv = [...tinyRun(nested), '--cpu-workers', '1', '-o', moved];
  const killed = stage.start('coordinator', argv, pausedAt(7));
  await killed.paused();
  stage.kill();
  t.is(await killed.ended, 'SIGKILL');
  await stage.empty();
  const other = stage.start('coordinator', ['start', '--resume', '--data-path', lists, '-o', moved]);
  t.is(await other.ended, 1);
  t.regex(other.stderr, /no folder train in .*lists.*\[DATA_MISSING\]/);
  const resume = ['start', '--resume', '--data-path', parquet, '--cpu-workers', '3', '-o', moved];
  const rest = stage.start('coordinator', resume);
  t.is(await rest.ended, 0, rest.stderr);
  t.deepEqual(metricsOf(moved), metricsOf(first));
  t.true(checkpoint(moved, tinySteps).equals(checkpoint(first, tinySteps)));
});

thorough(
  'chosen classes, excluded and drawn images give the same checkpoints, and are validated with again',
  async (t) => {
    const stage = new Stage(t);
    const images = await tinyImages(stage.folder);
    const names = readdirSync(join(images, 'train')).sort();
    writeFileSync(join(images, 'classes.txt'), names.toReversed().slice(0, 8).join('\n'));
    writeFileSync(join(stage.folder, 'exclude.txt'), `${names[9]}/*_00000.JPEG\n`);
    const chosen = [
      ...['--classes', 'classes.txt', '--exclude', join(stage.folder, 'exclude.txt')],
      ...['--images-per-class', '3', '--val-split', '0.34', '--seed', '5'],
    ];
    const [two, one] = ['two', 'one'].map((name) => join(stage.folder, name)) as [string, string];
    const whole = stage.start('coordinator', [
      ...tinyRun(images),
      ...chosen,
      '--cpu-workers',
      '2',
      '-o',
      two,
    ]);
    t.is(await whole.ended, 0, whole.stderr);
    t.regex(whole.stdout, /: 24 training and 16 validation images, 8 classes\n/);

    const killed = stage.start('coordinator', [...tinyRun(images), ...chosen, '-o', one], pausedAt(3));
    await killed.paused();
    stage.kill();
    t.is(await killed.ended, 'SIGKILL');
    await stage.empty();
    const resume = ['start', '--resume', '--cpu-workers', '3', '-o', one];
    const changed = stage.start('coordinator', [...resume, '--images-per-class', '2']);
    t.is(await changed.ended, 2);
    t.regex(changed.stderr, /--images-per-class cannot change on resume: the run uses 3, you passed 2\./);
    const rest = stage.start('coordinator', resume);
    t.is(await rest.ended, 0, rest.stderr);
    t.deepEqual(metricsOf(one), metricsOf(two));
    t.true(checkpoint(one, 6).equals(checkpoint(two, 6)));

    const config = JSON.parse(readFileSync(join(two, 'config.json'), 'utf8'));
    const argv = [
      '--weights',
      `${two}:best`,
      ...validationImages(config),
      '-o',
      join(stage.folder, 'validation'),
    ];
    const validated = stage.start('coordinator', ['validate', ...argv]);
    t.is(await validated.ended, 0, validated.stderr);
    const best = Math.max(...metricsOf(two).flatMap((line) => line['val/top1'] ?? []));
    t.regex(validated.stdout, new RegExp(`top-1 ${(100 * best).toFixed(1).replace('.', '\\.')} %`));
  },
);
