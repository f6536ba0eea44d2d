/** What the commands that go over a plain folder of images have in common. */
import type { IgnoredFiles } from '../../shared/data/image-folder.ts';
import { featureBatchBytes } from '../../shared/defaults.ts';
import { CornetError } from '../../shared/errors.ts';
import { quoteName } from '../../shared/util/printable.ts';
import { count } from '../view/format.ts';

/**
 * Rows per job.
 * @param usual how many there are by default, where they are not too large
 * @param rowBytes what a job yields for one
 * @param clipBytes the decoded frames of one, if it is a clip: a job holds those of all its clips
 * @throws CornetError OPTION_INVALID when a job would yield or hold too much
 */
export function chooseBatchSize(
  given: number | undefined,
  usual: number,
  rowBytes: number,
  clipBytes = 0,
): number {
  const bytes = Math.max(rowBytes, clipBytes);
  if (given === undefined) {
    const fitting = Math.floor(featureBatchBytes.default / bytes);
    return Math.max(1, Math.min(usual, fitting));
  }
  if (given * bytes <= featureBatchBytes.most) return given;
  const most = Math.floor(featureBatchBytes.most / bytes);
  throw new CornetError(
    'OPTION_INVALID',
    `--batch-size ${given} would make jobs of ${Math.round((given * bytes) / 1e6)} MB of ${bytes === rowBytes ? 'features' : 'frames'}.`,
    { hint: `Give at most ${most}, or omit it.` },
  );
}

/** A sentence about files that are no images by their extension, if there are any. */
export function noteIgnored(others: IgnoredFiles): string[] {
  if (others.count === 0) return [];
  return [`Ignored ${count(others.count, 'file', 'files')} without an image extension (${named(others)}).`];
}

/** A sentence about images that lie beside the clips of a folder, if there are any. */
export function noteLoose(loose: IgnoredFiles): string[] {
  if (loose.count === 0) return [];
  return [
    `Ignored ${count(loose.count, 'image', 'images')} beside the folders of the clips (${named(loose)}).`,
  ];
}

function named({ count: all, examples }: IgnoredFiles): string {
  return `${examples.map(quoteName).join(', ')}${all > examples.length ? ', …' : ''}`;
}
