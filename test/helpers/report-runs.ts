/** Run folders as far as a report reads them, without a training. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { ReportRun } from '../../coordinator/report/read-runs.ts';
import { type ResultOptions, type RunConfig, stepsPerEpoch } from '../../shared/run-config.ts';
import { trainingConfig } from './training-config.ts';

export type Line = Record<string, number | null>;

export function configOf(result: Partial<ResultOptions> = {}, epochs = 2): RunConfig {
  return {
    ...trainingConfig,
    result: { ...trainingConfig.result, ...result },
    options: { ...trainingConfig.options, epochs },
  };
}

/** Ten steps an epoch, a validation at the end of each: noisy, different for each seed, and the same each time. */
export function linesOf(seed: number, epochs = 2): Line[] {
  const noise = (step: number) => Math.sin(12.9898 * step + 78.233 * seed) / 10;
  return Array.from({ length: 10 * epochs }, (_, i) => {
    const [step, epoch] = [i + 1, (i + 1) / 10];
    const top1 = Math.min(1, 0.1 + 0.3 * epoch + noise(step) / 5);
    const train = {
      'train/loss': 2.3 / (1 + epoch) + noise(step),
      'train/top1': top1,
      'train/top5': Math.min(1, top1 + 0.3),
      'train/learning_rate': 0.01,
      'train/images': step % 10 === 0 ? 5 : 10,
    };
    if (step % 10 !== 0) return [{ step, epoch, ...train }];
    const val = {
      'val/loss': 2.4 / (1 + epoch) + noise(step + 1),
      'val/top1': top1 - 0.05,
      'val/top5': Math.min(1, top1 + 0.25),
      'val/images': 20,
    };
    return [
      { step, epoch, ...train },
      { step, epoch, ...val },
    ];
  }).flat();
}

/** @returns the folder */
export function writeRunFolder(
  folder: string,
  config: RunConfig = configOf(),
  lines: readonly Line[] = linesOf(config.result.seed),
  rest = '',
): string {
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, 'config.json'), JSON.stringify(config));
  const text = lines.map((line) => `${JSON.stringify(line)}\n`).join('');
  writeFileSync(join(folder, 'metrics.jsonl'), text + rest);
  return folder;
}

/** The same as it is read. */
export function reportRun(config: RunConfig = configOf(), lines = linesOf(config.result.seed)): ReportRun {
  const known = (value: number | null | undefined) => value ?? Number.NaN;
  return {
    path: `runs/${config.result.seed}`,
    name: `run-${config.result.seed}`,
    config,
    stepsPerEpoch: stepsPerEpoch(config),
    images: 0,
    training: lines
      .filter((line) => 'train/loss' in line)
      .map((line) => ({
        step: line.step!,
        loss: known(line['train/loss']),
        top1: known(line['train/top1']),
      })),
    validations: lines
      .filter((line) => 'val/loss' in line)
      .map((line) => ({
        step: line.step!,
        loss: known(line['val/loss']),
        top1: known(line['val/top1']),
        top5: known(line['val/top5']),
      })),
  };
}
