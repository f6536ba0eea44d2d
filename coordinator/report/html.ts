/** Runs as a page of one file, without scripts: the picture, a table of the runs, and their configuration. */
import { describeStartingWeights, type RunConfig } from '../../shared/run-config.ts';
import { optionsOfRun } from '../options/run-options.ts';
import { rowsOf } from '../options/table.ts';
import { count, duration, epochList, grouped, percent } from '../view/format.ts';
import type { ValidationPoint } from '../view/run-view.ts';
import { groupRuns } from './groups.ts';
import { escapeMarkup } from './markup.ts';
import type { ReportRun } from './read-runs.ts';
import type { RunFacts } from './run-facts.ts';
import { pageStyle } from './style.ts';
import { describeRuns } from './words.ts';

export interface PageParts {
  readonly runs: readonly ReportRun[];
  /** In the order of the runs. */
  readonly facts: readonly RunFacts[];
  /** An SVG element. */
  readonly picture: string;
  /** When all of this was read. */
  readonly at: Date;
}

/** Nothing is loaded, and nothing runs, whatever a name or a setting says. */
const policy = "default-src 'none'; style-src 'unsafe-inline'";

export function htmlOf({ runs, facts, picture, at }: PageParts): string {
  const title = describeRuns(runs);
  const settings = runs.map(({ path, config }) => settingsOf(config, path));
  const names = [...new Set(settings.flatMap((of) => [...of.keys()]))];
  const differs = (name: string) => new Set(settings.map((of) => of.get(name) ?? '')).size > 1;
  const differing = names.filter(differs);
  const shared = names.filter((name) => !differs(name));
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="${policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escapeMarkup(title)}</title>
<style>${pageStyle}</style>
</head>
<body>
<main>
${picture}
<section>
<h2>${runs.length === 1 ? 'Run' : 'Runs'}</h2>
${resultTable(runs, facts)}
<p class="note">Speed and time cover everything that a coordinator did: start, steps, validations, checkpoints. As of ${at.toISOString().slice(0, 19).replace('T', ' ')} UTC.</p>
</section>
${differing.length === 0 ? '' : section('What differs', differenceTable(runs, settings, differing))}
${section(runs.length === 1 ? 'Configuration' : 'What the runs share', sharedList(settings[0]!, shared))}
</main>
</body>
</html>
`;
}

function section(title: string, content: string): string {
  return `<section>\n<h2>${title}</h2>\n${content}\n</section>`;
}

interface Column {
  readonly name: string;
  readonly number: boolean;
  readonly cell: (run: ReportRun, facts: RunFacts) => string;
}

const columns: readonly Column[] = [
  { name: 'model', number: false, cell: ({ config }) => `CORnet-${config.result.model}` },
  { name: 'state', number: false, cell: (_, { state }) => state },
  { name: 'steps', number: true, cell: (_, { step, steps }) => stepsCell(step, steps) },
  {
    name: 'best validation top-1',
    number: true,
    cell: (_, { best }) => part(best, 'top1'),
  },
  { name: 'at step', number: true, cell: (_, { best }) => (best === null ? '–' : grouped(best.step)) },
  { name: 'last top-1', number: true, cell: (_, { last }) => part(last, 'top1') },
  { name: 'top-5', number: true, cell: (_, { last }) => part(last, 'top5') },
  {
    name: 'loss',
    number: true,
    cell: (_, { last }) => (last === null ? '–' : finite(last.loss, last.loss.toFixed(4))),
  },
  {
    name: 'images/s',
    number: true,
    cell: (_, { imagesPerSecond: speed }) => (speed === null ? '–' : speed.toFixed(speed < 10 ? 2 : 0)),
  },
  { name: 'kept checkpoints, epochs', number: false, cell: (_, { kept }) => epochList(kept) || '–' },
  { name: 'time', number: true, cell: (_, { seconds }) => (seconds === null ? '–' : duration(seconds)) },
];

function stepsCell(step: number, steps: number): string {
  return step === steps ? grouped(steps) : `${grouped(step)} of ${grouped(steps)}`;
}

function part(last: ValidationPoint | null, name: 'top1' | 'top5'): string {
  return last === null ? '–' : finite(last[name], percent(last[name]));
}

function finite(value: number, words: string): string {
  return Number.isFinite(value) ? words : 'not finite';
}

function resultTable(runs: readonly ReportRun[], facts: readonly RunFacts[]): string {
  const head = [cell('th', 'run'), ...columns.map(({ name, number }) => cell('th', name, number))];
  const keys = keysOf(runs);
  const rows = runs.map((run, i) => [
    runCell(run, keys),
    ...columns.map((column) => cell('td', column.cell(run, facts[i]!), column.number)),
  ]);
  return table(head, rows);
}

/** The letters of the picture. */
function keysOf(runs: readonly ReportRun[]): ReadonlyMap<ReportRun, string> {
  return new Map(groupRuns(runs).flatMap(({ key, runs }) => runs.map((run) => [run, key])));
}

function runCell(run: ReportRun, keys: ReadonlyMap<ReportRun, string>): string {
  const key = keys.get(run)!;
  return cell('th', key === '' ? run.name : `${key}  ${run.name}`);
}

function differenceTable(
  runs: readonly ReportRun[],
  settings: readonly ReadonlyMap<string, string>[],
  names: readonly string[],
): string {
  const keys = keysOf(runs);
  const head = [cell('th', 'run'), ...names.map((name) => cell('th', name))];
  const rows = runs.map((run, i) => [
    runCell(run, keys),
    ...names.map((name) => cell('td', settings[i]!.get(name) ?? '–')),
  ]);
  return table(head, rows);
}

function sharedList(settings: ReadonlyMap<string, string>, names: readonly string[]): string {
  const items = names.map(
    (name) => `<div><dt>${escapeMarkup(name)}</dt><dd>${escapeMarkup(settings.get(name)!)}</dd></div>`,
  );
  return `<dl>\n${items.join('\n')}\n</dl>`;
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) => `<tr>${cells.join('')}</tr>`;
  return `<div class="scroll"><table>\n<thead>${line(head)}</thead>\n<tbody>\n${rows.map(line).join('\n')}\n</tbody>\n</table></div>`;
}

function cell(element: 'th' | 'td', text: string, number = false): string {
  return `<${element}${number ? ' class="number"' : ''}>${escapeMarkup(text)}</${element}>`;
}

/** A run's configuration: its options as `coordinator start` takes them, and what followed from them. */
function settingsOf(config: RunConfig, path: string): Map<string, string> {
  const { result, numerics, run, version } = config;
  const given = optionsOfRun(config, path, 'start');
  const options = rowsOf('start').flatMap(({ attribute, name }): [string, string][] => {
    const value = given.get(attribute);
    return value === undefined ? [] : [[name, settingWords(name, value)]];
  });
  const { backend, device, processor } = numerics?.description ?? {};
  return new Map([
    ...options,
    [
      'data set',
      `${grouped(result.trainImages)} training and ${grouped(result.valImages)} validation images, ${count(result.classes, 'class', 'classes')}`,
    ],
    ['starting weights', describeStartingWeights(result.startingWeights)],
    ['computed with', [backend, device, processor].filter((part) => part !== undefined).join(', ') || '–'],
    ['run id', run],
    ['cornet-ts', version],
  ]);
}

/** A flag as yes or no; the value of one that is called --no-… is of what it forbids. */
function settingWords(name: string, value: unknown): string {
  if (typeof value !== 'boolean') return String(value);
  return value === name.startsWith('--no-') ? 'no' : 'yes';
}
