/** Whether a file can be a checkpoint of ours. */
import type { CornetError } from '../../shared/errors.ts';
import { recordBeside } from '../checkpoints/checkpoint-records.ts';
import { TorchFile } from './torch-file.ts';
import { kindOf, unreadable } from './weights-file.ts';

/** Where a checkpoint is needed and none is. */
export const checkpointHint =
  'Name a checkpoint: the folder of a run, RUN:best, RUN@0.5 (nearest to that epoch), or one of its files.';

/**
 * Refuses a file that is something else than a safetensors file, as what it is. One that a record names is a checkpoint,
 * however damaged: whoever reads it says so.
 * @param ofTorch the error where it is a file of torch.save
 * @throws CornetError WEIGHTS_INVALID, WEIGHTS_FORBIDDEN, WEIGHTS_MISSING; CHECKPOINT_DAMAGED of a record
 */
export async function refuseOtherKinds(path: string, ofTorch: () => CornetError): Promise<void> {
  if ((await recordBeside(path)) !== null) return;
  try {
    if ((await kindOf(path)) !== 'torch') return;
    await (await TorchFile.open(path)).close(); // it tells other archives from those of torch.save
  } catch (error) {
    throw unreadable(error, path, checkpointHint);
  }
  throw ofTorch();
}
