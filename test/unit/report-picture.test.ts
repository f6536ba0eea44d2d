import test from 'ava';
import { smoothingOf, trainingLine, validationLine } from '../../coordinator/report/curves.ts';
import { groupRuns } from '../../coordinator/report/groups.ts';
import { drawRuns, svgDocument } from '../../coordinator/report/picture.ts';
import type { ReportRun } from '../../coordinator/report/read-runs.ts';
import { spread } from '../../coordinator/report/spread.ts';
import { coveringAxis, exactAxis } from '../../coordinator/view/axis.ts';
import { normalizations } from '../../shared/defaults.ts';
import { CornetError } from '../../shared/errors.ts';
import { Draws } from '../../shared/random.ts';
import { type ResultOptions, resultOptions } from '../../shared/run-config.ts';
import { configOf, linesOf, reportRun } from '../helpers/report-runs.ts';

const draws = () => new Draws(7, 1);

/** 1, 2, 2.5 or 5 times a power of ten. */
function isRound(step: number): boolean {
  const digits = step.toExponential(9).replace(/e.*/, '');
  return [1, 2, 2.5, 5].includes(Number(digits));
}

test('ticks are round numbers at equal distances, and cover what is drawn', (t) => {
  const random = draws();
  for (let i = 0; i < 500; i++) {
    const low = random.between(-5, 5) * 10 ** random.integer(5);
    const high = low + random.between(1e-3, 10) * 10 ** random.integer(5);
    const axis = coveringAxis(low, high, 6);
    t.true(axis.low <= low && axis.high >= high, `${low} to ${high}`);
    t.deepEqual([axis.low, axis.high], [axis.ticks[0], axis.ticks.at(-1)]);
    t.true(axis.ticks.length >= 2 && axis.ticks.length <= 9, axis.ticks.join());
    const steps = axis.ticks.slice(1).map((tick, j) => tick - axis.ticks[j]!);
    const [step] = steps as [number];
    t.true(isRound(Number(step.toPrecision(6))), axis.ticks.join());
    for (const other of steps) t.true(Math.abs(other - step) < 1e-6 * step);
    const exact = exactAxis(0, high - low, 6);
    t.is(exact.high, high - low);
    t.true(exact.ticks[0] === 0 && exact.ticks.at(-1)! <= exact.high * (1 + 1e-6));
  }
  t.deepEqual(coveringAxis(0, 0.97, 5).ticks, [0, 0.2, 0.4, 0.6, 0.8, 1]);
  t.deepEqual(exactAxis(0, 14, 7).ticks, [0, 2, 4, 6, 8, 10, 12, 14]);
  t.true(coveringAxis(1, 1, 4).ticks.length >= 2, 'a single value');
});

test('labels are moved apart, stay in order and inside, and do not move where there is room', (t) => {
  const random = draws();
  for (let i = 0; i < 500; i++) {
    const wanted = Array.from({ length: 1 + random.integer(16) }, () => random.between(0, 258));
    const places = spread(wanted, 15, 0, 258);
    const order = wanted.map((_, j) => j).sort((a, b) => wanted[a]! - wanted[b]!);
    const sorted = order.map((j) => places[j]!);
    for (const [j, place] of sorted.entries()) {
      t.true(place >= -1e-9 && place <= 258 + 1e-9);
      if (j > 0) t.true(place - sorted[j - 1]! >= 15 - 1e-9, sorted.join());
    }
  }
  t.deepEqual(spread([200, 10, 100], 15, 0, 258), [200, 10, 100]);
  t.deepEqual(spread([100, 100], 15, 0, 258), [92.5, 107.5]);
});

const seeds = (n: number): ReportRun[] =>
  Array.from({ length: n }, (_, seed) => reportRun(configOf({ seed })));

test('runs that differ only in their seed are one group; others are told apart in words', (t) => {
  const [only] = groupRuns(seeds(3));
  t.is(only!.runs.length, 3);
  t.deepEqual([only!.key, only!.label], ['', '']);
  const other = configOf({ seed: 1, learningRate: 0.05, model: 'RT' });
  const threads = { ...configOf({ seed: 4 }), threads: 9, run: 'x' };
  const groups = groupRuns([...seeds(2), reportRun(other), reportRun(threads)]);
  t.deepEqual(
    groups.map(({ key, label, runs }) => [key, label, runs.length]),
    [
      ['A', 'CORnet-Z, lr 0.5', 3],
      ['B', 'CORnet-RT, lr 0.05', 1],
    ],
  );
});

test('runs with and without a part of the recipe are told apart by it', (t) => {
  const other = {
    schedule: 'constant',
    warmupEpochs: 1,
    lrScale: 'V1=0.1',
    nesterov: true,
    labelSmoothing: 0.1,
  } as const;
  t.deepEqual(
    groupRuns([...seeds(1), reportRun(configOf(other))]).map(({ label }) => label),
    [
      'step size 2, no warm-up, no lr scale, momentum 0.9, no label smoothing',
      'constant, warm-up 1, lr scale V1=0.1, Nesterov momentum 0.9, label smoothing 0.1',
    ],
  );
});

test('whatever else shapes the result tells runs apart, and nobody can forget it', (t) => {
  const file = { from: 'weights', sha256: '0'.repeat(64), key: null, head: 'kept' } as const;
  const apart: Partial<ResultOptions> = {
    ...{ model: 'RT', times: 7, head: 20, batchSize: 11, lanes: 3, learningRate: 0.1, stepSize: 3 },
    ...{ freeze: ['V1'], trainOnly: ['decoder'], freezeNorms: true, optimizer: 'adamw', clipNorm: 1 },
    ...{ momentum: 0.8, weightDecay: 0, nesterov: true, labelSmoothing: 0.1, lrScale: 'V1=0.1' },
    ...{ schedule: 'constant', warmupEpochs: 1, imageSize: 64, precision: 'bf16', startingWeights: file },
    ...{ augment: 'center', cropScale: [0.2, 1], cropRatio: [1, 1], flip: false, rotate: 10 },
    ...{ grayscale: 0.2, colorJitter: [0, 0, 0.5, 0], blur: '4:0,0:2', normalize: normalizations.half },
    custom: { times: 1, layers: [], nodes: [], output: 0, decoder: { inFeatures: 3, init: 'pytorch' } },
    ...{ fingerprint: 'other', trainImages: 96, imagesPerClass: 5, valSplit: 0.1 },
  };
  // Those of one data set, or of one optimizer or schedule alone; the last bits; and the seed.
  const alike = ['valImages', 'classes', 'classNames', 'validationBatch', 'deterministic', 'seed'];
  const inside = ['betas', 'scheduleEpochs', 'minLr'];
  t.deepEqual([...Object.keys(apart), ...alike, ...inside].sort(), Object.keys(resultOptions.shape).sort());
  const plain = { model: 'R' } as const; // CORnet-Z has no time steps
  for (const [name, value] of Object.entries(apart)) {
    const runs = [reportRun(configOf(plain)), reportRun(configOf({ ...plain, [name]: value }))];
    t.is(groupRuns(runs).length, 2, name);
  }
  const cosine = { schedule: 'cosine', scheduleEpochs: 2 } as const;
  const adamw = { optimizer: 'adamw' } as const;
  for (const [first, second] of [
    [adamw, { ...adamw, betas: [0.5, 0.5] as const }],
    [cosine, { ...cosine, scheduleEpochs: 3 }],
    [cosine, { ...cosine, minLr: 0.01 }],
  ]) {
    t.is(groupRuns([reportRun(configOf(first)), reportRun(configOf(second))]).length, 2);
  }
});

test('of three runs the line is the mean and the band from minimum to maximum', (t) => {
  const runs = seeds(3);
  const { points, band } = validationLine(runs, 'top1');
  t.deepEqual(
    points.map(({ x }) => x),
    [1, 2],
  );
  for (const [i, { y }] of points.entries()) {
    const values = [0, 1, 2].map(
      (seed) => linesOf(seed).filter((line) => 'val/top1' in line)[i]!['val/top1']!,
    );
    t.true(Math.abs(y - (values[0]! + values[1]! + values[2]!) / 3) < 1e-12);
    t.deepEqual(band[i], { low: Math.min(...values), high: Math.max(...values) });
  }
});

test('of four and more runs the band is the standard deviation', (t) => {
  const values = [0.2, 0.4, 0.4, 0.6];
  const runs = values.map((top1, seed) => {
    const run = reportRun(configOf({ seed }));
    return { ...run, validations: [{ step: 20, loss: 1, top1, top5: 1 }] };
  });
  const { points, band } = validationLine(runs, 'top1');
  const deviation = Math.sqrt((0.04 + 0 + 0 + 0.04) / 3);
  t.true(Math.abs(points[0]!.y - 0.4) < 1e-12);
  t.true(Math.abs(band[0]!.low - (0.4 - deviation)) < 1e-12);
  t.true(Math.abs(band[0]!.high - (0.4 + deviation)) < 1e-12);
});

test('a training curve is a running mean, of several runs the mean of theirs', (t) => {
  const lines = (seed: number) => linesOf(seed, 40);
  const runs = [0, 1].map((seed) => reportRun(configOf({ seed }, 40), lines(seed)));
  const line = trainingLine(runs, 'loss', smoothingOf(runs));
  // 40 epochs of ten steps: an 80th to either side is five steps.
  const losses = [0, 1].map((seed) =>
    lines(seed).flatMap((record) => ('train/loss' in record ? [record['train/loss']!] : [])),
  );
  for (const { x, y } of line.points) {
    const step = Math.round(10 * x);
    const means = losses.map((of) => {
      const near = of.slice(Math.max(0, step - 6), step + 5);
      return near.reduce((a, b) => a + b, 0) / near.length;
    });
    t.true(Math.abs(y - (means[0]! + means[1]!) / 2) < 1e-9, `step ${step}`);
  }
  t.deepEqual([line.points[0]!.x, line.points.at(-1)!.x], [0.1, 40]);
  t.true(line.points.length > 150 && line.points.length <= 242);
});

test('a mean ends with the shortest run, and values that are not finite are left out', (t) => {
  const short = reportRun(configOf({ seed: 1 }), linesOf(1).slice(0, 12));
  const runs = [reportRun(configOf({ seed: 0 })), short];
  t.is(trainingLine(runs, 'loss', smoothingOf(runs)).points.at(-1)!.x, 1.1);
  const { body } = drawRuns(runs);
  t.regex(body, /The mean ends at epoch 1.1, with its shortest run\./);
  const diverged = linesOf(0).map((line) => ({
    ...line,
    ...('val/loss' in line ? { 'val/loss': null } : {}),
  }));
  const drawn = drawRuns([reportRun(configOf({ seed: 0 }), diverged)]);
  t.notRegex(drawn.body, /NaN|Infinity/);
});

/** The values at the ends of lines, chart by chart, with their heights. */
function valuesIn(body: string): { text: string; y: number; x: number }[] {
  return [...body.matchAll(/<text class="value[^"]*" x="([\d.]+)" y="([\d.]+)">(.*?)<\/text>/g)].map(
    ([, x, y, text]) => ({ x: Number(x), y: Number(y), text: text!.replace(/<[^>]*>/g, '') }),
  );
}

test('each line ends with its last value, and no two of them overlap', (t) => {
  const { body } = drawRuns([reportRun(configOf({ seed: 0 }))]);
  const last = linesOf(0).at(-1)!;
  const texts = valuesIn(body).map(({ text }) => text);
  t.is(texts.length, 5);
  t.is(texts[1], last['val/loss']!.toPrecision(3));
  t.is(texts[3], `${(100 * last['val/top1']!).toFixed(1)} %`);
  t.is(texts[4], `${(100 * last['val/top5']!).toFixed(1)} %`);
  const rates = Array.from({ length: 8 }, (_, i) => reportRun(configOf({ learningRate: 0.1 + i })));
  const values = valuesIn(drawRuns(rates).body);
  t.is(values.length, 16, 'eight equal lines in two charts');
  for (const a of values) {
    for (const b of values) if (a !== b && a.x === b.x) t.true(Math.abs(a.y - b.y) >= 14.8, `${a.y} ${b.y}`);
  }
  t.deepEqual(
    values.slice(0, 8).map(({ text }) => text[0]),
    [...'ABCDEFGH'],
  );
});

test('a picture says what its band is, how training is smoothed, and of how many runs it is', (t) => {
  t.regex(
    drawRuns(seeds(3)).body,
    /mean of 3 runs that differ only in their seed; band: minimum to maximum\./,
  );
  t.regex(
    drawRuns(seeds(4)).body,
    /mean of 4 runs that differ only in their seed; band: mean ± standard deviation\./,
  );
  t.regex(drawRuns(seeds(3)).body, /3 runs · seeds 0, 1, 2 · batch 10, lr 0\.5, 32 px/);
  const long = reportRun(configOf({}, 40), linesOf(0, 40));
  t.regex(drawRuns([long]).body, /running mean over 11 steps/);
  t.regex(drawRuns([long]).body, /CORnet-Z, 95 training images, 40 epochs/);
  t.regex(drawRuns([reportRun(configOf({}, 14), linesOf(0))]).body, /2 of 14 epochs/);
});

test('more configurations than colours are refused, with a way out', (t) => {
  const runs = Array.from({ length: 9 }, (_, i) => reportRun(configOf({ learningRate: 0.1 + i })));
  const error = t.throws(() => drawRuns(runs), { instanceOf: CornetError });
  t.is(error.code, 'OPTION_INVALID');
  t.regex(error.message, /9 different configurations, and a picture can tell 8 apart/);
  t.regex(error.hint, /-o FILE\.csv/);
});

test('a run without validations, or with a single step, can be drawn', (t) => {
  const training = linesOf(0).filter((line) => 'train/loss' in line);
  t.is(valuesIn(drawRuns([reportRun(configOf(), training)]).body).length, 2);
  const { body } = drawRuns([reportRun(configOf(), training.slice(0, 1))]);
  t.regex(body, /<circle class="dot train"/);
  t.notRegex(body, /NaN|Infinity/);
  const many = [0.1, 0.2].map((learningRate) => reportRun(configOf({ learningRate }), training));
  t.is(valuesIn(drawRuns(many).body).length, 4, 'in comparisons, too, a value stands at each end');
});

test('nothing in a name is markup', (t) => {
  const name = '<b>&"\'\ufffe';
  const runs = [0.1, 0.2].map((learningRate) => ({ ...reportRun(configOf({ learningRate })), name }));
  const svg = svgDocument(drawRuns(runs), name);
  t.notRegex(svg, /<b>|\ufffe/);
  t.regex(svg, /run &lt;b&gt;&amp;&quot;&#39;\ufffd/);
  const alone = svgDocument(drawRuns([{ ...reportRun(), path: `runs/${name}` }]), name);
  t.regex(alone, /Run &quot;runs\/&lt;b&gt;&amp;/);
});
