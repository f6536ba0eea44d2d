/** `coordinator status`: whether a run is healthy, what it is doing, what it waits for and since when. */
import { hostname } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { progressEvery, timeouts } from '../../shared/defaults.ts';
import { CornetError } from '../../shared/errors.ts';
import { connectRedis, redactUrl } from '../../shared/redis/redis.ts';
import { type AnyConfig, isInference, labelsOf } from '../../shared/run-config.ts';
import { oneLine, printableJson } from '../../shared/util/printable.ts';
import { isGone, readSigns, type Sign } from '../conduct/signs.ts';
import { wayOn } from '../options/resume-command.ts';
import { RunFolder } from '../run-folder/run-folder.ts';
import { type FolderTraces, tracesOf } from '../run-folder/traces.ts';
import { exchangeWords } from '../view/exchange-words.ts';
import { duration, elapsed, epochList } from '../view/format.ts';
import {
  type Health,
  type HealthWord,
  healthExitCodes,
  healthOf,
  type Traces,
  type Unheard,
} from '../view/health.ts';
import type { KeptView, RunView } from '../view/run-view.ts';
import { workerLines } from '../view/worker-lines.ts';
import { asJson, followRun } from '../watch/follow-run.ts';
import { redisOf } from './run-place.ts';

export interface StatusOptions {
  outputPath?: string;
  redis?: string;
  run?: string;
  /** Again and again, until the run ends. */
  watch: boolean;
  json: boolean;
}

/** Where a run is to be looked for. */
interface Place {
  redis: string | null;
  /** Null: whatever is alive there. */
  run: string | null;
  folder: { path: string; config: AnyConfig } | null;
}

/** What was found of one run. */
interface Found {
  sign: Sign | null;
  traces: FolderTraces | null;
  health: Health;
}

/** @returns the exit code: that of the word, of several runs the worst one's */
export async function printStatus(options: StatusOptions): Promise<number> {
  const place = await placeOf(options);
  const found = await lookFor(place);
  const [first] = found;
  const sign = first?.sign ?? null;
  if (!options.watch || (sign === null && isOver(first!))) return printAll(found, place, options);
  if (found.length > 1) {
    const runs = found.map((one) => one.sign!.view.run).join(', ');
    throw new CornetError('OPTION_INVALID', `Several runs are active there: ${runs}. Choose one with --run.`);
  }
  const run = sign?.view.run ?? place.run;
  return printAll([await watchToItsEnd(sign, run, options)], place, options);
}

/** Shows a run, through outages of its Redis as well, until no coordinator is at work on it. */
async function watchToItsEnd(first: Sign | null, run: string | null, options: StatusOptions): Promise<Found> {
  const { json } = options;
  let sign = first;
  let shownAt = Number.NEGATIVE_INFINITY;
  for (;;) {
    // A resume has another private Redis.
    const place = { ...(await placeOf(options)), run };
    if (sign !== null) await followRun({ redis: place.redis!, first: sign, json });
    const found: Found = (await lookFor(place))[0]!;
    if (isOver(found)) return found;
    sign = found.sign;
    if (sign !== null) continue;
    if (json || performance.now() - shownAt >= progressEvery.plain) {
      shownAt = performance.now();
      process.stdout.write(`${json ? objectLine(found, place) : oneLine(firstLine(found))}\n`);
    }
    await sleep(timeouts.beat);
  }
}

async function placeOf({ outputPath, redis, run }: StatusOptions): Promise<Place> {
  if (outputPath === undefined) {
    if (redis !== undefined) return { redis, run: run ?? null, folder: null };
    throw new CornetError('OPTION_INVALID', 'No run is named.', {
      hint: 'Name its folder, as in `coordinator status runs/s`, or a Redis with --redis (and --run).',
    });
  }
  const peek = await RunFolder.peek(outputPath);
  const { config } = peek;
  return { redis: redisOf(peek, redis), run: config.run, folder: { path: outputPath, config } };
}

async function lookFor(place: Place): Promise<Found[]> {
  const { signs, unheard } = await listen(place);
  if (place.folder === null) {
    if (signs.length === 0) return [{ sign: null, traces: null, health: healthOf(null, 0, null) }];
    return signs.map((sign) => ({
      sign,
      traces: null,
      health: healthOf(sign.view, sign.age, deadTraces(sign)),
    }));
  }
  const { path, config } = place.folder;
  const traces = await tracesOf(path, config, { host: hostname(), now: Date.now(), unheard });
  const sign = signs[0] ?? null;
  return [{ sign, traces, health: healthOf(sign?.view ?? null, sign?.age ?? 0, traces) }];
}

/** What the coordinators at a place say, and why nothing can be heard there. */
async function listen({ redis: url, run, folder }: Place): Promise<{ signs: Sign[]; unheard: Unheard }> {
  if (url === null) return { signs: [], unheard: 'no-redis' };
  try {
    const redis = await connectRedis(url, { name: 'cornet-status', bytesNeeded: 0 });
    try {
      return { signs: await readSigns(redis, run), unheard: null };
    } finally {
      redis.disconnect();
    }
  } catch (error) {
    // A run folder says enough: its private Redis may be left over by a coordinator that was killed. A wrong password
    // says nothing of the run.
    if (folder === null || isOfUrl(error)) throw error;
    return { signs: [], unheard: 'no-answer' };
  }
}

/** The address that was given is not right, rather than that nobody answers there. */
function isOfUrl(error: unknown): boolean {
  return (
    error instanceof CornetError && (error.code === 'REDIS_REFUSED' || error.code === 'REDIS_URL_INVALID')
  );
}

/** Without its folder: of a coordinator on this machine it can be seen that it is gone. */
function deadTraces({ view, age }: Sign): Traces | null {
  if (!isGone(view.coordinator)) return null;
  const { step, steps, checkpoint, best, kept, validation } = view;
  const known = { step, steps, checkpoint, best, kept, validation };
  return { ...known, coordinator: 'gone', starting: false, ended: null, quiet: age, unheard: null };
}

const severity: HealthWord[] = ['OK', 'COMPLETE', 'SLOW', 'STOPPED', 'STUCK'];

function printAll(found: Found[], place: Place, { json }: StatusOptions): number {
  const write = (text: string) => void process.stdout.write(text);
  for (const one of found) {
    if (json) write(`${objectLine(one, place)}\n`);
    else for (const line of [...asText(one, place), ...noteOf(place)]) write(`${oneLine(line)}\n`);
  }
  const words = found.map(({ health }) => health.word);
  const worst = words.reduce((a, b) => (severity.indexOf(b) > severity.indexOf(a) ? b : a));
  return healthExitCodes[worst];
}

function isOver({ health: { word } }: Found): boolean {
  return word === 'STOPPED' || word === 'COMPLETE';
}

function objectLine(found: Found, place: Place): string {
  return printableJson(JSON.stringify(objectOf(found, place)));
}

function firstLine({ health: { word, reasons } }: Found): string {
  return `${word}  ${reasons.join('; ')}`;
}

function objectOf({ sign, traces, health }: Found, { run, folder }: Place): unknown {
  if (sign !== null) return asJson(sign, health);
  const model = folder === null ? null : `CORnet-${folder.config.result.model}`;
  const labels = folder === null ? {} : labelsOf(folder.config);
  const { step, steps, checkpoint, best, kept, validation } = traces ?? {};
  const known = traces === null ? {} : { step, steps, checkpoint, best, kept, validation };
  return { run, ...labels, model, ...known, health };
}

function asText(found: Found, place: Place): string[] {
  const { sign } = found;
  const first = firstLine(found);
  if (isOver(found) || sign === null) {
    // The way on comes last.
    return [first, ...absence(found, place).toSpliced(1, 0, ...keptLines(found.traces?.kept))];
  }
  const { view } = sign;
  const speed = view.imagesPerSecond === null ? '' : `, ${view.imagesPerSecond.toFixed(1)} images/s`;
  const loss = view.loss === null ? '' : `, loss ${view.loss.toFixed(4)}`;
  const left = (view.secondsLeft ?? null) === null ? '' : `, ${duration(view.secondsLeft!)} left`;
  const where = view.images === null ? `step ${view.step} of ${view.steps}` : `${view.images} images done`;
  return [
    first,
    `Run ${view.run} (${view.model})${called(view.name)}, ${where}${loss}${speed}${left}.`,
    sign.age > timeouts.member / 1000 ? `${view.sentence} (${elapsed(sign.age)} ago)` : view.sentence,
    ...workerLines(view.workers),
    ...exchangeLines(view.exchange),
    ...keptLines(view.kept),
  ];
}

/** @param kept undefined: a coordinator of an earlier version, which does not say it */
function keptLines(kept: readonly KeptView[] | undefined): string[] {
  if (kept === undefined || kept.length === 0) return [];
  return [`Kept checkpoints: epochs ${epochList(kept.map(({ epoch }) => epoch))}.`];
}

/** @param exchange undefined: the coordinator is of an earlier version */
function exchangeLines(exchange: RunView['exchange'] | undefined): string[] {
  const words = exchange === undefined ? null : exchangeWords(exchange);
  return words === null ? [] : [words];
}

function noteOf({ folder }: Place): string[] {
  const note = folder === null ? null : labelsOf(folder.config).note;
  return note === null ? [] : [`Note: ${note}`];
}

/** What the user calls a run, behind its id. */
function called(name: string | null | undefined): string {
  return (name ?? null) === null ? '' : ` "${name}"`;
}

/** Nobody makes progress, or nobody can be asked: what is left of the run, and how to go on. */
function absence({ sign, traces, health }: Found, { redis, run, folder }: Place): string[] {
  if (folder === null || traces === null) {
    const which = sign?.view.run ?? run;
    const who = which === null ? 'No run' : `Run ${which}, or its coordinator,`;
    return [`${who} ${which === null ? 'is alive' : 'is not alive'} on the Redis at ${redactUrl(redis!)}.`];
  }
  const { config, path } = folder;
  const { lock, coordinator, ended, step, steps } = traces;
  const name = `Run ${config.run} (CORnet-${config.result.model})${called(labelsOf(config).name)}`;
  const progress = isInference(config) ? '' : `; its metrics end at step ${step} of ${steps}`;
  if (coordinator === 'unknown') return [`${name}${progress}.`, lock!.sentence, lock!.hint!];
  const isEnding = coordinator === 'running' && ended !== null;
  if (coordinator === 'running' && !isEnding) return [`${name}${progress}.`, lock!.sentence];
  const who = isEnding ? 'its coordinator is ending' : `no coordinator is running on ${hostname()}`;
  const nobody = `${name}: ${who}${progress}.`;
  if (isInference(config)) return [`${nobody} Continue it with the command that started it.`];
  if (health.word === 'COMPLETE') return [nobody];
  return [nobody, wayOn(path, config, ended)];
}
