/** Runs as one picture: loss and accuracy side by side, in an SVG that needs nothing else. */
import { CornetError } from '../../shared/errors.ts';
import { coveringAxis, plainNumber } from '../view/axis.ts';
import { percent } from '../view/format.ts';
import { type ChartData, type ChartLine, drawChart, ticksIn } from './chart.ts';
import { lastEpoch, type Smoothing, smoothingOf, trainingLine, validationLine } from './curves.ts';
import { type Group, groupRuns, seedsOf } from './groups.ts';
import { escapeMarkup } from './markup.ts';
import type { ReportRun } from './read-runs.ts';
import { groupColours, pictureStyle } from './style.ts';
import { notesOf, shortName, subtitleOf, titleOf } from './words.ts';

/** A part of an SVG document, from its top left corner. */
export interface Drawing {
  readonly width: number;
  readonly height: number;
  readonly body: string;
}

const width = 960;
const edge = 24;
const gap = 24;
const chart = { top: 76, width: (width - 2 * edge - gap) / 2, height: 360 };
const row = 20;
const noteRow = 16;

/** @throws CornetError OPTION_INVALID: more configurations than a picture can tell apart */
export function drawRuns(runs: readonly ReportRun[], title = titleOf(runs)): Drawing {
  const groups = groupRuns(runs);
  if (groups.length > groupColours) {
    throw new CornetError(
      'OPTION_INVALID',
      `These are ${groups.length} different configurations, and a picture can tell ${groupColours} apart.`,
      { hint: 'Name fewer runs, or write a table: -o FILE.csv' },
    );
  }
  const smoothing = smoothingOf(runs);
  const [loss, accuracy] = chartsOf(runs, groups, smoothing);
  const place = { top: chart.top, width: chart.width, height: chart.height };
  const below = chart.top + chart.height + row;
  const keys = groups.length === 1 ? [] : groups.map(keyOf);
  const notesTop = below + keys.length * row + (keys.length === 0 ? 0 : 4);
  const notes = notesOf(groups, smoothing);
  const texts = [
    ...keys.map((key, i) => `<text x="${edge}" y="${below + i * row}">${key}</text>`),
    ...notes.map(
      (note, i) =>
        `<text class="soft note" x="${edge}" y="${notesTop + i * noteRow}">${escapeMarkup(note)}</text>`,
    ),
  ];
  const body = [
    `<text class="title" x="${edge}" y="36">${escapeMarkup(title)}</text>`,
    `<text class="soft" x="${edge}" y="56">${escapeMarkup(subtitleOf(runs))}</text>`,
    drawChart(loss, { id: 'loss', left: edge, ...place }),
    drawChart(accuracy, { id: 'accuracy', left: edge + chart.width + gap, ...place }),
    ...texts,
  ].join('\n');
  return { width, height: notesTop + notes.length * noteRow, body };
}

/** A whole file; light, or dark where the reader prefers that. */
export function svgDocument({ width, height, body }: Drawing, description: string): string {
  const size = `viewBox="0 0 ${width} ${height}" width="${width}" height="${height}"`;
  return `<svg xmlns="http://www.w3.org/2000/svg" class="cornet-report" role="img" ${size}>
<title>${escapeMarkup(description)}</title>
<style>${pictureStyle}</style>
<rect class="ground" width="${width}" height="${height}"/>
${body}
</svg>
`;
}

/** A line of the legend that explains a letter. */
function keyOf({ key, label, runs }: Group, i: number): string {
  const names = runs.length === 1 ? `run ${shortName(runs[0]!.name)}, ` : `${runs.length} runs, `;
  return (
    `<tspan class="value g${i}">${key}</tspan><tspan class="strong" x="${edge + 20}">${escapeMarkup(label)}</tspan>` +
    `<tspan class="soft" dx="10">${escapeMarkup(names + seedsOf(runs))}</tspan>`
  );
}

/** Loss and accuracy. */
function chartsOf(
  runs: readonly ReportRun[],
  groups: readonly Group[],
  smoothing: Smoothing,
): [ChartData, ChartData] {
  const end = lastEpoch(runs);
  const alone = groups.length === 1;
  const training = (metric: 'loss' | 'top1') =>
    groups.map(
      ({ key, runs }, i): ChartLine => ({
        ...trainingLine(runs, metric, smoothing),
        name: 'training',
        colour: alone ? 'train' : `g${i}`,
        look: alone ? 'solid' : 'thin',
        dots: false,
        // With many lines only one value of each stands there: that of the validation, if there was one.
        key: alone || runs.every(({ validations }) => validations.length === 0) ? key : null,
      }),
    );
  const validation = (metric: 'loss' | 'top1' | 'top5') =>
    groups.map(
      ({ key, runs }, i): ChartLine => ({
        ...validationLine(runs, metric),
        name: 'validation',
        colour: alone ? 'val' : `g${i}`,
        look: metric === 'top5' ? 'dashed' : 'solid',
        dots: true,
        key,
      }),
    );
  const lossLines = [...training('loss'), ...validation('loss')];
  const losses = valuesOf(lossLines);
  const [low, high] = [Math.min(...losses), Math.max(...losses)];
  const about = ticksIn(chart.height);
  const top1 = [...training('top1'), ...validation('top1')];
  const accuracyLines = alone ? [...top1, ...validation('top5')] : top1;
  const highest = Math.min(1, Math.max(...valuesOf(accuracyLines)));
  return [
    {
      title: 'Loss',
      unit: 'cross-entropy',
      lines: lossLines,
      legend: legendOf(alone, ['training', 'validation']),
      // From zero on, unless that would waste much of the height.
      vertical: coveringAxis(low < 0.4 * high ? 0 : low, high, about),
      end,
      tick: plainNumber,
      value: (y) => y.toPrecision(3),
    },
    {
      title: 'Accuracy',
      unit: alone ? 'right answers' : 'top-1',
      lines: accuracyLines,
      legend: legendOf(
        alone,
        alone ? ['training top-1', 'validation top-1', 'validation top-5'] : ['training', 'validation'],
      ),
      vertical: coveringAxis(0, Math.max(highest, 0.001), about),
      end,
      tick: (y) => `${plainNumber(100 * y)} %`,
      value: percent,
    },
  ];
}

/** In one configuration the colour tells what a line is, in several whose it is. */
function legendOf(alone: boolean, names: readonly string[]): ChartData['legend'] {
  return names.map((name, i) => ({
    name,
    colour: alone ? (i === 0 ? 'train' : 'val') : 'ink',
    look: i === 2 ? 'dashed' : i === 0 && !alone ? 'thin' : 'solid',
    dots: i > 0,
  }));
}

function valuesOf(lines: readonly ChartLine[]): number[] {
  const values = lines.flatMap(({ points, band }) => [
    ...points.map(({ y }) => y),
    ...band.flatMap(({ low, high }) => [low, high]),
  ]);
  return values.length === 0 ? [0] : values;
}
