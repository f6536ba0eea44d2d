/** The tiles: the figures that one looks for first. */
import { count, percent, speed } from '../../view/format.ts';
import type { RunFacts, RunView } from '../../view/run-view.ts';
import type { Smoothed } from './curves.ts';
import { byId, element, setText } from './dom.ts';

/** A tile: its value, and below it what that is. */
type Figure = [name: string, value: string, note: string];

interface Tile {
  value: HTMLElement;
  note: HTMLElement;
}
const tiles = new Map<string, Tile>();

/** A loss in four figures. */
export function lossValue(loss: number): string {
  return loss.toPrecision(4);
}

/** Without its unit. */
export function bareSpeed(imagesPerSecond: number): string {
  return speed(imagesPerSecond).replace(' images/s', '');
}

/**
 * @param smoothed what the curves say: single batches are noisy
 * @param over the run has ended
 */
export function showFigures(view: RunView, facts: RunFacts, smoothed: Smoothed, over: boolean): void {
  for (const [name, value, note] of figuresOf(view, facts, smoothed, over)) {
    const tile = tiles.get(name) ?? add(name);
    setText(tile.value, value);
    setText(tile.note, note);
  }
}

function add(name: string): Tile {
  const tile = { value: element('dd', ''), note: element('dd', 'note') };
  byId('figures').append(element('div', '', element('dt', '', name), tile.value, tile.note));
  tiles.set(name, tile);
  return tile;
}

function figuresOf(view: RunView, facts: RunFacts, { loss, top1 }: Smoothed, over: boolean): Figure[] {
  const { imagesPerSecond, learningRate } = view;
  return [
    ['loss', known(loss, lossValue), lastBatch(view.loss, lossValue)],
    ['top-1', known(top1, percent), lastBatch(view.top1, percent)],
    [
      'validation top-1',
      known(view.validation?.top1 ?? null, percent),
      validationNote(view, facts.stepsPerEpoch),
    ],
    ['speed', known(imagesPerSecond, bareSpeed), 'images/s'],
    [
      'learning rate',
      known(learningRate, (rate) => String(Number(rate.toPrecision(3)))),
      nextChange(view, facts),
    ],
    over
      ? ['workers', '–', 'the run has ended']
      : ['workers', String(members(view).length), lanesServed(view, facts)],
  ];
}

function known(value: number | null, format: (value: number) => string): string {
  return value === null ? '–' : format(value);
}

function lastBatch(value: number | null, format: (value: number) => string): string {
  return value === null ? 'no step yet' : `last batch ${format(value)}`;
}

function validationNote({ validation, best }: RunView, stepsPerEpoch: number): string {
  if (validation === null) return 'no validation yet';
  const epoch = ({ step }: { step: number }) => `epoch ${Number((step / stepsPerEpoch).toFixed(1))}`;
  if (best === null || best.top1 <= validation.top1) return epoch(validation);
  return `best ${percent(best.top1)}, ${epoch(best)}`;
}

/** As `learningRate` has it: a warm-up, then each `stepSize` epochs a tenth, or a fall to the end of the schedule. */
function nextChange({ step, steps }: RunView, { stepsPerEpoch, schedule: of }: RunFacts): string {
  const { schedule, warmupEpochs, stepSize, scheduleEpochs } = of;
  if (step < warmupEpochs * stepsPerEpoch) return `rises to epoch ${warmupEpochs}`;
  if (scheduleEpochs !== null) {
    return step < scheduleEpochs * stepsPerEpoch ? `${schedule} to epoch ${scheduleEpochs}` : 'until the end';
  }
  const epoch = stepSize * (Math.floor(step / (stepsPerEpoch * stepSize)) + 1);
  return schedule === 'step' && epoch * stepsPerEpoch < steps ? `÷ 10 at epoch ${epoch}` : 'until the end';
}

export function members({ workers }: RunView): RunView['workers'] {
  return workers.filter(({ status }) => status === 'member');
}

function lanesServed(view: RunView, { lanes }: RunFacts): string {
  const there = members(view);
  const served = there.reduce((sum, worker) => sum + worker.lanes.length, 0);
  const hosts = new Set(there.map(({ host }) => host)).size;
  const where = hosts > 1 ? `, ${hosts} hosts` : ' served';
  return `${served} of ${count(lanes, 'lane', 'lanes')}${where}`;
}
