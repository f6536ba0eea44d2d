/** Runs as a table for a terminal: pure, from what is known to lines. */
import { columnsOf, cutTo } from '../../shared/util/columns.ts';
import { oneLine, quoteName } from '../../shared/util/printable.ts';
import { elapsed, epochList, percent } from '../view/format.ts';
import type { HealthWord } from '../view/health.ts';
import type { BestView, KeptView } from '../view/run-view.ts';

export interface ListedRun {
  /** Null: it is known from its Redis alone. */
  folder: string | null;
  /** Its id. */
  run: string | null;
  name: string | null;
  note: string | null;
  model: string | null;
  task: 'training' | 'validation' | 'features' | null;
  state: HealthWord | 'UNREADABLE';
  reasons: string[];
  step: number | null;
  steps: number | null;
  /** That are done, of an inference run that is active. */
  images: number | null;
  best: BestView | null;
  /** Checkpoints that stay for good. */
  kept: KeptView[];
  /** When anything of it was written last; milliseconds since 1970. */
  wrote: number | null;
  /** Its live page, while it is active. */
  page: string | null;
  /** Why it is `UNREADABLE`, or null. */
  trouble: string | null;
}

export interface TableCanvas {
  columns: number;
  unicode: boolean;
}

interface Column {
  head: string;
  cell: (run: ListedRun, now: number) => string;
}

const columns = {
  run: { head: 'RUN', cell: ({ folder, run }) => quoteName(folder ?? run ?? '') },
  state: { head: 'STATE', cell: ({ state }) => state },
  step: { head: 'STEP', cell: progress },
  best: { head: 'BEST TOP-1', cell: ({ best }) => (best === null ? '' : percent(best.top1)) },
  kept: { head: 'KEPT AT EPOCH', cell: ({ kept }) => epochList(kept.map(({ epoch }) => epoch)) },
  model: { head: 'MODEL', cell: modelOf },
  wrote: { head: 'WRITTEN', cell: written },
  name: { head: 'NAME', cell: ({ name }) => oneLine(name ?? '') },
  page: { head: 'PAGE', cell: ({ page }) => oneLine(page ?? '') },
} satisfies Record<string, Column>;
type ColumnName = keyof typeof columns;

/** What a narrow terminal does without, the first one first. */
const dispensable: readonly ColumnName[] = ['kept', 'model', 'wrote', 'page', 'name', 'best', 'step'];

const gap = '  ';

/** No line is wider than the terminal. */
export function listTable(runs: readonly ListedRun[], canvas: TableCanvas, now: number): string[] {
  const mark = canvas.unicode ? '…' : '...';
  const room = canvas.columns - 1; // the last column stays free: some terminals wrap when it is written
  const readable = runs.filter(({ trouble }) => trouble === null);
  const widthOf = (name: ColumnName) => {
    const shown = name === 'run' || name === 'state' ? runs : readable;
    return Math.max(
      columns[name].head.length,
      ...shown.map((run) => columnsOf(columns[name].cell(run, now))),
    );
  };
  const all = Object.keys(columns) as ColumnName[];
  const used = all.filter(
    (name) =>
      name === 'run' || readable.some((run) => columns[name].cell(run, now) !== '') || name === 'state',
  );
  const widths = new Map(used.map((name) => [name, widthOf(name)]));
  const total = () => [...widths.values()].reduce((sum, width) => sum + width + gap.length, -gap.length);
  for (const name of dispensable) if (total() > room) widths.delete(name);
  if (total() > room) widths.set('run', Math.max(mark.length, widths.get('run')! - (total() - room)));
  const line = (cells: Map<ColumnName, string>) => {
    const text = [...widths].map(([name, width]) => {
      const cell = cells.get(name) ?? '';
      // Of a path the end says more.
      const cut = cutTo(cell, width, mark, name === 'run' ? 'start' : 'end');
      return cut + ' '.repeat(width - columnsOf(cut));
    });
    return cutTo(text.join(gap).trimEnd(), room, mark);
  };
  const names = [...widths.keys()];
  const heads = new Map(names.map((name) => [name, columns[name].head]));
  return [
    line(heads),
    ...runs.map((run) => {
      const shown = run.trouble === null ? names : (['run', 'state'] as const);
      const cells = line(new Map(shown.map((name) => [name, columns[name].cell(run, now)])));
      return run.trouble === null ? cells : cutTo(`${cells}${gap}${oneLine(run.trouble)}`, room, mark);
    }),
  ];
}

function progress({ step, steps, images }: ListedRun): string {
  if (step !== null && steps !== null && steps > 0) return `${step}/${steps}`;
  return images === null ? '' : `${images} images`;
}

function modelOf({ model, task }: ListedRun): string {
  if (model === null) return '';
  return oneLine(task === null || task === 'training' ? model : `${model} ${task}`);
}

function written({ wrote }: ListedRun, now: number): string {
  return wrote === null ? '' : `${elapsed(Math.max(0, (now - wrote) / 1000))} ago`;
}
