/** Everything on the page that is not a curve: each function shows one part of what is known. */
import { calmSeconds, count, grouped, percent, smallestShare, speed, timeLeft } from '../../view/format.ts';
import type { Health, HealthWord } from '../../view/health.ts';
import type { CheckpointView, EventView, RunFacts, RunView, WorkerView } from '../../view/run-view.ts';
import { byId, element, fill, setText } from './dom.ts';

/** What a phase is called, and the colour it has. */
const phases: Record<string, [name: string, color: string]> = {
  computing: ['computing gradients', 'work'],
  reducing: ['summing gradients', 'exchange'],
  applying: ['updating weights', 'update'],
  validating: ['validating', 'check'],
  publishing: ['taking a snapshot', 'rest'],
  loading: ['newcomers load the state', 'rest'],
  restoring: ['publishing the state', 'rest'],
  waiting: ['waiting for a worker', 'wait'],
  rollcall: ['roll call', 'wait'],
  saving: ['reading the state for a checkpoint', 'rest'],
  finishing: ['writing the last checkpoint', 'rest'],
  finished: ['finished', 'rest'],
  redis_away: ['Redis away', 'wait'],
};

/** Seconds for which a worker that is gone stays to be seen. */
const goneFor = 60;
const newestCheckpoints = 6;

/** What every step consists of, and what is not worth a word while it is short. */
const inStep = ['computing', 'reducing', 'applying'];
const quick = [...inStep, 'publishing', 'loading', 'validating', 'saving'];

/** The colour of each word for a run's health. */
const colors: Record<HealthWord, string> = {
  OK: 'live',
  COMPLETE: 'live',
  SLOW: 'waits',
  STUCK: 'lost',
  STOPPED: 'ended',
};

export interface Standing {
  connection: 'live' | 'lost' | 'ended';
  health: Health;
  lastWords: string;
}

export function showState(
  view: RunView,
  facts: RunFacts,
  { connection, health: { word, reasons }, lastWords }: Standing,
): void {
  setText(byId('model'), view.name === null ? view.model : `${view.model} (${view.name})`);
  const [name] = phases[view.phase] ?? [view.phase];
  const usual =
    quick.includes(view.phase) && (view.phaseSeconds ?? 0) < calmSeconds && view.stopping === null;
  const training = usual || inStep.includes(view.phase) ? 'training' : name;
  const what = { live: view.stopping === null ? training : 'stopping', lost: 'connection lost', ended: '' };
  const about = word === 'OK' ? what[connection] : (reasons[0] ?? '');
  const state = about === '' || connection === 'ended' ? word : `${word} · ${about}`;
  const pill = byId('state');
  setText(pill, state);
  pill.className = `pill ${word === 'OK' && connection === 'lost' ? 'waits' : colors[word]}`;
  pill.title = reasons.join('; ');
  const parts = [
    `epoch ${(view.epoch ?? 0).toFixed(2)} of ${Number((view.epochs ?? 0).toFixed(2))}`,
    `step ${grouped(view.step)} of ${grouped(view.steps)}`,
  ];
  if (view.secondsLeft !== null && view.step < view.steps && connection === 'live')
    parts.push(timeLeft(view.secondsLeft, view.at));
  setText(byId('where'), parts.join(' · '));
  const done = (100 * view.step) / Math.max(1, view.steps);
  byId('done').style.width = `${done}%`;
  byId('bar').setAttribute('aria-valuenow', done.toFixed(0));
  const sentence = usual ? usualSentence(view, facts) : view.sentence;
  const said = {
    live: sentence,
    lost: `The connection to the coordinator is lost; trying again. Before that: ${view.sentence}`,
    ended: lastWords,
  };
  setText(byId('sentence'), said[connection]);
  const alarm = word === 'OK' || word === 'COMPLETE' ? '' : `${word} · `;
  document.title = `${alarm}${done.toFixed(0)} % · ${view.loss === null ? state : `loss ${view.loss.toFixed(3)}`} · ${view.model}`;
}

/** While the run waits for a worker, the command that adds one. */
export function showJoin({ phase }: RunView, { join }: RunFacts, connection: string): void {
  const target = byId('join');
  target.hidden = join === null || phase !== 'waiting' || connection !== 'live';
  if (join !== null) fill(target, join.command, () => [`${join.how} `, element('code', '', join.command)]);
}

function usualSentence({ workers, imagesPerSecond }: RunView, { batchSize }: RunFacts): string {
  const members = workers.filter(({ status }) => status === 'member');
  const lanes = members.reduce((sum, worker) => sum + worker.lanes.length, 0);
  const who = `${count(members.length, 'worker serves', 'workers serve')} ${count(lanes, 'lane', 'lanes')}`;
  return imagesPerSecond === null ? `${who}.` : `${who}; a step takes ${time(batchSize / imagesPerSecond)}.`;
}

export function showFigures(view: RunView, facts: RunFacts): void {
  const { validation } = view;
  const when = validation === null ? '' : `epoch ${(validation.step / facts.stepsPerEpoch).toFixed(1)}`;
  const figures: [name: string, value: string, note: string][] = [
    ['loss', view.loss?.toFixed(4) ?? '–', 'last batch'],
    ['top-1', view.top1 === null ? '–' : percent(view.top1), 'last batch'],
    ['validation top-1', validation === null ? '–' : percent(validation.top1), when],
    [
      'speed',
      view.imagesPerSecond === null ? '–' : speed(view.imagesPerSecond).replace(' images/s', ''),
      'images/s',
    ],
    [
      'learning rate',
      view.learningRate === null ? '–' : String(Number(view.learningRate.toPrecision(3))),
      '',
    ],
    [
      'workers',
      String(view.workers.filter(({ status }) => status === 'member').length),
      `generation ${view.generation}`,
    ],
  ];
  fill(byId('figures'), JSON.stringify(figures), () =>
    figures.map(([name, value, note]) =>
      element('div', '', element('dt', '', name), element('dd', '', value), element('dd', 'note', note)),
    ),
  );
}

export function showShares({ shares, imagesPerSecond }: RunView, { batchSize }: RunFacts): void {
  const shown = shares.filter(({ share }) => share >= smallestShare);
  const steps = shares
    .filter(({ phase }) => inStep.includes(phase))
    .reduce((sum, { share }) => sum + share, 0);
  const perStep = imagesPerSecond === null ? null : batchSize / imagesPerSecond / steps;
  const bar = element('div', 'shares');
  const list = element('ul', 'keys');
  for (const { phase, share } of shown) {
    const [name, color] = phases[phase] ?? [phase, 'rest'];
    const part = element('div', `share ${color}`);
    part.style.flexGrow = String(share);
    bar.append(part);
    const took = perStep === null || !inStep.includes(phase) ? '' : `${time(share * perStep)} a step`;
    list.append(
      element(
        'li',
        `key ${color}`,
        element('span', '', name),
        element('span', 'note', took),
        element('b', '', percent(share)),
      ),
    );
  }
  const key = shown.map(({ phase, share }) => phase + share.toFixed(3)).join();
  fill(byId('shares'), key, () =>
    shown.length === 0 ? [element('p', 'note', 'No measurements yet.')] : [bar, list],
  );
}

function time(seconds: number): string {
  return seconds < 1 ? `${(1000 * seconds).toFixed(0)} ms` : `${seconds.toFixed(1)} s`;
}

/** Workers that were there and are no more. */
const gone = new Map<string, { worker: WorkerView; at: number }>();
let before: readonly WorkerView[] = [];

/** @param button what can be done with a worker, or null */
export function showWorkers(view: RunView, button: (worker: WorkerView) => HTMLElement | null): void {
  const now = performance.now();
  for (const worker of before) {
    if (!view.workers.some(({ id }) => id === worker.id)) gone.set(worker.id, { worker, at: now });
  }
  before = view.workers;
  for (const [id, { at }] of gone) if (now - at > 1000 * goneFor) gone.delete(id);
  const rows = view.workers.map((worker) => ({ worker, doing: doing(worker, view), gone: false }));
  const former = [...gone.values()].map(({ worker }) => ({
    worker,
    gone: true,
    doing: view.departed.find(({ id }) => id === worker.id)?.reason ?? 'gone',
  }));
  const all = [...rows, ...former];
  const offered = all.map(({ worker, gone }) => (gone ? null : button(worker)));
  const key = JSON.stringify([all, offered.map((made) => made !== null)]);
  fill(byId('workers'), key, () => {
    if (all.length === 0) return [element('li', 'note', 'No workers yet.')];
    return all.map(({ worker, doing, gone }, i) => {
      const lanes = worker.lanes.map((lane) => element('span', 'lane', String(lane)));
      const names = lanes.length === 0 || gone ? [] : [element('span', 'note', 'lanes'), ...lanes];
      const row = element(
        'li',
        `${gone ? 'gone' : worker.owes === null ? worker.status : 'busy'}`,
        element('span', 'light'),
        element('span', 'name', worker.id),
        element('span', 'lanes', ...names),
        element('span', 'doing', doing),
        element(
          'span',
          'note',
          `${worker.device} · ${worker.processor} · process ${worker.pid} on ${worker.host}`,
        ),
      );
      const offer = offered[i];
      if (offer) row.append(offer);
      return row;
    });
  });
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

export function showEvents(events: readonly EventView[]): void {
  const key = `${events.length} ${events.at(-1)?.at} ${events.at(-1)?.message}`;
  fill(byId('events'), key, () => {
    if (events.length === 0) return [element('li', 'note', 'No events yet.')];
    return events.toReversed().map(({ at, level, message }) => {
      const time = element('time', '', new Date(at).toLocaleTimeString([], { hour12: false }));
      time.dateTime = at;
      time.title = new Date(at).toLocaleString();
      return element('li', level, time, element('span', '', message));
    });
  });
}

export function showCheckpoints(checkpoints: readonly CheckpointView[], facts: RunFacts): void {
  fill(byId('checkpoints'), JSON.stringify(checkpoints), () => {
    if (checkpoints.length === 0) return [element('p', 'note', 'No checkpoints yet.')];
    const newest = checkpoints.toReversed();
    const best = newest.find((checkpoint) => checkpoint.best);
    const shown = newest.slice(0, newestCheckpoints);
    if (best !== undefined && !shown.includes(best)) shown.push(best);
    const head = ['step', 'epoch', 'validation top-1', ''].map((name) => element('th', '', name));
    const rows = shown.map(({ step, top1, best, kept, file }) => {
      const marks = [best ? 'best' : '', kept ? 'kept' : ''].filter((mark) => mark !== '');
      const row = element(
        'tr',
        '',
        element('td', '', grouped(step)),
        element('td', '', (step / facts.stepsPerEpoch).toFixed(2)),
        element('td', '', top1 === null ? '–' : percent(top1)),
        element('td', '', ...marks.map((mark) => element('span', `mark ${mark}`, mark))),
      );
      row.title = file;
      return row;
    });
    const table = element(
      'table',
      '',
      element('thead', '', element('tr', '', ...head)),
      element('tbody', '', ...rows),
    );
    const more = checkpoints.length - shown.length;
    return more > 0
      ? [table, element('p', 'note', `and ${count(more, 'earlier one', 'earlier ones')}`)]
      : [table];
  });
}

export function showFacts(view: RunView, facts: RunFacts): void {
  const { host, pid } = view.coordinator;
  const all: [string, string][] = [
    ['run', view.run],
    ...facts.options,
    ['coordinator', `process ${pid} on ${host}`],
  ];
  fill(byId('facts'), JSON.stringify(all), () =>
    all.flatMap(([name, value]) => [element('dt', '', name), element('dd', '', value)]),
  );
}
