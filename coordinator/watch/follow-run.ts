/** `coordinator status --watch`: a run that another process conducts, shown until it ends. */
import { setTimeout as sleep } from 'node:timers/promises';
import { timeouts } from '../../shared/defaults.ts';
import { lineInterval } from '../../shared/process/line-interval.ts';
import { connectRedis } from '../../shared/redis/redis.ts';
import { oneLine, printableJson } from '../../shared/util/printable.ts';
import { names } from '../../shared/wire/protocol.ts';
import type { RunView } from '../view/run-view.ts';
import { chooseViewer } from './choose-viewer.ts';
import { progressLine } from './plain-viewer.ts';
import { TerminalViewer } from './terminal-viewer.ts';

export interface FollowOptions {
  redis: string;
  /** What is known of it already. */
  first: RunView;
  json: boolean;
}

/** Returns when the run has ended, or when nothing was heard of its coordinator for the member timeout. */
export async function followRun({ redis: url, first, json }: FollowOptions): Promise<void> {
  const redis = await connectRedis(url, { name: 'cornet-status', bytesNeeded: 0 });
  const show = shower(json);
  try {
    let heardAt = performance.now();
    for (let view = first; ; ) {
      show.update(view);
      await sleep(timeouts.beat);
      const silent = sleep(timeouts.member, null, { ref: false });
      const text = await Promise.race([redis.get(names.status(first.run)), silent]);
      if (text === null) return;
      const next = JSON.parse(text) as RunView;
      if (next.at !== view.at) heardAt = performance.now();
      else if (performance.now() - heardAt > timeouts.member) return;
      view = next;
    }
  } finally {
    show.end();
    redis.disconnect();
  }
}

/** In place on a terminal, as JSON for machines, else a line now and then. */
function shower(json: boolean): { update: (view: RunView) => void; end: () => void } {
  const { stdout } = process;
  const viewer = json ? null : chooseViewer(stdout, process.env, false);
  if (viewer instanceof TerminalViewer) {
    return { update: (view) => viewer.tick(() => view), end: () => viewer.end() };
  }
  if (json)
    return {
      update: (view) => void stdout.write(printableJson(`${JSON.stringify(view)}\n`)),
      end: () => undefined,
    };
  const began = performance.now();
  let shown = Number.NEGATIVE_INFINITY;
  return {
    update: (view) => {
      if (performance.now() - shown < lineInterval(performance.now() - began)) return;
      shown = performance.now();
      stdout.write(`${progressLine(view)}  ${oneLine(view.sentence)}\n`);
    },
    end: () => undefined,
  };
}
