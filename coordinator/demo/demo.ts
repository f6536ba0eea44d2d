/** `coordinator demo`: from nothing to a trained CORnet-Z, with what it did on one screen. */
import { rm } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { exitCodes } from '../../shared/errors.ts';
import { quoteName } from '../../shared/util/printable.ts';
import { RunFolder } from '../run-folder/run-folder.ts';
import { startRun } from '../training/start.ts';
import { trainingTerminal } from '../training/start-at-terminal.ts';
import { duration, percent } from '../view/format.ts';
import { exitCodeOf } from '../watch/at-terminal.ts';
import { makeDemoDataset } from './make-dataset.ts';
import { demoImages, demoRecipe } from './recipe.ts';
import { writeDemoReport } from './report.ts';

/** @param folder gets `images/` (kept for another time) and `run/` (made anew); returns the exit code */
export async function runDemo(folder: string): Promise<number> {
  const began = performance.now();
  const images = join(folder, 'images');
  const run = join(folder, 'run');
  const chart = join(folder, 'report.svg');
  process.stdout.write(
    `Data set of JPEG files, ten classes of generated textures, in ${quoteName(images)}\n`,
  );
  await makeDemoDataset(images, demoImages);
  if (await RunFolder.holdsRun(run)) {
    process.stdout.write(`The run of an earlier demo, in ${quoteName(run)}, makes way for a new one.\n`);
  }
  for (const former of [run, chart]) await rm(former, { recursive: true, force: true });
  const options = { ...demoRecipe, dataPath: images, outputPath: run };
  const report = await startRun(options, trainingTerminal(false));
  if (report.outcome !== 'complete') return exitCodeOf(report);
  const { validation, imagesPerSecond, latest } = report;
  await writeDemoReport(chart, run, images);
  const rows: [string, string][] = [
    [
      'model',
      `CORnet-${report.config.result.model}, ${report.config.result.precision}, ${report.config.result.imageSize} px`,
    ],
    ['workers', `${demoRecipe.cpuWorkers} on the CPU`],
    ['validation top-1', validation === null ? '-' : percent(validation.top1)],
    ['validation top-5', validation === null ? '-' : percent(validation.top5)],
    ['validation loss', validation === null ? '-' : validation.loss.toFixed(4)],
    ['training speed', imagesPerSecond === null ? '-' : `${imagesPerSecond.toFixed(0)} images/s`],
    ['time', duration((performance.now() - began) / 1000)],
    ['chart', relative('.', chart)],
    ['checkpoint', relative('.', latest?.path ?? '')],
    ['metrics', relative('.', join(run, 'metrics.jsonl'))],
    ['log', relative('.', join(run, 'log.jsonl'))],
    ['images', relative('.', images)],
  ];
  const width = Math.max(...rows.map(([name]) => name.length));
  process.stdout.write(
    `\n${rows.map(([name, value]) => `  ${name.padEnd(width)}  ${quoteName(value)}`).join('\n')}\n`,
  );
  return exitCodes.complete;
}
