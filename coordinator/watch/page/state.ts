/** The head of the page: how the run stands, since when, and which command it waits for. */
import { calmSeconds, count, duration, grouped, timeLeft } from '../../view/format.ts';
import type { Health, HealthWord } from '../../view/health.ts';
import type { CommandHint, RunFacts, RunView } from '../../view/run-view.ts';
import { copyable } from './copy.ts';
import { byId, element, fill, setText } from './dom.ts';
import { members } from './figures.ts';
import { inStep, phases, quick } from './phases.ts';
import { moment, stepTime, timeOfDay } from './times.ts';

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
  /** What is shown may be true no more. */
  stale: boolean;
  health: Health;
  lastWords: string;
  /** They are about an error. */
  failed: boolean;
}

export function showState(view: RunView, facts: RunFacts, standing: Standing): void {
  const { connection, stale, health } = standing;
  setText(byId('model'), view.name === null ? view.model : `${view.model} (${view.name})`);
  const state = showPill(view, standing);
  const done = (100 * view.step) / Math.max(1, view.steps);
  setText(byId('percent'), `${done.toFixed(done < 10 ? 1 : 0)} %`);
  byId('done').style.width = `${done}%`;
  byId('bar').setAttribute('aria-valuenow', done.toFixed(0));
  document.body.classList.toggle('stale', stale);
  showPlace(view, connection === 'ended', stale);
  setText(byId('clock'), clock(view, facts, standing));
  setText(byId('sentence'), sentence(view, facts, standing));
  const { word } = health;
  const alarm = word === 'OK' || word === 'COMPLETE' ? '' : `${word} · `;
  document.title = `${alarm}${done.toFixed(0)} % · ${view.loss === null ? state : `loss ${view.loss.toFixed(3)}`} · ${view.model}`;
}

function showPill(view: RunView, { connection, health: { word, reasons } }: Standing): string {
  const [name] = phases[view.phase] ?? [view.phase];
  const training = isUsual(view) || inStep.includes(view.phase) ? 'training' : name;
  const what = { live: view.stopping === null ? training : 'stopping', lost: 'connection lost', ended: '' };
  const about = word === 'OK' ? what[connection] : (reasons[0] ?? '');
  const state = about === '' || connection === 'ended' ? word : `${word} · ${about}`;
  const pill = byId('state');
  setText(pill, state);
  pill.className = `pill ${word === 'OK' && connection === 'lost' ? 'waits' : colors[word]}`;
  pill.title = reasons.join('; ');
  return state;
}

/** Nothing takes long enough to be worth a word. */
function isUsual({ phase, phaseSeconds, stopping }: RunView): boolean {
  return quick.includes(phase) && (phaseSeconds ?? 0) < calmSeconds && stopping === null;
}

/** Each part stays on one line. */
function showPlace(view: RunView, ended: boolean, stale: boolean): void {
  const parts = [
    `epoch ${(view.epoch ?? 0).toFixed(2)} of ${Number((view.epochs ?? 0).toFixed(2))}`,
    `step ${grouped(view.step)} of ${grouped(view.steps)}`,
  ];
  if (stale) parts.push(`as of ${timeOfDay(view.at)}`);
  else if (view.secondsLeft !== null && view.step < view.steps && !ended)
    parts.push(timeLeft(view.secondsLeft, view.at));
  fill(byId('where'), parts.join(), () =>
    parts.flatMap((part, i) => [...(i === 0 ? [] : [' · ']), element('span', 'whole', part)]),
  );
}

function clock(view: RunView, { startedAt, resumed }: RunFacts, { connection }: Standing): string {
  if (startedAt === null) return '';
  const begun = `${resumed ? 'resumed' : 'started'} ${moment(startedAt, view.at)}`;
  const took = duration((Date.parse(view.at) - Date.parse(startedAt)) / 1000);
  if (connection === 'ended') return `${begun} · ended ${moment(view.at, startedAt)}, after ${took}`;
  return `${begun} · ${took} so far`;
}

function sentence(view: RunView, facts: RunFacts, { connection, stale, lastWords }: Standing): string {
  if (connection === 'live' && stale)
    return `Nothing has come from the coordinator since then. Before that: ${view.sentence}`;
  if (connection === 'live') return isUsual(view) ? usualSentence(view, facts) : view.sentence;
  if (connection === 'lost')
    return `The connection to the coordinator is lost; trying again. Before that: ${view.sentence}`;
  // The command is shown below, to be copied.
  const { resume } = facts;
  return resume === null ? lastWords : lastWords.replace(`${resume.how} ${resume.command}`, '').trim();
}

function usualSentence(view: RunView, { batchSize }: RunFacts): string {
  const there = members(view);
  const lanes = there.reduce((sum, worker) => sum + worker.lanes.length, 0);
  const who = `${count(there.length, 'worker serves', 'workers serve')} ${count(lanes, 'lane', 'lanes')}`;
  const { imagesPerSecond } = view;
  return imagesPerSecond === null
    ? `${who}.`
    : `${who}; a step takes ${stepTime(batchSize / imagesPerSecond)}.`;
}

/** The command that helps now: one that adds a worker to a run that waits for it, or one that continues a run. */
export function showHints(
  { phase }: RunView,
  { join, resume }: RunFacts,
  { connection, health: { word }, failed }: Standing,
): void {
  showHint('join', phase === 'waiting' && connection === 'live' ? join : null);
  const over = connection === 'ended' && word !== 'COMPLETE' && !failed;
  const gone = connection === 'lost' && word === 'STUCK' && resume !== null;
  if (gone) showHint('resume', { how: 'If its process is gone, continue with:', command: resume.command });
  else showHint('resume', over ? resume : null);
}

function showHint(id: 'join' | 'resume', hint: CommandHint | null): void {
  const target = byId(id);
  target.hidden = hint === null;
  if (hint === null) return;
  const what = { join: 'the command that adds a worker', resume: 'the command that continues the run' }[id];
  fill(target, JSON.stringify(hint), () => [`${hint.how} `, copyable(hint.command, what)]);
}
