/** `coordinator status --watch`: a run that another process conducts, shown until it ends. */
import { setTimeout as sleep } from 'node:timers/promises';
import { timeouts } from '../../shared/defaults.ts';
import { lineInterval } from '../../shared/process/line-interval.ts';
import { connectRedis } from '../../shared/redis/redis.ts';
import { oneLine, printableJson } from '../../shared/util/printable.ts';
import { readSigns, type Sign } from '../conduct/signs.ts';
import { healthOf } from '../view/health.ts';
import { chooseViewer } from './choose-viewer.ts';
import { progressLine, withHealth } from './plain-viewer.ts';
import { TerminalViewer } from './terminal-viewer.ts';

export interface FollowOptions {
  redis: string;
  /** What is known of it already. */
  first: Sign;
  json: boolean;
}

/** Returns when the run has ended, or when nothing was heard of its coordinator for the member timeout. */
export async function followRun({ redis: url, first, json }: FollowOptions): Promise<void> {
  const redis = await connectRedis(url, { name: 'cornet-status', bytesNeeded: 0 });
  const show = shower(json);
  try {
    let heardAt = performance.now();
    for (let sign = first; ; ) {
      show.update(sign);
      await sleep(timeouts.beat);
      const silent = sleep(timeouts.member, null, { ref: false });
      const signs = await Promise.race([readSigns(redis, first.view.run), silent]);
      const next = signs?.[0];
      if (next === undefined) return;
      if (next.view.at !== sign.view.at) heardAt = performance.now();
      else if (performance.now() - heardAt > timeouts.member) return;
      sign = next;
    }
  } finally {
    show.end();
    redis.disconnect();
  }
}

/** In place on a terminal, as JSON for machines, else a line now and then. */
function shower(json: boolean): { update: (sign: Sign) => void; end: () => void } {
  const { stdout } = process;
  const viewer = json ? null : chooseViewer(stdout, process.env, false);
  if (viewer instanceof TerminalViewer) {
    return { update: ({ view }) => viewer.tick(() => view), end: () => viewer.end() };
  }
  if (json)
    return {
      update: (sign) => void stdout.write(printableJson(`${JSON.stringify(asJson(sign))}\n`)),
      end: () => undefined,
    };
  const began = performance.now();
  let shown = Number.NEGATIVE_INFINITY;
  return {
    update: ({ view }) => {
      if (performance.now() - shown < lineInterval(performance.now() - began)) return;
      shown = performance.now();
      stdout.write(`${oneLine(`${progressLine(view)}  ${withHealth(view)}`)}\n`);
    },
    end: () => undefined,
  };
}

/** A run for machines, as it was seen. */
export function asJson({ view, age }: Sign, health = healthOf(view, age, null)): unknown {
  return { ...view, age, health };
}
