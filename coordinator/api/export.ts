import { z } from 'zod';
import { bounds } from '../../shared/option-bounds.ts';
import { checkValue } from '../../shared/process/option-value.ts';
import { asUserError } from '../../shared/process/user-error.ts';
import { exportWeights as exportAs } from '../export/export.ts';
import { checkOptions, refuseNoObject } from '../options/given-options.ts';
import type { ExportOptions } from '../options/table.ts';
import type { ExportWeightsOptions } from './options.ts';
import { noticesOf } from './program-frontend.ts';

/**
 * Writes weights as other programs read them, as `coordinator export` does: a checkpoint as run.py saves it, a graph of
 * ONNX, or a folder for Hugging Face or for Brain-Score.
 *
 *     await exportWeights('runs/s:best', 's.onnx', { tap: 'IT.output' });
 *
 * @param source a run's folder (its latest checkpoint), `RUN:best` or `RUN@0.5`, or a checkpoint; for the other kinds
 *   also whatever else `--weights` takes
 * @param target its ending says what is written: .onnx a graph, any other a checkpoint of run.py; with `onnx` it is a
 *   graph by any name, with `hub` or `brainScore` a folder
 * @throws CornetError `OUTPUT_EXISTS`, `OPTION_INVALID`, `DISK_FULL`, `FOLDER_NOT_WRITABLE`, `CHECKPOINT_DAMAGED`, and
 *   those that begin with `WEIGHTS_`: then nothing is left behind
 */
export async function exportWeights(
  source: string,
  target: string,
  options: ExportWeightsOptions = {},
): Promise<void> {
  try {
    const [from, to] = [checkValue('source', bounds.path, source), checkValue('target', bounds.path, target)];
    refuseNoObject(options);
    const { onNotice = () => undefined, ...given } = options;
    const tell = checkValue('onNotice', listener, onNotice);
    await exportAs(from, to, checkOptions('export', given) as unknown as ExportOptions, noticesOf(tell));
  } catch (error) {
    throw asUserError(error);
  }
}

const listener = z.custom<NonNullable<ExportWeightsOptions['onNotice']>>(
  (value) => typeof value === 'function',
);
