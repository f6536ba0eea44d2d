/** Looks at every file of a run folder: without its lock, and while a coordinator may be at work. */
import { createReadStream } from 'node:fs';
import { readdir, stat } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { CornetError } from '../../shared/errors.ts';
import { type AnyConfig, anyConfig, isInference } from '../../shared/run-config.ts';
import { quoteName } from '../../shared/util/printable.ts';
import { exists, fileError, systemCode } from '../disk/durable-file.ts';
import { noRunIn } from '../run-folder/no-run.ts';
import { runFiles } from '../run-folder/run-files.ts';
import { readConfigFile, readRedisNote, readToken } from '../run-folder/run-folder.ts';
import { RunLock } from '../run-folder/run-lock.ts';
import { count } from '../view/format.ts';
import { bad, type Finding, note, ok } from './finding.ts';
import { latestCheckpoint, otherFile, verifyCheckpoints } from './verify-checkpoints.ts';
import { inferenceFiles, verifyInference } from './verify-inference.ts';
import { verifyMetrics } from './verify-metrics.ts';

/**
 * One finding per file.
 * @throws CornetError RUN_MISSING
 */
export async function* verifyRun(folder: string): AsyncGenerator<Finding> {
  if (!(await exists(join(folder, runFiles.config)))) {
    throw await noRunIn(
      folder,
      'Give the folder that was the --output-path of a run. A finished inference run leaves nothing to verify.',
    );
  }
  const names = await readdir(folder);
  const { finding, config } = await verifyConfig(folder);
  yield finding;
  const lock = await verifyLock(folder);
  if (lock !== null) yield lock.finding;
  const live = lock?.live ?? false;
  for (const [name, verify] of smallFiles) if (names.includes(name)) yield await verify(folder);
  const known = new Set<string>([...Object.values(runFiles)]);
  if (config !== null && isInference(config)) {
    for (const name of inferenceFiles(config)) known.add(name);
    yield* verifyInference(folder, config, live);
  } else if (config !== null) {
    yield await verifyMetrics(folder, { config, latest: await latestCheckpoint(folder), live });
    yield* verifyCheckpoints(folder, config, live);
  } else {
    const rest = names.filter((name) => name === runFiles.metrics || name === runFiles.checkpoints);
    for (const name of rest)
      yield note(name, `Not looked at: ${runFiles.config} would say what it should be.`);
  }
  for (const name of names) {
    if (known.has(name) || !(await exists(join(folder, name)))) continue;
    yield /^lock\./.test(name) ? leftOver(name, live) : otherFile(name, live);
  }
}

function leftOver(name: string, live: boolean): Finding {
  if (live) return note(name, 'A coordinator looks at the lock, or has died while it took it.');
  return note(name, 'A coordinator died while it took the lock: it can be deleted.');
}

async function verifyConfig(folder: string): Promise<{ finding: Finding; config: AnyConfig | null }> {
  const name = runFiles.config;
  const path = join(folder, name);
  try {
    const parsed = anyConfig.safeParse(await readConfigFile(path));
    if (!parsed.success) {
      throw new CornetError('RUN_DAMAGED', `${quoteName(path)} is not a run's configuration.`);
    }
    const config = parsed.data;
    const { run, version, term, result } = config;
    const what = isInference(config) ? `inference run of CORnet-${result.model}` : `CORnet-${result.model}`;
    return { finding: ok(name, `Run ${run}, ${what}, of cornet-ts ${version}, term ${term}.`), config };
  } catch (error) {
    return { finding: bad(name, error), config: null };
  }
}

async function verifyLock(folder: string): Promise<{ finding: Finding; live: boolean } | null> {
  const { lock } = runFiles;
  const holder = await RunLock.holder(join(folder, lock), hostname());
  if (holder === null) return null;
  if (holder.state !== 'gone') return { finding: ok(lock, holder.sentence), live: true };
  return { finding: note(lock, `${holder.sentence} A resume takes it over.`), live: false };
}

const smallFiles: [string, (folder: string) => Promise<Finding>][] = [
  [runFiles.token, verifyToken],
  [runFiles.redis, verifyRedisNote],
  [runFiles.log, verifyLog],
];

async function verifyToken(folder: string): Promise<Finding> {
  const { token } = runFiles;
  const path = join(folder, token);
  try {
    await readToken(path);
    const { mode } = await stat(path);
    if ((mode & 0o077) === 0) return ok(token, 'Readable by its owner only.');
    return note(token, 'Others than its owner may read it: chmod 600.');
  } catch (error) {
    return bad(token, error);
  }
}

async function verifyRedisNote(folder: string): Promise<Finding> {
  const { redis } = runFiles;
  try {
    const socket = await readRedisNote(folder);
    return socket === null
      ? ok(redis, 'It has just been removed.')
      : ok(redis, `The private Redis listens at ${quoteName(socket)}, or did.`);
  } catch (error) {
    return bad(redis, error);
  }
}

/** Nothing depends on the log. */
async function verifyLog(folder: string): Promise<Finding> {
  const { log } = runFiles;
  let [lines, strange] = [0, 0];
  try {
    for await (const line of createInterface({ input: createReadStream(join(folder, log)) })) {
      lines++;
      if (!isJson(line)) strange++;
    }
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return note(log, 'It is gone.');
    return bad(log, fileError(error, `read ${quoteName(join(folder, log))}`));
  }
  if (strange === 0) return ok(log, `It has ${count(lines, 'line', 'lines')}.`);
  return note(log, `${strange} of ${lines} lines are not JSON, as a crash may leave them.`);
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}
