/** What a run folder says of a run, whoever is at work on it. */
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { type AnyConfig, isInference, stepsPerEpoch, totalSteps } from '../../shared/run-config.ts';
import { latestSchema, readRecord, recordSchema } from '../checkpoints/checkpoint-records.ts';
import type { Traces, Unheard } from '../view/health.ts';
import type { BestView } from '../view/run-view.ts';
import { keptViews } from '../view/view-of.ts';
import { lastMeasurements } from './metrics-file.ts';
import { runFiles } from './run-files.ts';
import { type LockHolder, RunLock } from './run-lock.ts';
import { lastWords } from './run-log.ts';

export interface FolderTraces extends Traces {
  lock: LockHolder | null;
}

/**
 * @param host this machine's name (os.hostname())
 * @param now milliseconds since 1970
 * @param unheard as in `Traces`
 * @param bytes of the log and of the metrics that are read, from their ends
 */
export async function tracesOf(
  folder: string,
  config: AnyConfig,
  { host, now, unheard, bytes }: { host: string; now: number; unheard: Unheard; bytes?: number },
): Promise<FolderTraces> {
  const path = (name: keyof typeof runFiles) => join(folder, runFiles[name]);
  const lock = await RunLock.holder(path('lock'), host);
  const lockedAt = await writtenAt(path('lock'));
  const words = await lastWords(path('log'), bytes);
  const isLocked = lock !== null && lock.state !== 'gone';
  const loggedAt = await writtenAt(path('log'));
  // A lock that is younger than the last words is that of the next coordinator.
  const isNext = isLocked && words !== null && words.at < lockedAt;
  const written = await Promise.all([path('metrics'), path('redis')].map(writtenAt));
  const { step, validation } = await lastMeasurements(path('metrics'), bytes);
  return {
    coordinator:
      lock === null || lock.state === 'gone' ? 'gone' : lock.state === 'alive' ? 'running' : 'unknown',
    lock,
    starting: isLocked && loggedAt < lockedAt,
    ended: isNext ? null : (words?.ended ?? null),
    quiet: Math.max(0, now - Math.max(lockedAt, loggedAt, ...written)) / 1000,
    unheard,
    step,
    steps: isInference(config) ? 0 : totalSteps(config),
    validation,
    ...(await checkpointsOf(path('checkpoints'), config, now)),
  };
}

/** The records alone are read; damage is for `verify` to find. */
async function checkpointsOf(
  folder: string,
  config: AnyConfig,
  now: number,
): Promise<Pick<Traces, 'checkpoint' | 'best' | 'kept'>> {
  const latest = await readRecord(join(folder, 'latest.json'), latestSchema).catch(() => null);
  const record = await readRecord(join(folder, 'best.json'), recordSchema).catch(() => null);
  if (isInference(config) || latest === null) return { checkpoint: null, best: null, kept: [] };
  const at = await writtenAt(join(folder, latest.file));
  const age = at === 0 ? null : Math.max(0, now - at) / 1000;
  const { saveModelSeconds: interval } = config.options;
  return {
    checkpoint: { step: latest.step, age, interval },
    best: bestOf(record),
    kept: keptViews([...latest.earlier, latest], stepsPerEpoch(config)),
  };
}

/** As it is shown; null where it was not validated. */
export function bestOf(
  record: { step: number; validation: { top1: number } | null } | null,
): BestView | null {
  return record?.validation == null ? null : { step: record.step, top1: record.validation.top1 };
}

/** Milliseconds since 1970; 0 where there is no such file. */
export async function writtenAt(path: string): Promise<number> {
  return stat(path).then(
    ({ mtimeMs }) => mtimeMs,
    () => 0,
  );
}
