/** The workers, by host where there are several: those that are there, and for a minute those that have left. */
import { exchangeWords } from '../../view/exchange-words.ts';
import { speed } from '../../view/format.ts';
import { byHost, gpuWords, hostWords, togetherPerSecond } from '../../view/hosts.ts';
import type { RunView, WorkerView } from '../../view/run-view.ts';
import { byId, element, fill, setText } from './dom.ts';

/** Seconds for which a worker that is gone stays to be seen. */
const goneFor = 60;

/** A worker's row is changed in place: the focus and a button that was pressed once stay. */
interface Row {
  item: HTMLElement;
  lanes: HTMLElement;
  doing: HTMLElement;
  perSecond: HTMLElement;
  /** Use, memory and temperature of its GPU. */
  gpu: HTMLElement[];
  about: HTMLElement;
  button: HTMLElement | null;
}
const rows = new Map<string, Row>();

function showExchange({ exchange }: RunView, over: boolean): void {
  const words = over ? null : exchangeWords(exchange);
  const line = byId('exchange');
  line.hidden = words === null;
  setText(line, words ?? '');
}

/** The row above those of a host. */
interface Heading {
  item: HTMLElement;
  about: HTMLElement;
  perSecond: HTMLElement;
}
const headings = new Map<string, Heading>();
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
  showExchange(view, over);
  const list = byId('workers');
  const former = [...gone.values()].map(({ worker }) => worker);
  const all = [...view.workers, ...former];
  const hosts = byHost(all);
  forget(rows, new Set(all.map(({ id }) => id)));
  forget(headings, new Set(hosts.length > 1 ? hosts.map(({ name }) => name) : []));
  let place = 0;
  const put = (item: HTMLElement) => {
    if (list.children[place] !== item) list.insertBefore(item, list.children[place] ?? null);
    place += 1;
  };
  const showWorker = (worker: WorkerView) => {
    const row = rows.get(worker.id) ?? makeRow(worker);
    const left = former.includes(worker);
    const quiet = left || over;
    row.item.className = left ? 'gone' : worker.owes === null || over ? worker.status : 'busy';
    showLanes(row, left ? [] : worker.lanes);
    setText(row.doing, left ? whyGone(worker, view) : over ? 'was there at the end' : doing(worker, view));
    showPerSecond(row.perSecond, quiet ? null : worker.imagesPerSecond);
    const words = quiet || worker.gpu === null ? [] : gpuWords(worker.gpu);
    for (const [i, cell] of row.gpu.entries()) setText(cell, words[i] ?? '');
    setText(row.about, about(worker, hosts.length > 1));
    const make = quiet ? null : button(worker);
    if (make === null) row.button?.remove();
    if (make === null) row.button = null;
    else if (row.button === null) {
      row.button = make();
      row.item.append(row.button);
    }
    put(row.item);
  };
  for (const { name, workers } of hosts) {
    if (hosts.length > 1) {
      const there = workers.filter((worker) => !former.includes(worker));
      const heading = headings.get(name) ?? makeHeading(name);
      setText(heading.about, over ? '' : hostWords(there));
      showPerSecond(heading.perSecond, over ? null : togetherPerSecond(there));
      put(heading.item);
    }
    for (const worker of workers) showWorker(worker);
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

/** Takes away what is there no more. */
function forget(shown: Map<string, { item: HTMLElement }>, still: ReadonlySet<string>): void {
  for (const [key, { item }] of shown) {
    if (still.has(key)) continue;
    item.remove();
    shown.delete(key);
  }
}

function makeRow({ id }: WorkerView): Row {
  const [lanes, doing] = [element('span', 'lanes'), element('span', 'doing')];
  const perSecond = element('span', 'per-second');
  const gpu = [element('span', ''), element('span', ''), element('span', '')];
  const about = element('span', 'note');
  const item = element(
    'li',
    '',
    element('span', 'light'),
    element('span', 'name', id),
    lanes,
    element('span', 'now', doing, perSecond),
    element('span', 'gpu', ...gpu),
    about,
  );
  const row = { item, lanes, doing, perSecond, gpu, about, button: null };
  rows.set(id, row);
  return row;
}

function makeHeading(name: string): Heading {
  const [about, perSecond] = [element('span', 'note'), element('span', 'per-second')];
  const item = element('li', 'host', element('b', '', name), about, perSecond);
  const heading = { item, about, perSecond };
  headings.set(name, heading);
  return heading;
}

function showPerSecond(target: HTMLElement, imagesPerSecond: number | null): void {
  setText(target, imagesPerSecond === null ? '' : speed(imagesPerSecond));
}

/** @param underHost stands below its host's name */
function about({ device, processor, pid, host }: WorkerView, underHost: boolean): string {
  return `${device} · ${processor} · process ${pid}${underHost ? '' : ` on ${host}`}`;
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
