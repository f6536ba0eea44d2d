/** `coordinator list`: the runs in some folders, and those that are active on a Redis, one line each. */
import { hostname } from 'node:os';
import { filesAtOnce, listedTail } from '../../shared/defaults.ts';
import { CornetError, describeError } from '../../shared/errors.ts';
import { say } from '../../shared/process/say.ts';
import { awaitRedis, connectRedis } from '../../shared/redis/redis.ts';
import { type AnyConfig, isInference, labelsOf } from '../../shared/run-config.ts';
import { mapBounded } from '../../shared/util/bounded.ts';
import { printableJson, quoteName } from '../../shared/util/printable.ts';
import { readSigns, type Sign } from '../conduct/signs.ts';
import { exists } from '../disk/durable-file.ts';
import { type FoundRun, findRuns } from '../run-folder/find-runs.ts';
import { RunFolder } from '../run-folder/run-folder.ts';
import { type FolderTraces, tracesOf } from '../run-folder/traces.ts';
import { healthOf, type Unheard } from '../view/health.ts';
import { type ListedRun, listTable } from './list-table.ts';
import { redisOf } from './run-place.ts';

export interface ListOptions {
  redis?: string;
  json: boolean;
}

/** A folder, as far as it can be read. */
type Seen =
  | { path: string; config: AnyConfig; traces: FolderTraces; redis: string | null }
  | { path: string; trouble: string };

/** What was heard on one Redis; null: it does not answer. */
type Heard = Map<string, Sign[] | null>;

/** @throws CornetError RUN_MISSING for a folder that does not exist */
export async function listRuns(folders: readonly string[], { redis, json }: ListOptions): Promise<void> {
  const now = Date.now();
  const places = folders.length > 0 ? folders : [(await exists('runs')) ? 'runs' : '.'];
  for (const folder of places) {
    if (await exists(folder)) continue;
    const hint = 'Name folders that hold runs, or run folders.';
    throw new CornetError('RUN_MISSING', `There is no folder ${quoteName(folder)}.`, { hint });
  }
  const found = (await Promise.all(places.map(findRuns))).flat();
  const seen = await mapBounded(found, filesAtOnce, (run) => look(run, redis, now));
  const heard = await listen(seen, redis);
  const runs = seen.map((one) => listed(one, heard, now));
  const known = new Set(runs.map(({ run }) => run));
  for (const sign of (redis === undefined ? null : heard.get(redis)) ?? []) {
    if (!known.has(sign.view.run)) runs.push(listedByItself(sign, now));
  }
  runs.sort((a, b) => (b.wrote ?? 0) - (a.wrote ?? 0));
  if (json) return write(printableJson(JSON.stringify(runs.map(asJson))));
  if (runs.length === 0) return write(`No runs in ${places.map(told).join(', ')}.`);
  const { isTTY, columns } = process.stdout;
  const language = process.env.LC_ALL || process.env.LC_CTYPE || process.env.LANG || '';
  const canvas = {
    columns: isTTY ? columns : Number.POSITIVE_INFINITY,
    unicode: /utf-?8/i.test(language),
  };
  for (const line of listTable(runs, canvas, now)) write(line);
}

function told(folder: string): string {
  return folder === '.' ? 'the current folder' : quoteName(folder);
}

async function look({ path, trouble }: FoundRun, given: string | undefined, now: number): Promise<Seen> {
  if (trouble !== null) return { path, trouble };
  try {
    const peek = await RunFolder.peek(path);
    const about = { host: hostname(), now, unheard: null, bytes: listedTail };
    const traces = await tracesOf(path, peek.config, about);
    const redis = traces.coordinator === 'gone' ? null : redisOf(peek, given);
    return { path, config: peek.config, traces, redis };
  } catch (error) {
    return { path, trouble: describeError(error).message.split('\n')[0]! };
  }
}

/** Asks each Redis once: the one given, and those of runs that are active. */
async function listen(seen: readonly Seen[], given: string | undefined): Promise<Heard> {
  const active = seen.flatMap((one) => ('redis' in one && one.redis !== null ? [one.redis] : []));
  const urls = [...new Set([...active, ...(given === undefined ? [] : [given])])];
  const heard = await mapBounded(urls, filesAtOnce, async (url): Promise<[string, Sign[] | null]> => {
    try {
      return [url, await signsOn(url)];
    } catch (error) {
      if (url === given) say(`warning: ${describeError(error).message}`);
      return [url, null];
    }
  });
  return new Map(heard);
}

async function signsOn(url: string): Promise<Sign[]> {
  const connect = () => connectRedis(url, { name: 'cornet-list', bytesNeeded: 0 });
  const redis = await awaitRedis(0, connect);
  try {
    return await readSigns(redis, null);
  } finally {
    redis.disconnect();
  }
}

function listed(one: Seen, heard: Heard, now: number): ListedRun {
  if ('trouble' in one) return { ...nothing, folder: one.path, trouble: one.trouble };
  const { path, config, redis } = one;
  const signs = redis === null ? null : (heard.get(redis) ?? null);
  const unheard: Unheard = redis === null ? 'no-redis' : signs === null ? 'no-answer' : null;
  const traces = { ...one.traces, unheard };
  const { view, age } = signs?.find((sign) => sign.view.run === config.run) ?? { view: null, age: 0 };
  const { word, reasons } = healthOf(view, age, traces);
  const inference = isInference(config);
  return {
    folder: path,
    run: config.run,
    ...labelsOf(config),
    model: `CORnet-${config.result.model}`,
    task: isInference(config) ? config.result.task.type : 'training',
    state: word,
    reasons,
    step: inference ? null : (view?.step ?? traces.step),
    steps: inference ? null : traces.steps,
    images: view?.images ?? null,
    best: view?.best ?? traces.best,
    kept: view?.kept ?? traces.kept,
    wrote: now - 1000 * (view === null ? traces.quiet : Math.min(age, traces.quiet)),
    page: view?.phase === 'finished' ? null : (view?.page ?? null),
    trouble: null,
  };
}

/** Of a run whose folder is not here. */
function listedByItself({ view, age }: Sign, now: number): ListedRun {
  const { word, reasons } = healthOf(view, age, null);
  const training = view.steps > 0;
  return {
    folder: null,
    run: view.run,
    name: view.name ?? null,
    note: null,
    model: view.model,
    task: training ? 'training' : null,
    state: word,
    reasons,
    step: training ? view.step : null,
    steps: training ? view.steps : null,
    images: view.images,
    best: view.best ?? null,
    kept: view.kept ?? [],
    wrote: now - 1000 * age,
    page: view.page ?? null,
    trouble: null,
  };
}

const nothing: ListedRun = {
  folder: null,
  run: null,
  name: null,
  note: null,
  model: null,
  task: null,
  state: 'UNREADABLE',
  reasons: [],
  step: null,
  steps: null,
  images: null,
  best: null,
  kept: [],
  wrote: null,
  page: null,
  trouble: null,
};

function asJson({ wrote, trouble, reasons, ...run }: ListedRun): unknown {
  const at = wrote === null ? null : new Date(wrote).toISOString();
  return { ...run, reasons: trouble === null ? reasons : [trouble], wrote: at };
}

function write(line: string): void {
  process.stdout.write(`${line}\n`);
}
