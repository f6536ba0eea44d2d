/** What a checkpoint of ours says of the training that it is of. */
import { open } from 'node:fs/promises';
import { readHeader } from '../../shared/formats/safetensors.ts';
import { earlierResult, type ResultOptions, resultOptions, stepsPerEpoch } from '../../shared/run-config.ts';
import { parseJson } from '../../shared/wire/protocol.ts';
import { recordBeside, type ValidationResult } from '../checkpoints/checkpoint-records.ts';
import { checkpointOfRun } from '../checkpoints/run-checkpoint.ts';
import { exists, fileError } from '../disk/durable-file.ts';
import { kindOf } from '../weights/weights-file.ts';

export interface TrainingFacts {
  readonly result: ResultOptions;
  /** Updates that were done. */
  readonly step: number;
  /** The same in epochs. */
  readonly epochs: number;
  /** Null: this checkpoint was not validated, or no record of it is beside it. */
  readonly validation: ValidationResult | null;
}

/**
 * @param source as `--weights` takes it
 * @returns null: it is no checkpoint of a run of cornet-ts
 * @throws CornetError as `checkpointOfRun`
 */
export async function trainingOf(source: string): Promise<TrainingFacts | null> {
  if (source === 'pretrained' || source === 'untrained') return null;
  const found = await checkpointOfRun(source);
  const path = found?.path ?? source;
  if (!(await exists(path)) || (await kindOf(path)) !== 'safetensors') return null;
  const { identity, step } = await metadataOf(path);
  const parsed = parseJson(identity ?? 'null') as { result?: Record<string, unknown> } | null;
  const result = resultOptions.safeParse({ ...earlierResult, ...parsed?.result });
  if (!result.success || step === undefined) return null;
  const record = found?.record ?? (await recordBeside(path));
  return {
    result: result.data,
    step: Number(step),
    epochs: Number(step) / stepsPerEpoch({ result: result.data }),
    validation: record?.validation ?? null,
  };
}

async function metadataOf(path: string): Promise<Readonly<Record<string, string>>> {
  const file = await open(path, 'r').catch((error) => {
    throw fileError(error, `read ${path}`);
  });
  try {
    return (await readHeader(file, path)).metadata;
  } finally {
    await file.close();
  }
}
