/** Looks at every checkpoint of a run, and at the records that name them. */
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { CornetError } from '../../shared/errors.ts';
import { stateLayout } from '../../shared/formats/state-layout.ts';
import { modelOf } from '../../shared/models/family.ts';
import type { RunConfig } from '../../shared/run-config.ts';
import { quoteName } from '../../shared/util/printable.ts';
import { checkValues } from '../checkpoints/check-values.ts';
import { readCheckpoint } from '../checkpoints/checkpoint-file.ts';
import {
  type CheckpointRecord,
  filePattern,
  latestSchema,
  readRecord,
  recordSchema,
} from '../checkpoints/checkpoint-records.ts';
import { checkIdentity } from '../checkpoints/own-run.ts';
import { exists, partialSuffix } from '../disk/durable-file.ts';
import { bad, type Finding, note, ok } from './finding.ts';

const place = 'checkpoints';

/** What the records say at one moment. */
interface Records {
  readonly latest: CheckpointRecord | null;
  /** By file name. */
  readonly named: ReadonlyMap<string, Named>;
  readonly findings: readonly Finding[];
}

interface Named {
  readonly record: CheckpointRecord;
  /** `latest`, `best`. */
  readonly roles: readonly string[];
}

/** The newest checkpoint by `latest.json`; null where there is none, or it cannot be read. */
export async function latestCheckpoint(folder: string): Promise<CheckpointRecord | null> {
  return (await readRecords(join(folder, place))).latest;
}

/** @param live a coordinator is at work: it may write and delete meanwhile */
export async function* verifyCheckpoints(
  folder: string,
  config: RunConfig,
  live: boolean,
): AsyncGenerator<Finding> {
  const path = join(folder, place);
  if (!(await exists(path))) return yield note(`${place}/`, 'There is no checkpoint yet.');
  const names = await readdir(path);
  const { findings, named } = await readRecords(path);
  yield* findings;
  for (const name of [...new Set([...names, ...named.keys()])].sort()) {
    if (name === 'latest.json' || name === 'best.json') continue;
    const finding = filePattern.test(name)
      ? await verifyFile(path, name, config)
      : otherFile(`${place}/${name}`, live);
    if (finding !== null) yield finding;
  }
}

/** What lies in a run's folder beside the files of the run. */
export function otherFile(file: string, live: boolean): Finding {
  if (!file.endsWith(partialSuffix)) return note(file, 'It is no file of a run.');
  return note(file, live ? 'It is being written.' : 'It was never finished: a resume removes it.');
}

async function readRecords(path: string): Promise<Records> {
  const findings: Finding[] = [];
  const named = new Map<string, Named>();
  const noteOf = (record: CheckpointRecord, role: string | null) => {
    const roles = [...(named.get(record.file)?.roles ?? []), ...(role === null ? [] : [role])];
    named.set(record.file, { record, roles });
  };
  const latest = await tried(findings, 'latest.json', () =>
    readRecord(join(path, 'latest.json'), latestSchema),
  );
  const best = await tried(findings, 'best.json', () => readRecord(join(path, 'best.json'), recordSchema));
  if (best !== null) {
    noteOf(best, 'best');
    findings.push(ok(`${place}/best.json`, `The best is that of step ${best.step}.`));
  }
  for (const record of latest?.earlier ?? []) noteOf(record, null);
  if (latest !== null) {
    noteOf(latest, 'latest');
    const count = latest.earlier.length;
    const before = count === 0 ? '' : `, with ${count} before it`;
    findings.push(ok(`${place}/latest.json`, `The latest is that of step ${latest.step}${before}.`));
  }
  return { latest, named, findings };
}

async function tried<T>(findings: Finding[], name: string, read: () => Promise<T | null>): Promise<T | null> {
  try {
    return await read();
  } catch (error) {
    findings.push(bad(`${place}/${name}`, error));
    return null;
  }
}

/** Null: a run at work has deleted it in the meantime, as it should. */
async function verifyFile(folder: string, name: string, config: RunConfig): Promise<Finding | null> {
  const file = `${place}/${name}`;
  const path = join(folder, name);
  for (let before = await namedNow(folder, name); ; ) {
    try {
      return ok(file, await describeFile(path, config, before));
    } catch (error) {
      // Written again, or deleted, while it was read: what the records say by now counts.
      const now = await namedNow(folder, name);
      if (now === null && !(await exists(path))) return null;
      if (now?.record.sha256 === before?.record.sha256) return bad(file, error);
      before = now;
    }
  }
}

async function namedNow(folder: string, name: string): Promise<Named | null> {
  return (await readRecords(folder)).named.get(name) ?? null;
}

/** @throws CornetError that says what is wrong */
async function describeFile(path: string, config: RunConfig, named: Named | null): Promise<string> {
  const { slots } = stateLayout(modelOf(config.result));
  const { step, body } = await readCheckpoint(
    path,
    (identity) => {
      checkIdentity(config, identity, path);
      return slots;
    },
    named?.record ?? null,
  );
  if (step !== Number(filePattern.exec(path.slice(path.lastIndexOf('/') + 1))?.[1])) {
    const message = `The checkpoint ${quoteName(path)} holds the state of step ${step}, and its name says another.`;
    throw new CornetError('CHECKPOINT_DAMAGED', message);
  }
  checkValues(slots, body, path);
  if (named === null) return 'Complete. No record names it: the run has not passed it, or went back.';
  const roles = named.roles.length === 0 ? '' : ` (${named.roles.join(', ')})`;
  return `Complete and unchanged since it was written${roles}.`;
}
