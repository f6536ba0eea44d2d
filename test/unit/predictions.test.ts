import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { likeliest } from '../../coordinator/inference/likeliest.ts';
import { type Scores, writePredictions } from '../../coordinator/inference/prediction-files.ts';
import { listOf } from '../../shared/data/file-list.ts';
import { temporaryFolder } from '../helpers/temporary.ts';

const scores = (...values: number[]) => Float32Array.from(values);

/** Both files, and how many readable images have no prediction. */
async function written(
  t: ExecutionContext,
  images: readonly string[],
  rows: readonly Float32Array[],
  { unreadable = [], names = [], topK = 2 }: Partial<Scores> & { names?: string[]; topK?: number } = {},
): Promise<{ csv: string; json: unknown[]; without: number }> {
  const folder = temporaryFolder(t);
  const paths = { csv: join(folder, 'p.csv'), jsonLines: join(folder, 'p.jsonl') };
  const files = listOf(
    images,
    images.map(() => 1),
  );
  const given = {
    async *rows() {
      yield* rows;
    },
    files,
    unreadable,
  };
  const without = await writePredictions(paths, given, { topK, names });
  const lines = readFileSync(paths.jsonLines, 'utf8').trimEnd().split('\n');
  return {
    csv: readFileSync(paths.csv, 'utf8'),
    json: lines.map((line) => JSON.parse(line) as unknown),
    without,
  };
}

test('probabilities are the softmax over all outputs, the likeliest first', (t) => {
  const found = likeliest(scores(0, Math.log(2), 0, Math.log(4)), 3)!;
  t.deepEqual(
    found.map(({ label }) => label),
    [3, 1, 0],
  );
  for (const [i, expected] of [4 / 8, 2 / 8, 1 / 8].entries()) {
    t.true(Math.abs(found[i]!.probability - expected) < 1e-7, `${found[i]!.probability}`);
  }
  const all = likeliest(scores(3, -1, 0.5, 2, 2), 5)!;
  t.true(Math.abs(all.reduce((sum, { probability }) => sum + probability, 0) - 1) < 1e-15);
});

test('of equal scores the lower output comes first', (t) => {
  const labels = (k: number) => likeliest(scores(1, 5, 1, 5, 5, 1), k)!.map(({ label }) => label);
  t.deepEqual(labels(6), [1, 3, 4, 0, 2, 5]);
  t.deepEqual(labels(2), [1, 3]);
  t.deepEqual(labels(4), [1, 3, 4, 0]);
});

test('scores of any size have probabilities, and scores that are not finite have none', (t) => {
  t.deepEqual(likeliest(scores(3e38, -3e38), 2), [
    { label: 0, probability: 1 },
    { label: 1, probability: 0 },
  ]);
  t.deepEqual(likeliest(scores(-3e38, -3e38), 1), [{ label: 0, probability: 0.5 }]);
  t.deepEqual(likeliest(scores(Number.NEGATIVE_INFINITY, 2), 1), [{ label: 1, probability: 1 }]);
  t.is(likeliest(scores(Number.NaN, Number.NaN), 2), null);
  t.is(likeliest(scores(1, Number.NaN, 2), 1), null);
  t.is(likeliest(scores(1, Number.POSITIVE_INFINITY), 1), null);
});

test('the k likeliest outputs are those that sorting all of them would give', (t) => {
  const many = Float32Array.from({ length: 1000 }, (_, i) => (i * 7919) % 331);
  const sorted = [...many.keys()].sort((a, b) => many[b]! - many[a]! || a - b);
  for (const k of [1, 5, 999, 1000]) {
    t.deepEqual(
      likeliest(many, k)!.map(({ label }) => label),
      sorted.slice(0, k),
    );
  }
});

test('each image has its lines in the CSV and an object of its own in the JSON Lines, named alike', async (t) => {
  const { csv, json, without } = await written(t, ['a.jpg', 'sub/b, c.jpg'], [scores(1, 1), scores(0, 50)], {
    names: ['daisy', 'the "rose"'],
  });
  const small = Math.exp(-50) / (1 + Math.exp(-50));
  t.is(
    csv,
    [
      'image,rank,label,class,probability',
      'a.jpg,1,0,daisy,0.5',
      'a.jpg,2,1,"the ""rose""",0.5',
      '"sub/b, c.jpg",1,1,"the ""rose""",1',
      `"sub/b, c.jpg",2,0,daisy,${small}`,
      '',
    ].join('\n'),
  );
  t.deepEqual(json, [
    {
      image: 'a.jpg',
      predictions: [
        { label: 0, class: 'daisy', probability: 0.5 },
        { label: 1, class: 'the "rose"', probability: 0.5 },
      ],
    },
    {
      image: 'sub/b, c.jpg',
      predictions: [
        { label: 1, class: 'the "rose"', probability: 1 },
        { label: 0, class: 'daisy', probability: small },
      ],
    },
  ]);
  t.is(without, 0);
});

test('an output that has no name has its number alone', async (t) => {
  const { csv, json } = await written(t, ['a.jpg'], [scores(0, 0)], { names: ['daisy'] });
  t.is(csv, 'image,rank,label,class,probability\na.jpg,1,0,daisy,0.5\na.jpg,2,1,,0.5\n');
  t.deepEqual(json, [
    {
      image: 'a.jpg',
      predictions: [
        { label: 0, class: 'daisy', probability: 0.5 },
        { label: 1, class: null, probability: 0.5 },
      ],
    },
  ]);
});

test('an image that cannot be read has no prediction and says why; one with scores of NaN is counted', async (t) => {
  const nothing = scores(Number.NaN, Number.NaN);
  const rows = [scores(1, 0), nothing, nothing];
  const unreadable = [{ row: 1, file: 'b.jpg', reason: 'b.jpg cannot be read' }];
  const { csv, json, without } = await written(t, ['a.jpg', 'b.jpg', 'c.jpg'], rows, { unreadable, topK: 1 });
  t.regex(csv, /^image,rank,label,class,probability\na\.jpg,1,0,,0\.731\d+\n$/);
  t.deepEqual(json.slice(1), [
    { image: 'b.jpg', predictions: [], unreadable: 'b.jpg cannot be read' },
    { image: 'c.jpg', predictions: [] },
  ]);
  t.is(without, 1);
});

test('many images go through in pieces, and none is lost between two', async (t) => {
  const images = Array.from({ length: 20_000 }, (_, i) => `folder/image-${String(i).padStart(6, '0')}.jpg`);
  const { csv, json } = await written(
    t,
    images,
    images.map((_, i) => scores(i % 2, 0.5)),
    { topK: 1 },
  );
  const lines = csv.trimEnd().split('\n').slice(1);
  t.deepEqual(
    lines.map((line) => line.split(',').slice(0, 3)),
    images.map((image, i) => [image, '1', i % 2 === 1 ? '0' : '1']),
  );
  t.is(json.length, images.length);
});
