/**
 * `coordinator stop|checkpoint|drain RUN`: tells the coordinator of a run something through the run's Redis, which this
 * user can reach if they could write to the run anyhow, and waits until it is done (`shared/wire/orders.ts`).
 */
import { hostname } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Redis } from 'ioredis';
import { health as healthLimits, longWait, orders, streamLength, timeouts } from '../../shared/defaults.ts';
import { CornetError } from '../../shared/errors.ts';
import { say } from '../../shared/process/say.ts';
import { awaitRedis, connectRedis, isPassing, redactUrl } from '../../shared/redis/redis.ts';
import { type AnyConfig, isInference } from '../../shared/run-config.ts';
import { newId } from '../../shared/util/new-id.ts';
import { oneLine, quoteName } from '../../shared/util/printable.ts';
import { shellWords } from '../../shared/util/shell-words.ts';
import { type Answer, type Order, readAnswer, type Wanted } from '../../shared/wire/orders.ts';
import { names } from '../../shared/wire/protocol.ts';
import { append } from '../../shared/wire/streams.ts';
import { fileNameOf } from '../checkpoints/checkpoint-records.ts';
import { isGone, readSigns, type Sign } from '../conduct/signs.ts';
import { howToContinue, wayOn } from '../options/resume-command.ts';
import { noRunIn } from '../run-folder/no-run.ts';
import { runFiles } from '../run-folder/run-files.ts';
import { RunFolder } from '../run-folder/run-folder.ts';
import { RunLock } from '../run-folder/run-lock.ts';
import { type FolderTraces, tracesOf } from '../run-folder/traces.ts';
import { elapsed } from '../view/format.ts';
import { healthOf } from '../view/health.ts';
import { redisOf } from './run-place.ts';

export interface OrderOptions {
  redis?: string;
  detach: boolean;
}

/** A run that somebody named. */
interface Target {
  run: string;
  redis: string;
  /** Null: it was named by its id. */
  folder: Folder | null;
}

interface Folder {
  path: string;
  config: AnyConfig;
  /** How its lock names the coordinator. */
  holder: string;
}

type Finished = Answer & { state: 'done' };

/** @throws CornetError ORDER_FAILED, ORDER_UNCONFIRMED, RUN_MISSING, RUN_UNKNOWN, and what `connectRedis` throws */
export async function giveOrder(wanted: Wanted, run: string, options: OrderOptions): Promise<void> {
  const target = await targetOf(run, options.redis);
  try {
    await giveTo(target, wanted, options);
  } catch (error) {
    throw target.folder === null ? error : forRun(error, target.folder.path);
  }
}

/** A command in a hint names the run, so that it can be pasted. */
function forRun(error: unknown, folder: string): unknown {
  if (!(error instanceof CornetError)) return error;
  const hint = error.hint.replaceAll('<run>', shellWords([folder]));
  return new CornetError(error.code, error.message, { hint, cause: error });
}

async function giveTo(target: Target, wanted: Wanted, options: OrderOptions): Promise<void> {
  const redis = await connect(target);
  try {
    const sign = await firstSign(target, redis);
    const order: Order = { id: newId(), host: hostname(), ...wanted };
    await send(target, redis, order, sign);
    if (options.detach) return write(`${who(target)} has taken the order.`);
    const done = await untilDone(target, redis, order);
    for (const line of await sentencesOn(wanted, target, done)) write(line);
  } finally {
    redis.disconnect();
  }
}

/** By its folder, or by its id on the Redis given. */
async function targetOf(name: string, given: string | undefined): Promise<Target> {
  if (!(await RunFolder.holdsRun(name))) {
    if (given !== undefined) return { run: name, redis: given, folder: null };
    throw await noRunIn(
      name,
      "Name a run folder (`coordinator list` shows them), or a run's id with --redis.",
    );
  }
  const peek = await RunFolder.peek(name);
  const { config } = peek;
  const traces = await look(name, config);
  if (traces.coordinator === 'gone') throw nobodyThere(name, config, traces);
  const holder = traces.lock!.sentence;
  const redis = redisOf(peek, given);
  if (redis === null) {
    const own = isInference(config) ? undefined : config.options.redis;
    const message = `${who({ run: config.run, folder: { path: name } })} has a Redis that is not known here.`;
    throw new CornetError('ORDER_FAILED', message, {
      hint:
        own === undefined
          ? `Its coordinator is starting or ending, or has the Redis of --redis. ${holder}`
          : `Set CORNET_REDIS_URL to ${own} with its password.`,
    });
  }
  return { run: config.run, redis, folder: { path: name, config, holder } };
}

function look(path: string, config: AnyConfig): Promise<FolderTraces> {
  return tracesOf(path, config, { host: hostname(), now: Date.now(), unheard: null });
}

/** The run, as sentences begin. */
function who({ run, folder }: { run: string; folder: { path: string } | null }): string {
  return folder === null ? `Run ${oneLine(run)}` : `Run ${run} in ${quoteName(folder.path)}`;
}

function nobodyThere(path: string, config: AnyConfig, traces: FolderTraces): CornetError {
  const { word, reasons } = healthOf(null, 0, traces);
  const message = `${who({ run: config.run, folder: { path } })} has no coordinator at work: ${word}, ${reasons.join('; ')}.`;
  const hint =
    word === 'COMPLETE'
      ? 'Nothing is left to do.'
      : isInference(config)
        ? 'Continue it with the command that started it.'
        : wayOn(path, config, traces.ended);
  return new CornetError('ORDER_FAILED', message, { hint });
}

async function connect({ redis: url, folder }: Target): Promise<Redis> {
  try {
    return await awaitRedis(orders.patience, () =>
      connectRedis(url, { name: 'cornet-order', bytesNeeded: 0 }),
    );
  } catch (error) {
    if (!(error instanceof CornetError) || error.code !== 'REDIS_UNREACHABLE') throw error;
    const where = folder === null ? '' : ` ${folder.holder}`;
    throw new CornetError('REDIS_UNREACHABLE', `${error.message} The order was not given.${where}`, {
      hint: 'Give it again when that Redis answers. A private Redis can be reached only on the host of its coordinator; there SIGTERM also stops the run.',
      cause: error,
    });
  }
}

/** What the coordinator has said lately. One that is silent is told nothing: it might obey long after. */
async function firstSign(target: Target, redis: Redis): Promise<Sign> {
  const { run, folder } = target;
  const begun = performance.now();
  for (let sign: Sign | null = null; ; await sleep(orders.look)) {
    const waited = performance.now() - begun;
    sign = (await withinBeat(readSigns(redis, run)))?.[0] ?? sign;
    if (folder === null && sign !== null && isGone(sign.view.coordinator)) {
      throw new CornetError('ORDER_FAILED', `${who(target)} has no coordinator at work: it was killed.`);
    }
    if (sign !== null && sign.age <= timeouts.member / 1000) return sign;
    if (folder === null && sign === null && waited > 2 * timeouts.beat) throw await unknown(target, redis);
    if (folder !== null) await refuseIfOver(folder);
    if (waited > orders.patience) throw silent(target, sign, waited);
  }
}

async function unknown({ run, redis: url }: Target, redis: Redis): Promise<CornetError> {
  const others = (await withinBeat(readSigns(redis, null))) ?? [];
  const known = others.map(({ view }) => oneLine(view.run)).join(', ');
  const message = `There is no run folder ${quoteName(run)}, and no active run of that id on the Redis at ${redactUrl(url)}.`;
  return new CornetError('RUN_UNKNOWN', message, {
    hint: known === '' ? 'No run is active there.' : `Active there: ${known}.`,
  });
}

async function refuseIfOver({ path, config }: Folder): Promise<void> {
  const traces = await look(path, config);
  if (traces.coordinator === 'gone') throw nobodyThere(path, config, traces);
}

function silent(target: Target, sign: Sign | null, waited: number): CornetError {
  const { host, pid } = sign?.view.coordinator ?? { host: '', pid: 0 };
  const process = sign === null ? '' : ` (process ${pid} on host ${oneLine(host)})`;
  const seconds = Math.max(sign?.age ?? 0, waited / 1000);
  const message = `The coordinator of run ${target.run}${process} has given no sign for ${elapsed(seconds)}: the order was not given.`;
  return new CornetError('ORDER_UNCONFIRMED', message, {
    hint: 'Look with `coordinator status <run>`: it may be starting, or stuck. A run that is stuck can be killed and resumed: its last checkpoint is intact.',
  });
}

/** Gives the order, and waits until the coordinator has taken it. */
async function send({ run, redis: url }: Target, redis: Redis, order: Order, { view }: Sign): Promise<void> {
  const begun = performance.now();
  const given = append(redis, names.up(run), streamLength.up, { order });
  given.catch(() => undefined); // it is looked at below
  while (performance.now() - begun < orders.patience) {
    const answer = await withinBeat(readOrderAnswer(redis, order));
    if (answer?.state === 'failed') throw CornetError.fromJSON(answer.error);
    if ((answer ?? null) !== null) return;
    await sleep(orders.look);
  }
  const withdrawn = await withinBeat(withdraw(redis, order));
  if (withdrawn === false) return; // it was taken at the last moment
  const { host, pid } = view.coordinator;
  if (withdrawn === true) {
    const entry = await withinBeat(given);
    if (typeof entry === 'string') await withinBeat(redis.xdel(names.up(run), entry));
    throw new CornetError(
      'ORDER_UNCONFIRMED',
      `The coordinator of run ${run} (process ${pid} on host ${oneLine(host)}) has not taken the order within ${elapsed(orders.patience / 1000)}: it is withdrawn.`,
    );
  }
  const message = `The Redis at ${redactUrl(url)} does not answer: whether the coordinator of run ${run} has taken the order is not known.`;
  throw new CornetError('ORDER_UNCONFIRMED', message);
}

async function readOrderAnswer(redis: Redis, { id }: Order): Promise<Answer | null> {
  return readAnswer(await redis.get(names.answer(id)));
}

/** False: the coordinator was faster. */
async function withdraw(redis: Redis, { id }: Order): Promise<boolean> {
  const withdrawn = JSON.stringify({ state: 'withdrawn' } satisfies Answer);
  if ((await redis.set(names.answer(id), withdrawn, 'PX', orders.timeToLive, 'NX')) === 'OK') return true;
  return readAnswer(await redis.get(names.answer(id)))?.state === 'withdrawn'; // sent twice, after an outage
}

/** Redis may be away, or say "not now": `undefined` then. */
async function withinBeat<T>(asked: Promise<T>): Promise<T | undefined> {
  const late = new AbortController();
  const patience = sleep(timeouts.beat, undefined, { signal: late.signal }).catch(() => undefined);
  try {
    return await Promise.race([asked, patience]);
  } catch (error) {
    if (error instanceof Error && isPassing(error)) return undefined;
    throw error;
  } finally {
    late.abort();
  }
}

/** Waits as long as the coordinator is there; null: it has ended, and its folder says how. */
async function untilDone(target: Target, redis: Redis, order: Order): Promise<Finished | null> {
  const { run, folder } = target;
  let heardAt = performance.now();
  let saidAt = performance.now();
  let pause = longWait;
  for (let sign: Sign | null = null; ; await sleep(orders.look)) {
    const answer = await withinBeat(readOrderAnswer(redis, order));
    const over = answer?.state === 'done' || answer?.state === 'failed';
    // Its coordinator ends a moment later, which a run folder tells.
    const ending = order.type === 'stop' && answer?.state === 'done';
    if (over && !(ending && folder !== null)) {
      await withinBeat(redis.del(names.answer(order.id)));
      if (answer.state === 'failed') throw CornetError.fromJSON(answer.error);
      if (ending) await untilForgotten(redis, run);
      return answer;
    }
    if (folder !== null && (await hasEnded(folder))) return null;
    sign = (await withinBeat(readSigns(redis, run)))?.[0] ?? sign;
    const now = performance.now();
    if (ending || (sign !== null && sign.age < timeouts.member / 1000)) heardAt = now;
    if (now - heardAt > 1000 * healthLimits.redisStuck) throw unheard(target, now - heardAt);
    if (now - saidAt > pause && sign !== null) {
      saidAt = now;
      pause *= 2;
      say(`Waiting for run ${run}: ${oneLine(sign.view.sentence)}`);
    }
  }
}

/** The coordinator that was there is gone; another one may have come. */
async function hasEnded({ path, holder }: Folder): Promise<boolean> {
  const now = await RunLock.holder(join(path, runFiles.lock), hostname());
  return now === null || now.state === 'gone' || now.sentence !== holder;
}

/** At the end a coordinator deletes the run's keys. */
async function untilForgotten(redis: Redis, run: string): Promise<void> {
  const begun = performance.now();
  while (performance.now() - begun < orders.patience) {
    if ((await withinBeat(redis.exists(names.status(run)))) === 0) return;
    await sleep(orders.look);
  }
}

function unheard(target: Target, milliseconds: number): CornetError {
  const message = `The coordinator of run ${target.run} has taken the order, and nothing was heard of it for ${elapsed(milliseconds / 1000)}, or its Redis does not answer.`;
  return new CornetError('ORDER_UNCONFIRMED', message, {
    hint: 'Look with `coordinator status <run>`: it will do what it was told as soon as it can.',
  });
}

/** What has come of it. */
async function sentencesOn(wanted: Wanted, target: Target, done: Finished | null): Promise<string[]> {
  const { folder } = target;
  if (done !== null && wanted.type === 'drain') return [`Worker ${done.worker} has left ${lower(target)}.`];
  if (done !== null && wanted.type === 'checkpoint') {
    return [`${who(target)} has written ${fileOf(target, done.step)} (step ${done.step}).`];
  }
  if (folder === null) {
    const last = (done?.step ?? null) === null ? '' : ` Last checkpoint: ${fileNameOf(done!.step!)}.`;
    return [`${who(target)} has stopped.${last}`];
  }
  return howItEnded(wanted, target, folder);
}

async function howItEnded(wanted: Wanted, target: Target, folder: Folder): Promise<string[]> {
  const { path, config } = folder;
  // An inference run that is complete has no folder any more.
  if (!(await RunFolder.holdsRun(path))) return [`${who(target)} was complete before it stopped.`];
  const traces = await look(path, config);
  const { ended, checkpoint, steps } = traces;
  if (ended !== 'complete' && ended !== 'interrupted') throw nobodyThere(path, config, traces);
  const how = ended === 'complete' ? 'was complete before it stopped' : 'has stopped';
  const step = checkpoint?.step ?? null;
  const last = step === null ? '' : ` Last checkpoint: ${fileOf(target, step)} (step ${step} of ${steps}).`;
  const drained = wanted.type === 'drain' ? ' Its workers have left.' : '';
  const first = `${who(target)} ${how}.${last}${drained}`;
  if (ended === 'complete') return [first];
  if (isInference(config)) return [first, 'Continue it with the command that started it.'];
  return [first, howToContinue(path, config)];
}

function lower(target: Target): string {
  return who(target).replace(/^R/, 'r');
}

function fileOf({ folder }: Target, step: number | null): string {
  if (step === null) return 'no file';
  if (folder === null) return fileNameOf(step);
  return quoteName(join(folder.path, runFiles.checkpoints, fileNameOf(step)));
}

function write(line: string): void {
  process.stdout.write(`${oneLine(line)}\n`);
}
