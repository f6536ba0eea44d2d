/** Which way a run is shown on standard output. */
import { progressEvery } from '../../shared/defaults.ts';
import { JsonViewer } from './json-viewer.ts';
import { PlainViewer } from './plain-viewer.ts';
import { TerminalViewer } from './terminal-viewer.ts';
import type { RunViewer } from './watch.ts';

export function chooseViewer(out: NodeJS.WriteStream, env: NodeJS.ProcessEnv, json: boolean): RunViewer {
  const write = (text: string) => void out.write(text);
  if (json) return new JsonViewer(write);
  const now = () => performance.now();
  if (!out.isTTY || env.TERM === 'dumb') return new PlainViewer({ write, now });
  const language = env.LC_ALL || env.LC_CTYPE || env.LANG || '';
  return new TerminalViewer({
    terminal: out,
    color: !env.NO_COLOR,
    unicode: /utf-?8/i.test(language),
    now,
    every: progressEvery.terminal,
  });
}
