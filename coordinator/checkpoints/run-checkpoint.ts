/** Which checkpoint of a run is meant by `RUN`, `RUN:latest`, `RUN:best`, `RUN@0.5` or `RUN:0.5`. */
import { open, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { CornetError } from '../../shared/errors.ts';
import { readHeader } from '../../shared/formats/safetensors.ts';
import { resultOptions, stepsPerEpoch } from '../../shared/run-config.ts';
import { quoteName } from '../../shared/util/printable.ts';
import { roundEpoch } from '../../shared/util/round-epoch.ts';
import { microEpochs, stepOfEpoch } from '../../shared/util/save-points.ts';
import { shellWords } from '../../shared/util/shell-words.ts';
import { parseJson } from '../../shared/wire/protocol.ts';
import { exists, fileError, systemCode } from '../disk/durable-file.ts';
import {
  type CheckpointRecord,
  latestSchema,
  readRecord,
  readRecords,
  recordSchema,
} from './checkpoint-records.ts';

export interface RunCheckpoint {
  readonly path: string;
  readonly record: CheckpointRecord;
  /** A sentence that says which one it is; null: the source says it. */
  readonly taken: string | null;
}

/**
 * Finds a checkpoint of a run, which another coordinator may be at work on.
 * @param source the run's folder: its newest checkpoint; the folder, `@` and an epoch: the checkpoint nearest to that; or
 *   the folder, a colon, and `latest`, `best` or an epoch that must have a checkpoint
 * @returns null when it is neither
 * @throws CornetError WEIGHTS_MISSING when the run has no such checkpoint, or none is of that name; CHECKPOINT_DAMAGED,
 *   FOLDER_NOT_WRITABLE
 */
export async function checkpointOfRun(source: string): Promise<RunCheckpoint | null> {
  if (await isFolder(source)) return newest(source);
  const [, run, sign, which = ''] = /^(.+)([:@])([^:@/]*)$/.exec(source) ?? [];
  if (run === undefined || !(await isFolder(run))) return null;
  const isEpoch = /^\d+(\.\d+)?$/.test(which);
  if (sign === '@' && isEpoch) return nearest(source, run, Number(which));
  if (sign === ':' && isEpoch) return atEpoch(run, Number(which));
  if (sign === ':' && which === 'latest') return newest(run);
  if (sign === ':' && which === 'best') return best(run);
  if (await exists(source)) return null;
  await newest(run); // of a folder without a run that is what is wrong
  const names = [':best', ':latest', '@0.5'].map((one) => shellWords([`${run}${one}`]));
  throw missing(
    `${quoteName(source)} names no checkpoint of the run in ${quoteName(run)}.`,
    `Name ${names[0]}, ${names[1]}, or the one nearest to an epoch, as in ${names[2]}`,
  );
}

async function newest(run: string): Promise<RunCheckpoint> {
  const record = await readRecord(join(run, 'checkpoints', 'latest.json'), latestSchema);
  if (record === null) throw missing(`The folder ${quoteName(run)} holds no run with a checkpoint.`);
  return at(run, record);
}

async function best(run: string): Promise<RunCheckpoint> {
  const record = await readRecord(join(run, 'checkpoints', 'best.json'), recordSchema);
  if (record === null) throw missing(`No checkpoint of ${quoteName(run)} has been validated yet.`);
  return at(run, record);
}

async function atEpoch(run: string, epoch: number): Promise<RunCheckpoint> {
  const { records, perEpoch } = await allOf(run);
  const found = records.find(({ step }) => step === Math.round(epoch * perEpoch));
  if (found !== undefined) return at(run, found);
  const epochs = [...new Set(records.map(({ step }) => roundEpoch(step / perEpoch)))];
  throw missing(
    `The run in ${quoteName(run)} has no checkpoint of epoch ${epoch}.`,
    `It has those of the epochs ${epochs.join(', ')}. The nearest one is ${shellWords([`${run}@${epoch}`])}`,
  );
}

/** What `--save-at` writes for that epoch, if it is there; else what is nearest to it, of two the earlier one. */
async function nearest(source: string, run: string, epoch: number): Promise<RunCheckpoint> {
  const { records, perEpoch } = await allOf(run);
  const named = stepOfEpoch(epoch, perEpoch);
  const target = Math.round(epoch * microEpochs) * perEpoch;
  const distance = ({ step }: CheckpointRecord) =>
    step === named ? 0 : Math.abs(step * microEpochs - target);
  const found = records.reduce((best, one) => (distance(one) < distance(best) ? one : best));
  const { file, step } = found;
  const taken = `${quoteName(source)}: taking the checkpoint of epoch ${roundEpoch(step / perEpoch)}, ${file} (step ${step}).`;
  return { ...at(run, found), taken };
}

/** At least one checkpoint, oldest first, and the steps of an epoch. */
async function allOf(run: string): Promise<{ records: CheckpointRecord[]; perEpoch: number }> {
  const { path } = await newest(run);
  const perEpoch = await stepsPerEpochOf(path);
  const { records, best } = await readRecords(join(run, 'checkpoints'));
  // The best may be one that the run has gone back behind.
  const all = best === null || records.some(({ step }) => step === best.step) ? records : [...records, best];
  return { records: all.toSorted((a, b) => a.step - b.step), perEpoch };
}

const identitySchema = z.object({
  result: z.object(resultOptions.pick({ trainImages: true, batchSize: true }).shape),
});

async function stepsPerEpochOf(path: string): Promise<number> {
  const file = await open(path, 'r').catch((error) => {
    throw fileError(error, `read ${quoteName(path)}`);
  });
  try {
    const { metadata } = await readHeader(file, path);
    const identity = identitySchema.safeParse(parseJson(metadata.identity ?? 'null'));
    if (identity.success) return stepsPerEpoch(identity.data);
    throw new CornetError('CHECKPOINT_DAMAGED', `${quoteName(path)} does not say which run it is of.`);
  } finally {
    await file.close();
  }
}

function at(run: string, record: CheckpointRecord): RunCheckpoint {
  return { path: join(run, 'checkpoints', record.file), record, taken: null };
}

function missing(message: string, hint = 'Name a run that has one, or a file of weights.'): CornetError {
  return new CornetError('WEIGHTS_MISSING', message, { hint });
}

async function isFolder(path: string): Promise<boolean> {
  try {
    return (await stat(path)).isDirectory();
  } catch (error) {
    if (systemCode(error) === undefined) throw error;
    return false; // reading it as a file will say what is wrong
  }
}
