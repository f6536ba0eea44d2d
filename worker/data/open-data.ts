/** The images that a worker computes with, as the run's configuration tells. */
import assert from 'node:assert';
import { dataChoiceOf } from '../../shared/data/choice-of-run.ts';
import { outputsOf } from '../../shared/data/class-outputs.ts';
import { listClipFolder } from '../../shared/data/clip-folder.ts';
import type { DatasetIndex } from '../../shared/data/dataset-index.ts';
import type { FileList } from '../../shared/data/file-list.ts';
import { listImageFolder } from '../../shared/data/image-folder.ts';
import { cachedIndex, type IndexCacheOptions } from '../../shared/data/index-cache.ts';
import { scheduleOf } from '../../shared/data/schedule.ts';
import type { Split } from '../../shared/data/split.ts';
import { defaults } from '../../shared/defaults.ts';
import { type AnyConfig, isInference, type RunConfig, totalSteps } from '../../shared/run-config.ts';
import { batchOfClips, framesInTime } from './clips.ts';
import type { ImageDecoder } from './decode.ts';
import { type Batch, type BatchMode, ShardLoader, type Shards } from './prefetch.ts';

export interface RunImages {
  readonly index: Pick<DatasetIndex, 'root' | 'keptIn'>;
  readonly fingerprint: string;
  readonly shards: Shards | null;
  /** What rounds of jobs go over, in batches that are cut by index. */
  readonly round: {
    readonly files: FileList;
    /** Of images, or of clips. */
    readonly batchSize: number;
    /** Of each clip; null: the files are no frames of clips. */
    readonly frames: number | null;
    readonly mode: BatchMode;
    readonly skipUnreadable: boolean;
  };
}

/** @throws CornetError DATA_MISSING, DATA_INVALID */
export async function findImages(
  config: AnyConfig,
  dataPath: string,
  cache: IndexCacheOptions,
): Promise<RunImages> {
  const { skipUnreadable } = config.options;
  const choice = dataChoiceOf(config);
  if (!isInference(config)) {
    const index = await cachedIndex(dataPath, ['train', 'val'], cache, choice);
    labelByOutput(config.result, index.classes, [index.train, index.val]);
    const round = { files: index.val, batchSize: config.result.validationBatch, frames: null };
    return {
      index,
      fingerprint: index.fingerprint,
      shards: shardsOf(config, index.train),
      round: { ...round, mode: 'validation', skipUnreadable },
    };
  }
  const { task, batchSize, times } = config.result;
  if (task.type === 'validation') {
    const index = await cachedIndex(dataPath, ['val'], cache, choice);
    labelByOutput(task, index.classes, [index.val]);
    const round = { files: index.val, batchSize, frames: null, mode: 'validation', skipUnreadable } as const;
    return { index, fingerprint: index.fingerprint, shards: null, round };
  }
  const { root, files, fingerprint } = task.frames
    ? await listClipFolder(dataPath, times, cache.progress)
    : await listImageFolder(dataPath, task.recursive, cache.progress);
  const mode = task.transform === 'crop' ? 'validation' : 'features';
  const frames = task.frames ? times : null;
  const round = { files, batchSize, frames, mode, skipUnreadable } as const;
  return { index: { root, keptIn: null }, fingerprint, shards: null, round };
}

/**
 * Labels are outputs of the decoder, whose head may have others than the classes of the data set.
 * A host with other classes keeps its labels: its fingerprint is another one, and nobody computes with them.
 */
function labelByOutput(
  { classNames }: { readonly classNames: readonly string[] },
  classes: readonly string[],
  splits: readonly Split[],
): void {
  const outputs = outputsOf(classes, classNames);
  if (!outputs.every((output) => output !== null)) return;
  if (outputs.every((output, position) => output === position)) return;
  for (const split of splits) split.relabel(outputs);
}

function shardsOf(config: RunConfig, files: FileList): Shards {
  return {
    files,
    schedule: scheduleOf(config.result),
    augmentation: config.result,
    steps: totalSteps(config),
    prefetchShards: defaults.prefetchShards,
    skipUnreadable: config.options.skipUnreadable,
  };
}

/** Loads shards, and the batches of rounds. */
export function openLoader(
  { index, shards, round }: RunImages,
  decoder: ImageDecoder,
  imageSize: number,
): { loader: ShardLoader; loadBatch: (batch: number) => Promise<Batch> } {
  const loader = new ShardLoader({ index, shards, decoder, imageSize });
  const { files, batchSize, frames } = round;
  const loadBatch = async (batch: number) => {
    const from = batch * batchSize;
    const count = Math.min(batchSize, files.size / (frames ?? 1) - from);
    assert(count > 0, `there is no batch ${batch}`);
    const samples = framesInTime(from, count, frames ?? 1);
    const loaded = await loader.loadBatch(files, samples, round);
    return frames === null ? loaded : batchOfClips(loaded, count);
  };
  return { loader, loadBatch };
}
