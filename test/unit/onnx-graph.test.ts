/** What a graph is made of; `test/parity/onnx.test.ts` runs it. */
import test from 'ava';
import { traceGraph } from '../../coordinator/export/onnx-graph.ts';
import { buildModel } from '../../shared/models/family.ts';
import type { ModelName } from '../../shared/models/model.ts';

const size = 64;
const graphOf = (name: ModelName, times: number, taps: readonly string[] = []) =>
  traceGraph(buildModel(name, times), size, taps);
const typesOf = ({ nodes }: ReturnType<typeof graphOf>) => nodes.map(({ opType }) => opType);
const times = (types: readonly string[], type: string) => types.filter((one) => one === type).length;

test('CORnet-Z is its four areas, and the decoder', (t) => {
  const area = ['Conv', 'Relu', 'MaxPool'];
  const graph = graphOf('Z', 1);
  t.deepEqual(typesOf(graph), [...area, ...area, ...area, ...area, 'GlobalAveragePool', 'Flatten', 'Gemm']);
  t.deepEqual(graph.outputs, [{ name: 'logits', shape: ['batch', 1000] }]);
  t.deepEqual(graph.constants, []);
});

test('every weight is read but the counters of batches', (t) => {
  for (const name of ['Z', 'R', 'RT', 'S'] as const) {
    const wanted = buildModel(name, 5).entries.filter(({ kind }) => kind !== 'numBatchesTracked');
    t.deepEqual(
      graphOf(name, 5).weights,
      wanted.map((entry) => entry.name),
    );
  }
});

test('what has nothing to do with the outputs is left out: the last areas of RT never get there', (t) => {
  const [plain, tapped] = [graphOf('RT', 5), graphOf('RT', 5, ['V1.output-t4'])];
  // Of the 20 areas of 5 time steps, 6 are too late for the decoder: three of the last step, two, and one.
  // And three have no input yet.
  t.is(times(typesOf(plain), 'InstanceNormalization'), 2 * 14 - 3);
  // An output of the last step needs its area at the steps before, too.
  t.is(times(typesOf(tapped), 'InstanceNormalization'), 2 * 17 - 3);
  t.deepEqual(tapped.outputs.at(-1), { name: 'V1.output-t4', shape: ['batch', 64, 16, 16] });
});

test('with too few time steps, weights that the logits do not depend on are left out, too', (t) => {
  const { weights, nodes } = graphOf('RT', 1);
  t.false(weights.some((name) => name.startsWith('V1.')));
  t.is(nodes[0]!.opType, 'Shape', 'the images say only how many they are');
});

test('each value is made once, before it is read, and the outputs have the names that were asked for', (t) => {
  for (const name of ['Z', 'R', 'RT', 'S'] as const) {
    const taps = [
      'decoder.linear',
      'decoder.output',
      name === 'R' || name === 'RT' ? 'IT.output-t2' : 'V1.pool',
    ];
    const { nodes, weights, constants, outputs } = graphOf(
      name,
      3,
      name === 'Z' ? [...taps, 'V1.output'] : taps,
    );
    const made = new Set(['images', ...weights, ...constants.map((constant) => constant.name)]);
    for (const node of nodes) {
      t.deepEqual(
        node.inputs.filter((input) => !made.has(input)),
        [],
        node.name,
      );
      t.false(made.has(node.output), node.output);
      made.add(node.output);
    }
    t.deepEqual(
      outputs.map((output) => output.name),
      ['logits', ...taps, ...(name === 'Z' ? ['V1.output'] : [])],
    );
    for (const output of outputs) t.true(made.has(output.name));
  }
});

test('a graph has the shapes of its image size and of its head', (t) => {
  const { outputs } = traceGraph(buildModel('R', 2, 10), 96, ['V4.output-t1']);
  t.deepEqual(outputs, [
    { name: 'logits', shape: ['batch', 10] },
    { name: 'V4.output-t1', shape: ['batch', 256, 6, 6] },
  ]);
});
