/** What a run, one of its checkpoints, or a checkpoint of the reference implementation says of its own network. */
import { open } from 'node:fs/promises';
import { CornetError } from '../../shared/errors.ts';
import { readHeader } from '../../shared/formats/safetensors.ts';
import { checkpointOfRun } from '../checkpoints/run-checkpoint.ts';
import { systemCode } from '../disk/durable-file.ts';
import { type OwnNetwork, saidByFlags, saidByIdentity } from './said-network.ts';
import { TorchFile } from './torch-file.ts';
import { kindOf } from './weights-file.ts';

/**
 * Reads what a source of weights says of itself.
 * @param source a file, or a checkpoint of a run (`checkpointOfRun`)
 * @returns a file that cannot be read says nothing: whoever reads its weights says what is wrong with it
 * @throws CornetError as `checkpointOfRun`
 */
export async function ownNetwork(source: string): Promise<OwnNetwork> {
  const path = (await checkpointOfRun(source))?.path ?? source;
  try {
    return (await kindOf(path)) === 'torch' ? await ofTorch(path) : await ofSafetensors(path);
  } catch (error) {
    if (error instanceof CornetError || systemCode(error) !== undefined) return saidByFlags(null);
    throw error;
  }
}

async function ofSafetensors(path: string): Promise<OwnNetwork> {
  const file = await open(path, 'r');
  try {
    return saidByIdentity((await readHeader(file, path)).metadata.identity);
  } finally {
    await file.close();
  }
}

async function ofTorch(path: string): Promise<OwnNetwork> {
  const torch = await TorchFile.open(path);
  await torch.close();
  return saidByFlags(torch.value);
}
