/** One file of a checkpoint: how it is laid out, and what is checked when it is read. */
import { createHash } from 'node:crypto';
import { open } from 'node:fs/promises';
import { z } from 'zod';
import { CornetError } from '../../shared/errors.ts';
import {
  encodeHeader,
  readHeader,
  readSafetensors,
  type SafetensorsFile,
  type TensorEntry,
} from '../../shared/formats/safetensors.ts';
import { canonicalJson } from '../../shared/util/canonical-json.ts';
import { quoteName } from '../../shared/util/printable.ts';
import { fileError, systemCode } from '../disk/durable-file.ts';
import type { CheckpointRecord, ValidationResult } from './checkpoint-records.ts';

/** Version of what a checkpoint holds; a reader refuses one it does not know. */
const formatVersion = '1';

const metadataSchema = z.object({
  format_version: z.literal(formatVersion),
  step: z.string().regex(/^\d+$/).transform(Number),
  epoch: z.string().regex(/^\d+$/).transform(Number),
  identity: z.string(),
});

export interface Checkpoint {
  readonly path: string;
  readonly step: number;
  readonly epoch: number;
  /** In an ArrayBuffer of its own. */
  readonly body: Uint8Array<ArrayBuffer>;
  /** The identity it was written with, as canonical JSON. */
  readonly identity: string;
  /** From the record; null for a file that no record names. */
  readonly validation: ValidationResult | null;
}

/** What stands before the data section in the file of a checkpoint. */
export function checkpointHeader(
  layout: readonly TensorEntry[],
  { step, epoch, identity }: { step: number; epoch: number; identity: unknown },
): Uint8Array {
  return encodeHeader(layout, {
    format_version: formatVersion,
    step: String(step),
    epoch: String(epoch),
    identity: canonicalJson(identity),
  });
}

/**
 * Reads a checkpoint, of whatever run.
 * @param layoutOf what a snapshot of the model in a checkpoint's identity holds
 * @param record what is noted of the file, if anything is
 * @throws CornetError CHECKPOINT_DAMAGED, RUN_FORMAT
 */
export async function readCheckpoint(
  path: string,
  layoutOf: (identity: string) => readonly TensorEntry[],
  record: CheckpointRecord | null,
): Promise<Checkpoint> {
  const file = await readFileOf(path);
  if (record !== null && sha256(file.header, file.body) !== record.sha256) {
    throw damaged(path, 'its SHA-256 is not the one that was noted when it was written');
  }
  if (file.metadata.format_version === undefined) {
    throw new CornetError(
      'CHECKPOINT_DAMAGED',
      `${quoteName(path)} is a safetensors file, but no checkpoint of cornet-ts: it says neither its run nor its step.`,
      { hint: 'To begin a new run with its weights, use --weights instead of --restore-path.' },
    );
  }
  refuseLaterFormat(file.metadata.format_version, path);
  const metadata = metadataSchema.safeParse(file.metadata);
  if (!metadata.success) throw damaged(path, `it is not one of this program in format ${formatVersion}`);
  const { step, epoch, identity } = metadata.data;
  checkLayout(file.entries, layoutOf(identity), path);
  return { path, step, epoch, identity, body: file.body, validation: record?.validation ?? null };
}

/** The step of a checkpoint, from nothing but its header; null: it cannot be read, or is none. */
export async function stepOfCheckpoint(path: string): Promise<number | null> {
  try {
    const file = await open(path);
    try {
      const { metadata } = await readHeader(file, quoteName(path));
      return metadataSchema.safeParse(metadata).data?.step ?? null;
    } finally {
      await file.close();
    }
  } catch {
    return null;
  }
}

async function readFileOf(path: string): Promise<SafetensorsFile> {
  try {
    return await readSafetensors(path);
  } catch (error) {
    if (systemCode(error) === 'ENOENT') throw damaged(path, 'it does not exist', error);
    if (error instanceof CornetError) throw damaged(path, error.message.replace(/\.$/, ''), error);
    throw fileError(error, `read ${quoteName(path)}`);
  }
}

function refuseLaterFormat(format: string | undefined, path: string): void {
  if (format === undefined || !/^\d+$/.test(format) || Number(format) <= Number(formatVersion)) return;
  throw new CornetError(
    'RUN_FORMAT',
    `The checkpoint ${quoteName(path)} is of format ${format}: a newer cornet-ts wrote it, and this one reads format ${formatVersion}.`,
    { hint: 'Use the version of cornet-ts that wrote it, or a later one.' },
  );
}

function checkLayout(found: readonly TensorEntry[], wanted: readonly TensorEntry[], path: string): void {
  const describe = (entry: TensorEntry | undefined) =>
    entry === undefined ? 'nothing' : `${entry.name}: ${entry.dtype} [${entry.shape}]`;
  for (let i = 0; i < Math.max(found.length, wanted.length); i++) {
    const [has, needs] = [describe(found[i]), describe(wanted[i])];
    if (has !== needs) throw damaged(path, `it holds ${has} where the model has ${needs}`);
  }
}

function sha256(...parts: readonly Uint8Array[]): string {
  const hash = createHash('sha256');
  for (const part of parts) hash.update(part);
  return hash.digest('hex');
}

function damaged(path: string, why: string, cause?: unknown): CornetError {
  return new CornetError('CHECKPOINT_DAMAGED', `The checkpoint ${quoteName(path)} cannot be used: ${why}.`, {
    cause,
  });
}
