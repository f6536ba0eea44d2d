/** `coordinator status`: one sentence on what a run is doing, what it waits for and since when. */
import { hostname } from 'node:os';
import { CornetError } from '../../shared/errors.ts';
import { connectRedis, redactUrl, socketUrl } from '../../shared/redis/redis.ts';
import { anyConfig, isInference, totalSteps } from '../../shared/run-config.ts';
import { oneLine, printableJson } from '../../shared/util/printable.ts';
import { names, parseJson } from '../../shared/wire/protocol.ts';
import { howToContinue } from '../options/resume-command.ts';
import { lastStep } from '../run-folder/metrics-file.ts';
import { RunFolder } from '../run-folder/run-folder.ts';
import type { RunView } from '../view/run-view.ts';
import { isView } from '../view/run-view.ts';
import { followRun } from '../watch/follow-run.ts';

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
}

export async function printStatus(options: StatusOptions): Promise<void> {
  const place = await placeOf(options);
  const print = options.json ? printJson : printText;
  const statuses = await readStatuses(place);
  if (statuses.length === 0) return options.json ? undefined : printAbsence(options);
  if (!options.watch) return statuses.forEach(print);
  const [first, ...others] = statuses;
  if (others.length > 0) {
    const runs = statuses.map(({ run }) => run).join(', ');
    throw new CornetError('OPTION_INVALID', `Several runs are active there: ${runs}. Choose one with --run.`);
  }
  await followRun({ redis: place.redis!, first: first!, json: options.json });
  if (!options.json) await printAbsence(options);
}

async function placeOf({ outputPath, redis, run }: StatusOptions): Promise<Place> {
  if (outputPath === undefined) {
    if (redis !== undefined) return { redis, run: run ?? null };
    throw new CornetError('OPTION_INVALID', 'Specify a run with --output-path or --redis.');
  }
  const peek = await RunFolder.peek(outputPath);
  const socket = peek.redisSocket === null ? null : socketUrl(peek.redisSocket);
  return { redis: redis ?? socket, run: anyConfig.parse(peek.config).run };
}

/** No coordinator is at work: what is left of the run. */
async function printAbsence({ outputPath, redis, run }: StatusOptions): Promise<void> {
  if (outputPath === undefined) {
    const which = run === undefined ? 'No run' : `Run ${run}, or its coordinator,`;
    const not = run === undefined ? 'is alive' : 'is not alive';
    return void process.stdout.write(`${which} ${not} on the Redis at ${redactUrl(redis!)}.\n`);
  }
  const peek = await RunFolder.peek(outputPath);
  const config = anyConfig.parse(peek.config);
  const nobody = `Run ${config.run} (CORnet-${config.result.model}): no coordinator is running on ${hostname()}`;
  if (isInference(config)) {
    return void process.stdout.write(`${nobody}. Continue it with the command that started it.\n`);
  }
  const last = await lastStep(peek.metricsPath);
  process.stdout.write(
    `${nobody}; its metrics end at step ${last} of ${totalSteps(config)}.\n` +
      (last < totalSteps(config) ? `${howToContinue(outputPath, config)}\n` : ''),
  );
}

/** What the coordinators at a place wrote at their last heartbeat; nothing where a run folder's Redis is gone. */
async function readStatuses({ redis: url, run }: Place): Promise<RunView[]> {
  if (url === null) return [];
  const redis = await connectRedis(url, { name: 'cornet-status', bytesNeeded: 0 }).catch((error) => {
    if (url.startsWith('unix:') && run !== null) return null; // left over by a coordinator that was killed
    throw error;
  });
  if (redis === null) return [];
  try {
    const runs = run === null ? (await redis.smembers(names.runs)).sort() : [run];
    const texts = await Promise.all(runs.map((id) => redis.get(names.status(id))));
    return texts.map((text) => parseJson(text ?? '')).filter(isView);
  } finally {
    redis.disconnect();
  }
}

function printJson(view: RunView): void {
  process.stdout.write(printableJson(`${JSON.stringify(view)}\n`));
}

function printText(view: RunView): void {
  const speed = view.imagesPerSecond === null ? '' : `, ${view.imagesPerSecond.toFixed(1)} images/s`;
  const loss = view.loss === null ? '' : `, loss ${view.loss.toFixed(4)}`;
  const where = view.images === null ? `step ${view.step} of ${view.steps}` : `${view.images} images done`;
  process.stdout.write(`Run ${oneLine(view.run)}, ${where}${loss}${speed}.\n${oneLine(view.sentence)}\n`);
  for (const { id, status: state, lanes, host, pid } of view.workers) {
    const line = `  ${id}  ${state}  lanes ${lanes.join(', ') || '-'}  process ${pid} on ${host}`;
    process.stdout.write(`${oneLine(line)}\n`);
  }
}
