/** What features are read of: the images of a folder, or with `--frames` its clips. */
import { type ClipFolder, type Clips, listClipFolder } from '../../shared/data/clip-folder.ts';
import { listImageFolder } from '../../shared/data/image-folder.ts';
import { CornetError } from '../../shared/errors.ts';
import type { Model } from '../../shared/models/model.ts';
import type { ProgressOutput } from '../../shared/process/progress-line.ts';
import { quoteName } from '../../shared/util/printable.ts';
import type { FeatureOptions } from '../options/table.ts';
import { noteIgnored, noteLoose } from './folder-images.ts';
import type { Rows } from './results.ts';

export interface Stimuli {
  readonly rows: Rows;
  /** Null: the rows are of images. */
  readonly clips: Clips | null;
  readonly fingerprint: string;
  /** What the user may not expect. */
  readonly notes: readonly string[];
}

/**
 * @param times time steps of the model
 * @throws CornetError OPTION_INVALID, DATA_MISSING, DATA_INVALID
 */
export async function listStimuli(
  { frames, recursive, dataPath }: Pick<FeatureOptions, 'frames' | 'recursive' | 'dataPath'>,
  model: Model,
  times: number,
  progress: ProgressOutput,
): Promise<Stimuli> {
  if (!frames) {
    const { files, fingerprint, others } = await listImageFolder(dataPath, recursive, progress);
    return { rows: files, clips: null, fingerprint, notes: noteIgnored(others) };
  }
  refuseFrames(model, recursive);
  const folder = await listClipFolder(dataPath, times, progress);
  const { clips, fingerprint, others, loose, longer } = folder;
  const notes = [...noteLonger(longer, times), ...noteLoose(loose), ...noteIgnored(others)];
  return { rows: clips, clips, fingerprint, notes };
}

/** A sentence about clips with frames that are not used, if there are any. */
function noteLonger(longer: ClipFolder['longer'], times: number): string[] {
  const [example] = longer;
  if (example === undefined) return [];
  const clips = longer.length === 1 ? '1 clip has' : `${longer.length} clips have`;
  return [
    `${clips} more frames than the network has time steps (${times}), as ${quoteName(example.name)} with ${example.frames}: the rest is not used.`,
  ];
}

function refuseFrames({ name, forwardFrames }: Model, recursive: boolean): void {
  if (forwardFrames === undefined) {
    const why = name === 'Z' ? 'has no time steps' : 'repeats each area on one input';
    throw new CornetError(
      'OPTION_INVALID',
      `--frames shows a network another image at each time step, and CORnet-${name} ${why}.`,
      { hint: 'Use --model R or RT, or omit --frames.' },
    );
  }
  if (!recursive) return;
  throw new CornetError(
    'OPTION_INVALID',
    '--frames takes each folder in --data-path for a clip, and --recursive would look for images below it.',
    { hint: 'Omit --recursive; clips that lie deeper can be gathered in one folder as symbolic links.' },
  );
}
