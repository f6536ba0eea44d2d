/** What a run, one of its checkpoints, or a checkpoint of the reference implementation says of its own network. */
import { open } from 'node:fs/promises';
import { CornetError } from '../../shared/errors.ts';
import { readHeader } from '../../shared/formats/safetensors.ts';
import type { ModelName } from '../../shared/models/model.ts';
import { bounds, type Precision } from '../../shared/option-bounds.ts';
import { parseJson } from '../../shared/wire/protocol.ts';
import { checkpointOfRun } from '../checkpoints/run-checkpoint.ts';
import { systemCode } from '../disk/durable-file.ts';
import { asDict } from './state-dicts.ts';
import { TorchFile } from './torch-file.ts';
import { kindOf } from './weights-file.ts';

/** Undefined: it does not say. */
export interface OwnNetwork {
  readonly model: ModelName | undefined;
  /** Time steps of R and RT. */
  readonly times: number | undefined;
  /** Pixels of a side. */
  readonly imageSize: number | undefined;
  readonly precision: Precision | undefined;
}

/**
 * Reads what a source of weights says of itself: a checkpoint's identity, or run.py's `flags`.
 * @param source a file, or a checkpoint of a run (`checkpointOfRun`)
 * @returns a file that cannot be read says nothing: whoever reads its weights says what is wrong with it
 * @throws CornetError as `checkpointOfRun`
 */
export async function ownNetwork(source: string): Promise<OwnNetwork> {
  const path = (await checkpointOfRun(source))?.path ?? source;
  try {
    return understood((await kindOf(path)) === 'torch' ? await flagsOf(path) : await resultOf(path));
  } catch (error) {
    if (error instanceof CornetError || systemCode(error) !== undefined) return understood({});
    throw error;
  }
}

async function resultOf(path: string): Promise<Record<string, unknown>> {
  const file = await open(path, 'r');
  try {
    const { identity = 'null' } = (await readHeader(file, path)).metadata;
    return (parseJson(identity) as { result?: Record<string, unknown> } | null)?.result ?? {};
  } finally {
    await file.close();
  }
}

/** The options that run.py was called with; `coordinator export` adds the image size. */
async function flagsOf(path: string): Promise<Record<string, unknown>> {
  const torch = await TorchFile.open(path);
  await torch.close();
  const flags = asDict(asDict(torch.value)?.get('flags'));
  return { model: flags?.get('model'), times: flags?.get('times'), imageSize: flags?.get('imsize') };
}

function understood(said: Record<string, unknown>): OwnNetwork {
  return {
    model: bounds.model.safeParse(said.model).data,
    times: bounds.times.safeParse(said.times).data,
    imageSize: bounds.imageSize.safeParse(said.imageSize).data,
    precision: bounds.precision.safeParse(said.precision).data,
  };
}
