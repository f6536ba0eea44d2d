/** What `latest.json` and `best.json` say: which files of a folder are checkpoints, and what is known of them. */
import { readFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { z } from 'zod';
import { CornetError } from '../../shared/errors.ts';
import { quoteName } from '../../shared/util/printable.ts';
import { fileError, systemCode } from '../disk/durable-file.ts';

/** Names of checkpoints; the number is the step. */
export const filePattern = /^step-(\d{8,})\.safetensors$/;

/** The name of a step's checkpoint. */
export const fileNameOf = (step: number): string => `step-${String(step).padStart(8, '0')}.safetensors`;

/** JSON has no number for a loss that is not finite, and `null` in its place. */
const writtenLoss = z
  .number()
  .nullable()
  .transform((loss) => loss ?? Number.NaN);

const validationSchema = z.strictObject({ top1: z.number(), loss: writtenLoss });
/** Result of a validation: share of right answers (0 to 1) and mean loss over the validation images. */
export type ValidationResult = z.infer<typeof validationSchema>;

export const recordSchema = z.strictObject({
  file: z.string().regex(filePattern),
  sha256: z.string().regex(/^[0-9a-f]{64}$/),
  step: z.int().nonnegative(),
  /** Kept forever. */
  kept: z.boolean(),
  validation: validationSchema.nullable(),
});
/** What `latest.json` and `best.json` say about a checkpoint. */
export type CheckpointRecord = z.infer<typeof recordSchema>;

export const latestSchema = recordSchema.extend({
  /** The checkpoints before it that are still there, oldest first. */
  earlier: z.array(recordSchema),
});

/**
 * Reads `latest.json` or `best.json`; null when there is none.
 * @throws CornetError CHECKPOINT_DAMAGED, FOLDER_NOT_WRITABLE
 */
export async function readRecord<T extends CheckpointRecord>(
  path: string,
  schema: z.ZodType<T>,
): Promise<T | null> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return null;
    throw fileError(error, `read ${quoteName(path)}`);
  }
  try {
    return schema.parse(JSON.parse(text));
  } catch (cause) {
    throw new CornetError('CHECKPOINT_DAMAGED', `${quoteName(path)} is not the record of a checkpoint.`, {
      hint: `Delete ${quoteName(path)}, then name the checkpoint to go on from: --resume --restore-path <file>`,
      cause,
    });
  }
}

/** All checkpoints of a folder that are on record. */
export interface CheckpointRecords {
  /** Oldest first. */
  readonly records: readonly CheckpointRecord[];
  /** By validation top-1, then by lower loss, then the earlier one; it may be missing among the records. */
  readonly best: CheckpointRecord | null;
}

/** @throws CornetError CHECKPOINT_DAMAGED, FOLDER_NOT_WRITABLE */
export async function readRecords(folder: string): Promise<CheckpointRecords> {
  const latest = await readRecord(join(folder, 'latest.json'), latestSchema);
  const best = await readRecord(join(folder, 'best.json'), recordSchema);
  if (latest === null) return { records: [], best };
  const { earlier, ...newest } = latest;
  return { records: [...earlier, newest], best };
}

/**
 * What the records in its folder say of a checkpoint, or null.
 * @throws CornetError CHECKPOINT_DAMAGED, FOLDER_NOT_WRITABLE
 */
export async function recordBeside(path: string): Promise<CheckpointRecord | null> {
  const { records, best } = await readRecords(dirname(path));
  const all = best === null ? records : [...records, best];
  return all.find(({ file }) => file === basename(path)) ?? null;
}
