/** What a checkpoint of ours says of the training that it is of. */
import { open } from 'node:fs/promises';
import { CornetError } from '../../shared/errors.ts';
import { readHeader } from '../../shared/formats/safetensors.ts';
import type { Notices } from '../../shared/process/notices.ts';
import { earlierResult, type ResultOptions, resultOptions, stepsPerEpoch } from '../../shared/run-config.ts';
import { quoteName } from '../../shared/util/printable.ts';
import { parseJson } from '../../shared/wire/protocol.ts';
import { recordBeside, type ValidationResult } from '../checkpoints/checkpoint-records.ts';
import { checkpointOfRun } from '../checkpoints/run-checkpoint.ts';
import { fileError } from '../disk/durable-file.ts';
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

/** Sources of weights that are no files of the user's. */
const silent: readonly string[] = ['pretrained', 'untrained'];

/**
 * The file of a checkpoint of a run.
 * @param source as `--weights` takes it
 * @returns null: it names none
 * @throws CornetError as `checkpointOfRun`
 */
export async function checkpointIn(source: string, { note }: Pick<Notices, 'note'>): Promise<string | null> {
  const found = silent.includes(source) ? null : await checkpointOfRun(source);
  if (found?.taken != null) note(found.taken);
  return found?.path ?? null;
}

/**
 * @param source as `--weights` takes it, but no run
 * @param sha256 of the file, as it was read
 * @returns null: it is no checkpoint of a run of cornet-ts
 * @throws CornetError CHECKPOINT_DAMAGED for a file that is not the one on record
 */
export async function trainingOf(source: string, sha256: string | null): Promise<TrainingFacts | null> {
  if (silent.includes(source) || (await kindOf(source)) !== 'safetensors') return null;
  const { identity, step } = await metadataOf(source);
  const parsed = parseJson(identity ?? 'null') as { result?: Record<string, unknown> } | null;
  const result = resultOptions.safeParse({ ...earlierResult, ...parsed?.result });
  if (!result.success || step === undefined) return null;
  const record = await recordBeside(source);
  if (record !== null && record.sha256 !== sha256) {
    throw new CornetError(
      'CHECKPOINT_DAMAGED',
      `The checkpoint ${quoteName(source)} cannot be used: its SHA-256 is not the one that was noted when it was written.`,
    );
  }
  return {
    result: result.data,
    step: Number(step),
    epochs: Number(step) / stepsPerEpoch({ result: result.data }),
    validation: record?.validation ?? null,
  };
}

async function metadataOf(path: string): Promise<Readonly<Record<string, string>>> {
  const file = await open(path, 'r').catch((error) => {
    throw fileError(error, `read ${quoteName(path)}`);
  });
  try {
    return (await readHeader(file, path)).metadata;
  } finally {
    await file.close();
  }
}
