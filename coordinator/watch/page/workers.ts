/** The workers: those that are there, and for a minute those that have left. */
import type { RunView, WorkerView } from '../../view/run-view.ts';
import { byId, element, fill, setText } from './dom.ts';

/** Seconds for which a worker that is gone stays to be seen. */
const goneFor = 60;

/** A worker's row is changed in place: the focus and a button that was pressed once stay. */
interface Row {
  item: HTMLElement;
  lanes: HTMLElement;
  doing: HTMLElement;
  button: HTMLElement | null;
}
const rows = new Map<string, Row>();
const nobody = element('li', 'note');

/** Workers that were there and are no more. */
const gone = new Map<string, { worker: WorkerView; at: number }>();
let before: readonly WorkerView[] = [];

/**
 * @param over the run has ended
 * @param button makes what can be done with a worker, or null: nothing can
 */
export function showWorkers(
  view: RunView,
  over: boolean,
  button: (worker: WorkerView) => (() => HTMLElement) | null,
): void {
  rememberGone(view);
  const list = byId('workers');
  const former = [...gone.values()].map(({ worker }) => worker);
  const all = [...view.workers, ...former];
  for (const [id, { item }] of rows) {
    if (all.some((worker) => worker.id === id)) continue;
    item.remove();
    rows.delete(id);
  }
  for (const [i, worker] of all.entries()) {
    const row = rows.get(worker.id) ?? makeRow(worker);
    const left = former.includes(worker);
    row.item.className = left ? 'gone' : worker.owes === null || over ? worker.status : 'busy';
    showLanes(row, left ? [] : worker.lanes);
    setText(row.doing, left ? whyGone(worker, view) : over ? 'was there at the end' : doing(worker, view));
    const make = left || over ? null : button(worker);
    if (make === null) row.button?.remove();
    if (make === null) row.button = null;
    else if (row.button === null) {
      row.button = make();
      row.item.append(row.button);
    }
    if (list.children[i] !== row.item) list.insertBefore(row.item, list.children[i] ?? null);
  }
  setText(nobody, over ? 'The run has ended.' : 'No workers yet.');
  if (all.length === 0) list.append(nobody);
  else nobody.remove();
}

function rememberGone({ workers }: RunView): void {
  const now = performance.now();
  for (const worker of before) {
    if (!workers.some(({ id }) => id === worker.id)) gone.set(worker.id, { worker, at: now });
  }
  before = workers;
  for (const [id, { at }] of gone) if (now - at > 1000 * goneFor) gone.delete(id);
}

function makeRow({ id, device, processor, pid, host }: WorkerView): Row {
  const [lanes, doing] = [element('span', 'lanes'), element('span', 'doing')];
  const about = element('span', 'note', `${device} · ${processor} · process ${pid} on ${host}`);
  const item = element('li', '', element('span', 'light'), element('span', 'name', id), lanes, doing, about);
  const row = { item, lanes, doing, button: null };
  rows.set(id, row);
  return row;
}

function showLanes({ lanes: target }: Row, lanes: readonly number[]): void {
  fill(target, lanes.join(), () => {
    const numbers = lanes.map((lane) => element('span', 'lane', String(lane)));
    return lanes.length === 0
      ? []
      : [element('span', 'note', lanes.length === 1 ? 'lane' : 'lanes'), ...numbers];
  });
}

function whyGone({ id }: WorkerView, { departed }: RunView): string {
  return departed.find((worker) => worker.id === id)?.reason ?? 'gone';
}

function doing({ status, owes, draining }: WorkerView, { phase }: RunView): string {
  if (draining) return 'leaves after this step';
  if (status === 'newcomer') return 'waits to join';
  switch (owes?.what) {
    case 'vectors':
      return `computes lane ${owes.lanes.join(', ')}`;
    case 'audit':
      return `computes lane ${owes.lane} once more`;
    case 'slice':
      return 'sums its slice';
    case 'update':
      return 'updates';
    case 'snapshot':
      return 'takes a snapshot';
    case 'loading':
      return 'loads the snapshot';
    case 'validation':
      return 'validates';
    case 'features':
      return 'extracts features';
    case undefined:
      return phase === 'computing' ? 'done, waits for the others' : 'ready';
  }
}
