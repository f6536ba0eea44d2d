/** Which way a run is shown on standard output. */
import { progressEvery } from '../../shared/defaults.ts';
import { JsonDisplay } from './json-display.ts';
import { PlainDisplay } from './plain-display.ts';
import { TerminalDisplay } from './terminal-display.ts';
import type { Viewer } from './watch.ts';

export function chooseViewer(out: NodeJS.WriteStream, env: NodeJS.ProcessEnv, json: boolean): Viewer {
  const write = (text: string) => void out.write(text);
  if (json) return new JsonDisplay(write);
  const now = () => performance.now();
  if (!out.isTTY || env.TERM === 'dumb') return new PlainDisplay({ write, now, every: progressEvery.plain });
  const language = env.LC_ALL || env.LC_CTYPE || env.LANG || '';
  return new TerminalDisplay({
    terminal: out,
    color: !env.NO_COLOR,
    unicode: /utf-?8/i.test(language),
    now,
    every: progressEvery.terminal,
  });
}
