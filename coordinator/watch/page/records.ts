/** What is on record: events, checkpoints, and what the run is. */
import { count, epochList, grouped, percent } from '../../view/format.ts';
import type { CheckpointView, EventView, RunFacts, RunView } from '../../view/run-view.ts';
import { copyable } from './copy.ts';
import { byId, element, fill } from './dom.ts';
import { timeOfDay } from './times.ts';

const newestCheckpoints = 4;

export function showEvents(events: readonly EventView[]): void {
  const key = `${events.length} ${events.at(-1)?.at} ${events.at(-1)?.message}`;
  fill(byId('events'), key, () => {
    if (events.length === 0) return [element('li', 'note', 'No events yet.')];
    return events.toReversed().map(({ at, level, message }) => {
      const time = element('time', '', timeOfDay(at));
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
    const more = checkpoints.length - shown.length;
    const rest = more > 0 ? [element('p', 'note', `and ${count(more, 'earlier one', 'earlier ones')}`)] : [];
    const kept = checkpoints.filter((checkpoint) => checkpoint.kept);
    const epochs = epochList(kept.map(({ step }) => step / facts.stepsPerEpoch));
    if (kept.length > 0) rest.push(element('p', 'note', `kept: epochs ${epochs}`));
    return [table(shown, facts), ...rest, pathOf(best ?? newest[0]!, facts)];
  });
}

function table(shown: readonly CheckpointView[], { stepsPerEpoch }: RunFacts): HTMLElement {
  const head = ['step', 'epoch', 'validation top-1', ''].map((name) => element('th', '', name));
  const rows = shown.map(({ step, top1, best, kept, file }) => {
    const marks = [best ? 'best' : '', kept ? 'kept' : ''].filter((mark) => mark !== '');
    const row = element(
      'tr',
      '',
      element('td', '', grouped(step)),
      element('td', '', (step / stepsPerEpoch).toFixed(2)),
      element('td', '', top1 === null ? '–' : percent(top1)),
      element('td', '', ...marks.map((mark) => element('span', `mark ${mark}`, mark))),
    );
    row.title = file;
    return row;
  });
  const body = element('tbody', '', ...rows);
  return element('table', '', element('thead', '', element('tr', '', ...head)), body);
}

function pathOf({ file, best }: CheckpointView, { checkpointsPath }: RunFacts): HTMLElement {
  const which = best ? 'best' : 'newest';
  const path = copyable(`${checkpointsPath}/${file}`, `the path of the ${which} checkpoint`);
  return element('p', 'path', `The ${which}: `, path);
}

export function showFacts(view: RunView, facts: RunFacts): void {
  const { host, pid } = view.coordinator ?? {};
  const { command, resume, tunnel } = facts;
  const rows: [name: string, value: string][] = [
    ['run', view.run],
    ...facts.options,
    ['coordinator', pid === undefined ? '' : `process ${pid} on ${host}`],
  ];
  const commands: [name: string, command: string, what: string][] = [
    ['command', command ?? '', 'the command line'],
    ['continue', resume?.command ?? '', 'the command that continues the run'],
    ['from elsewhere', tunnel ?? '', 'the command that brings this page to another machine'],
  ];
  const given = commands.filter(([, text]) => text !== '');
  fill(byId('facts'), JSON.stringify([rows, given]), () => [
    ...rows
      .filter(([, value]) => value !== '')
      .flatMap(([name, value]) => [element('dt', '', name), element('dd', '', value)]),
    ...given.flatMap(([name, text, what]) => [
      element('dt', '', name),
      element('dd', '', copyable(text, what)),
    ]),
  ]);
}
