/** A disk that takes longer for a checkpoint than the run for a step. */
import { readdirSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { checkpoint, metricsOf, Stage, tinyImages, tinyRun, tinySteps } from '../helpers/run.ts';
import { slowDisk } from '../helpers/slow-disk.ts';
import { thorough } from '../helpers/thorough.ts';

/** Of `latest.json` and `best.json`. */
interface Note {
  step: number;
  validation: { top1: number; loss: number } | null;
}

thorough('every checkpoint that is due is written of its own step, however slow the disk is', async (t) => {
  const stage = new Stage(t);
  const images = await tinyImages(stage.folder);
  const [slow, quick] = [join(stage.folder, 'slow'), join(stage.folder, 'quick')];
  const dense = ['--cpu-workers', '1', '--save-model-epochs', '0.125', '--save-val-epochs', '0.375'];
  const onSlowDisk = {
    NODE_OPTIONS: `--import ${resolve('dist/test/helpers/slow-disk.js')}`,
    [slowDisk]: '300:step-.*partial$',
  };
  for (const [output, environment] of [
    [slow, onSlowDisk],
    [quick, {}],
  ] as const) {
    const run = stage.start('coordinator', [...tinyRun(images), ...dense, '-o', output], environment);
    t.is(await run.ended, 0, run.stderr);
    const files = readdirSync(join(output, 'checkpoints')).filter((name) => name.startsWith('step-'));
    t.is(files.length, tinySteps);
  }
  for (let step = 1; step <= tinySteps; step++)
    t.true(checkpoint(slow, step).equals(checkpoint(quick, step)));

  const read = (name: string) => JSON.parse(readFileSync(join(slow, 'checkpoints', name), 'utf8')) as never;
  const latest = read('latest.json') as Note & { earlier: Note[] };
  const found = [...latest.earlier, latest].filter(({ validation }) => validation !== null);
  const validations = metricsOf(slow).filter((line) => 'val/loss' in line);
  t.deepEqual(
    found.map(({ step, validation }) => [step, validation!.top1, validation!.loss]),
    validations.map((line) => [line.step, line['val/top1'], line['val/loss']]),
  );
  const [best] = validations.sort(
    (a, b) => b['val/top1']! - a['val/top1']! || a['val/loss']! - b['val/loss']!,
  );
  t.is((read('best.json') as Note).step, best!.step!);
});
