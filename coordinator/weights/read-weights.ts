/** `--weights FILE|pretrained|RUN_FOLDER`: the file that it comes to, and the snapshot that the file gives. */
import { CornetError } from '../../shared/errors.ts';
import { type Purpose, stateLayout } from '../../shared/formats/state-layout.ts';
import { isPublished, type Model } from '../../shared/models/model.ts';
import { checkpointOfRun } from '../checkpoints/run-checkpoint.ts';
import { type HeadChange, withChangedHead } from './change-head.ts';
import { fileSha256 } from './file-hash.ts';
import { fillState } from './fill-state.ts';
import { pretrainedWeights } from './pretrained.ts';
import { openWeights } from './weights-file.ts';

export interface WeightsContext {
  /** Of the process: where the cache folder is, and proxies. */
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** Told what takes a while, and which checkpoint is taken where the source leaves that open. */
  readonly say: (sentence: string) => void;
}

export interface FoundWeights {
  readonly path: string;
  /** Of the whole file, in hexadecimal. */
  readonly sha256: string;
  /** A snapshot body for inference (`stateLayout`). */
  readonly body: Uint8Array<ArrayBuffer>;
}

/**
 * Finds the file and looks whether it holds the model's weights.
 * @param source a file, `pretrained`, or a checkpoint of a run (`checkpointOfRun`)
 * @param key where they are in the file, for `findStateDict`; null: at the only place that fits
 * @param change what becomes of its head; null: it is the model's
 * @throws CornetError as `readWeights`; CHECKPOINT_DAMAGED, DOWNLOAD_FAILED, DISK_FULL, FOLDER_NOT_WRITABLE
 */
export async function findWeights(
  source: string,
  model: Model,
  context: WeightsContext,
  key: string | null = null,
  change: HeadChange | null = null,
): Promise<FoundWeights> {
  const { path, noted } = await resolveSource(source, model, context);
  const hash = fileSha256(path);
  hash.catch(() => undefined); // whoever reads the weights says what is wrong with the file
  const body = await readWeights(path, model, key, 'inference', change);
  const sha256 = await hash;
  if (noted !== null && noted !== sha256) {
    throw new CornetError(
      'CHECKPOINT_DAMAGED',
      `The checkpoint ${path} cannot be used: its SHA-256 is not the one that was noted when it was written.`,
      { hint: `Name an earlier checkpoint of ${source} as --weights.` },
    );
  }
  return { path, sha256, body };
}

/**
 * A snapshot of step 0 with the weights of a file, and momentum zero.
 * @param key and change as for `findWeights`
 * @returns a snapshot body (`stateLayout`)
 * @throws CornetError WEIGHTS_MISSING, WEIGHTS_INVALID, WEIGHTS_FORBIDDEN, WEIGHTS_MISMATCH, WEIGHTS_AMBIGUOUS,
 *   WEIGHTS_NOT_FINITE, SAFETENSORS_INVALID
 */
export async function readWeights(
  path: string,
  model: Model,
  key: string | null = null,
  purpose: Purpose = 'training',
  change: HeadChange | null = null,
): Promise<Uint8Array<ArrayBuffer>> {
  const within = change?.from ?? model;
  const file = await openWeights(path, within, key);
  try {
    const body = await fillState(file, stateLayout(within, purpose));
    return change === null ? body : withChangedHead(body, model, change, purpose);
  } finally {
    await file.close();
  }
}

/** What `pretrained` means for a custom model. */
export function noPublished(name: string): CornetError {
  return new CornetError('OPTION_INVALID', `There are no published weights of CORnet-${name}.`, {
    hint: 'Name weights that you have trained: --weights with a run or a file, or --weights untrained.',
  });
}

/** @returns the file, and its SHA-256 where a record of the run has it */
async function resolveSource(
  source: string,
  model: Model,
  { environment, say }: WeightsContext,
): Promise<{ path: string; noted: string | null }> {
  if (source === 'pretrained') {
    if (!isPublished(model.name)) throw noPublished(model.name);
    return { path: await pretrainedWeights(model.name, environment, say), noted: null };
  }
  const found = await checkpointOfRun(source);
  if (found?.taken != null) say(found.taken);
  return found === null ? { path: source, noted: null } : { path: found.path, noted: found.record.sha256 };
}
