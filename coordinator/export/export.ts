/** `coordinator export`: weights as other programs read them. */
import { CornetError } from '../../shared/errors.ts';
import type { Notices } from '../../shared/process/notices.ts';
import { quoteName } from '../../shared/util/printable.ts';
import { chooseTaps } from '../inference/choose-taps.ts';
import type { ExportOptions } from '../options/table.ts';
import { brainScoreFiles, pluginName } from './brain-score.ts';
import { hubFiles } from './hub.ts';
import { onnxFile } from './onnx.ts';
import { exportCheckpoint } from './pth.ts';
import { readSource } from './source.ts';
import { refuseExisting, refuseFilled, writeFileAt, writeFolderAt } from './target.ts';
import { checkpointIn, trainingOf } from './training-facts.ts';

/**
 * Writes a checkpoint as run.py saves it (`exportCheckpoint`); with `onnx`, or where the target ends with .onnx, weights
 * of any kind as a graph of ONNX; with `hub` as a folder in the layout of Hugging Face, with `brainScore` as a plug-in of
 * Brain-Score.
 * @returns the source in words
 * @throws CornetError OPTION_INVALID, OUTPUT_EXISTS; as `exportCheckpoint`, `readSource`, `pluginName` and
 *   `brainScoreFiles`; DISK_FULL, FOLDER_NOT_WRITABLE: nothing is left behind
 */
export async function exportWeights(
  source: string,
  target: string,
  options: ExportOptions,
  notices: Pick<Notices, 'note' | 'warn'>,
): Promise<string> {
  const { onnx, hub, brainScore, force, tap, ...asked } = options;
  const kind = kindOf(target, options);
  if (tap !== undefined && kind !== 'onnx') {
    throw new CornetError('OPTION_INVALID', '--tap names outputs of a graph of ONNX.', {
      hint: 'Give --onnx as well, or a file that ends with .onnx.',
    });
  }
  if (kind === 'pth') {
    refuseForCheckpoint(asked);
    return quoteName(await exportCheckpoint(source, target, force));
  }
  if (kind === 'hub' || kind === 'brainScore') {
    const name = kind === 'brainScore' ? pluginName(target) : null;
    if (!force) await refuseFilled(target);
    // Looked up once: a run that is being trained goes on meanwhile.
    const checkpoint = await checkpointIn(source, notices);
    const found = await readSource(checkpoint ?? source, asked, notices);
    const training = await trainingOf(checkpoint ?? source, found.fileSha256);
    const files = name === null ? hubFiles(found, training) : brainScoreFiles(name, found, training, notices);
    await writeFolderAt(target, files);
    return found.description;
  }
  if (!force) await refuseExisting(target);
  const found = await readSource(source, asked, notices);
  const choice = tap === undefined ? null : chooseTaps(found.model, found.network.imageSize, { tap });
  for (const warning of choice?.warnings ?? []) notices.warn(warning);
  await writeFileAt(target, onnxFile(found, choice?.taps.map((chosen) => chosen.tap) ?? []));
  return found.description;
}

type Kind = 'pth' | 'onnx' | 'hub' | 'brainScore';

function kindOf(
  target: string,
  { onnx, hub, brainScore }: Pick<ExportOptions, 'onnx' | 'hub' | 'brainScore'>,
): Kind {
  if (Number(onnx) + Number(hub) + Number(brainScore) > 1) {
    throw new CornetError(
      'OPTION_INVALID',
      '--onnx writes a file, --hub and --brain-score a folder each: give one of them.',
    );
  }
  if (hub) return 'hub';
  if (brainScore) return 'brainScore';
  return onnx || target.endsWith('.onnx') ? 'onnx' : 'pth';
}

function refuseForCheckpoint(asked: object): void {
  if (Object.keys(asked).length === 0) return;
  throw new CornetError(
    'OPTION_INVALID',
    '--model, --times, --image-size and --weights-key have no meaning for a .pth.tar file: a checkpoint says what it is of.',
    { hint: 'Leave them out, or give --onnx, --hub or --brain-score.' },
  );
}
