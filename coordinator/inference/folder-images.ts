/** What the commands that go over a plain folder of images have in common. */
import type { ImageFolder } from '../../shared/data/image-folder.ts';
import { featureBatchBytes } from '../../shared/defaults.ts';
import { CornetError } from '../../shared/errors.ts';
import { quoteName } from '../../shared/util/printable.ts';
import { count } from '../view/format.ts';

/**
 * Images per job.
 * @param usual how many there are by default, where their rows are not too large
 * @throws CornetError OPTION_INVALID when a job would yield too much
 */
export function chooseBatchSize(given: number | undefined, usual: number, rowBytes: number): number {
  if (given === undefined) {
    const fitting = Math.floor(featureBatchBytes.default / rowBytes);
    return Math.max(1, Math.min(usual, fitting));
  }
  if (given * rowBytes <= featureBatchBytes.most) return given;
  const most = Math.floor(featureBatchBytes.most / rowBytes);
  throw new CornetError(
    'OPTION_INVALID',
    `--batch-size ${given} would make jobs of ${Math.round((given * rowBytes) / 1e6)} MB of features.`,
    { hint: `Give at most ${most}, or omit it.` },
  );
}

/** A sentence about files that are no images by their extension, if there are any. */
export function noteIgnored({ count: ignored, examples }: ImageFolder['others']): string[] {
  if (ignored === 0) return [];
  const more = ignored > examples.length ? ', …' : '';
  return [
    `Ignored ${count(ignored, 'file', 'files')} without an image extension (${examples.map(quoteName).join(', ')}${more}).`,
  ];
}
