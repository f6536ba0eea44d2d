import { readFileSync } from 'node:fs';
import test from 'ava';
import { layerRows } from '../../coordinator/inference/layers.ts';
import type { ModelName } from '../../shared/models/model.ts';

const at = (rows: ReturnType<typeof layerRows>, name: string) =>
  rows.filter((row) => row.name === name).map(({ shape, timeSteps }) => ({ shape, timeSteps }));

for (const file of ['cornet_z', 'cornet_r', 'cornet_rt', 'cornet_rt_times3', 'cornet_s']) {
  test(`the layers of ${file} have the shapes that the original's modules gave, call by call`, (t) => {
    const golden = JSON.parse(readFileSync(`test/fixtures/golden/${file}.json`, 'utf8')) as {
      model: ModelName;
      times: number;
      image_size: number;
      eval: { taps: Record<string, { shape: number[] }[]> };
    };
    const rows = layerRows({ model: golden.model, times: golden.times, head: 1000 }, golden.image_size);
    for (const [name, calls] of Object.entries(golden.eval.taps)) {
      const shapes = at(rows, name).flatMap(({ shape, timeSteps }) => (timeSteps ?? [0]).map(() => shape));
      t.deepEqual(
        shapes,
        calls.map(({ shape }) => shape.slice(1)),
        name,
      );
    }
  });
}

test('a tap that does not fire at every time step names those at which it does', (t) => {
  const steps = (model: ModelName, name: string) =>
    at(layerRows({ model: model, times: 5, head: 1000 }, 224), name)[0]?.timeSteps;
  t.deepEqual(steps('RT', 'IT.conv_input'), [1, 2, 3, 4]);
  t.deepEqual(steps('R', 'IT.conv_input'), [1, 2, 3, 4]);
  t.deepEqual(steps('RT', 'IT.output'), [0, 1, 2, 3, 4]);
  t.deepEqual(steps('S', 'V4.norm1_3'), [3]);
  t.is(steps('S', 'decoder.avgpool'), null);
});

test('a tap whose shape changes over time has a row for each shape', (t) => {
  t.deepEqual(at(layerRows({ model: 'S', times: 5, head: 1000 }, 224), 'V4.conv1'), [
    { shape: [1024, 28, 28], timeSteps: [0] },
    { shape: [1024, 14, 14], timeSteps: [1, 2, 3] },
  ]);
});

test('the rows are in the order in which an image passes', (t) => {
  const names = layerRows({ model: 'S', times: 5, head: 1000 }, 224).map(({ name }) => name);
  const order = [
    'V1.conv1',
    'V1.output',
    'V2.conv_input',
    'V2.norm1_0',
    'V2.norm1_1',
    'V2.conv2',
    'IT.output',
  ];
  const found = [...order, 'decoder.output'].map((name) => names.indexOf(name));
  t.deepEqual(
    found,
    found.toSorted((a, b) => a - b),
  );
  t.false(found.includes(-1));
  t.is(names.at(-1), 'decoder.output');
});

test('shapes follow the image size', (t) => {
  t.deepEqual(at(layerRows({ model: 'RT', times: 3, head: 1000 }, 96), 'IT.output')[0], {
    shape: [512, 3, 3],
    timeSteps: [0, 1, 2],
  });
  t.deepEqual(at(layerRows({ model: 'S', times: 5, head: 1000 }, 32), 'IT.output')[0]?.shape, [512, 1, 1]);
  t.deepEqual(at(layerRows({ model: 'Z', times: 1, head: 1000 }, 16), 'IT.output')[0]?.shape, [512, 1, 1]);
});
