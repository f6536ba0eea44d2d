/** Whether a run has room on its disk, before it begins. */
import { readdir, stat, statfs } from 'node:fs/promises';
import { join } from 'node:path';
import { keptSteps } from '../../shared/data/kept-steps.ts';
import { CornetError } from '../../shared/errors.ts';
import { stateLayout } from '../../shared/formats/state-layout.ts';
import { modelOf } from '../../shared/models/family.ts';
import type { Model } from '../../shared/models/model.ts';
import { type RunConfig, totalSteps } from '../../shared/run-config.ts';
import { gigabytes } from '../../shared/util/gigabytes.ts';
import { quoteName } from '../../shared/util/printable.ts';
import { fileError, systemCode } from '../disk/durable-file.ts';
import type { RunFolder } from './run-folder.ts';

/** Bytes of a line of metrics.jsonl, and of one of log.jsonl for each step at most. */
const lineBytes = 250;

interface Kept {
  /** How many are kept for good. */
  permanent: number;
  /** How many of the newest are. */
  keepCheckpoints: number;
}

/** Bytes of one checkpoint, and of all when there are most, with the one that is being written. */
export function bytesOfCheckpoints(
  model: Model,
  { permanent, keepCheckpoints }: Kept,
): { checkpoint: number; all: number } {
  const checkpoint = stateLayout(model).bytes;
  const best = 1;
  const unfinished = 1;
  return { checkpoint, all: (permanent + keepCheckpoints + best + unfinished) * checkpoint };
}

/** Bytes that a training has on disk when most lies there: checkpoints and metrics. */
export function bytesOfRun(config: RunConfig): { checkpoint: number; all: number } {
  const steps = totalSteps(config);
  const { checkpoint, all } = bytesOfCheckpoints(modelOf(config.result), {
    permanent: keptSteps(config).count,
    keepCheckpoints: config.options.keepCheckpoints,
  });
  return { checkpoint, all: all + steps * lineBytes };
}

/**
 * Compares what a training will need with the room that there is.
 * @returns a warning, or null
 * @throws CornetError DISK_FULL where not even one checkpoint has room
 */
export async function compareRoom(folder: RunFolder, config: RunConfig): Promise<string | null> {
  const { checkpoint, all } = bytesOfRun(config);
  const free = await freeBytes(folder.path);
  const place = `${gigabytes(free)} are free in ${quoteName(folder.path)}`;
  if (free < checkpoint) {
    throw new CornetError('DISK_FULL', `A checkpoint needs ${gigabytes(checkpoint)}, and ${place}.`, {
      hint: 'Make room, or give another --output-path.',
    });
  }
  const needed = all - (await bytesIn(folder.checkpointsPath));
  if (free >= needed) return null;
  return (
    `warning: The run will need ${gigabytes(needed)} more, and ${place}. ` +
    'A greater --save-model-epochs, fewer points of --save-at or a smaller --keep-checkpoints need less.'
  );
}

/** @throws CornetError FOLDER_NOT_WRITABLE */
export async function freeBytes(path: string): Promise<number> {
  try {
    const { bavail, bsize } = await statfs(path);
    return bavail * bsize;
  } catch (error) {
    throw fileError(error, `read ${quoteName(path)}`);
  }
}

async function bytesIn(folder: string): Promise<number> {
  try {
    const sizes = (await readdir(folder)).map(async (name) => (await stat(join(folder, name))).size);
    return (await Promise.all(sizes)).reduce((sum, size) => sum + size, 0);
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return 0;
    throw fileError(error, `read ${quoteName(folder)}`);
  }
}
