/** Files of users' own models: what is recorded of them, and what is refused, in words. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { withOwnModel } from '../../coordinator/custom-model/load.ts';
import { CornetError } from '../../shared/errors.ts';
import { batchNorm, conv2d, defineModel, type ModelDefinition } from '../../shared/models/define.ts';
import { networkOf } from '../../shared/models/family.ts';
import { type GraphNode, type ModelGraph, modelGraph } from '../../shared/models/graph.ts';
import { recordModel } from '../../shared/models/record.ts';
import { temporaryFolder } from '../helpers/temporary.ts';

const conv = conv2d('V1.conv', 3, 8, 3);
const norm = batchNorm('V1.norm', 8);

const plain: ModelDefinition = {
  name: 'mine',
  layers: [conv, norm],
  forward: (pass, images) => pass.relu('V1.nonlin', pass.batchNorm(norm, pass.conv2d(conv, images))),
};

const record = (definition: Partial<ModelDefinition>) =>
  recordModel(
    defineModel(() => ({ ...plain, ...definition })),
    1,
  );

test('what a model does is recorded: layers in the order of the state dict, and operations in theirs', (t) => {
  const { name, graph, recipe } = record({ recipe: { learningRate: 0.5, epochs: 3, stepSize: 2 } });
  t.is(name, 'mine');
  t.deepEqual(recipe, { learningRate: 0.5, epochs: 3, stepSize: 2 });
  t.deepEqual(
    graph.nodes.map(({ op }) => op),
    ['conv2d', 'batchNorm', 'relu'],
  );
  t.deepEqual(modelGraph.parse(JSON.parse(JSON.stringify(graph))), graph);
  const model = networkOf({ model: name, custom: graph, times: 1, head: 5 });
  t.deepEqual(
    model.entries.map((entry) => `${entry.name} [${entry.shape}]`),
    [
      ...['V1.conv.weight [8,3,3,3]', 'V1.conv.bias [8]', 'V1.norm.weight [8]', 'V1.norm.bias [8]'],
      ...['V1.norm.running_mean [8]', 'V1.norm.running_var [8]', 'V1.norm.num_batches_tracked []'],
      ...['decoder.linear.weight [5,8]', 'decoder.linear.bias [5]'],
    ],
  );
});

test('what no model can be is refused where it stands in the file, by name', (t) => {
  const refused = (definition: Partial<ModelDefinition>, message: string | RegExp) =>
    t.throws(() => record(definition), { instanceOf: CornetError, code: 'MODEL_INVALID', message });
  refused({ name: 'R' }, /^A model's name is one word .* this one is "R"\.$/);
  refused({ name: 'two words' }, /this one is "two words"\.$/);
  refused({ layers: [conv, conv] }, 'Two layers are called V1.conv.');
  refused({ layers: [conv] }, 'The layer V1.norm is not in layers.');
  refused(
    { forward: (pass, images) => pass.batchNorm(norm, images) },
    'V1.norm takes 8 channels, and gets 3.',
  );
  refused(
    {
      forward: (pass, images) => {
        const x = pass.conv2d(conv, images);
        pass.relu('V1.nonlin', x);
        return pass.tap('V1.output', x);
      },
    },
    'V1.output reads what V1.nonlin has used up: normalisations and ReLU work in the place of their input.',
  );
  refused(
    {
      forward: (pass, images) => {
        const x = pass.conv2d(conv, images);
        const y = pass.maxPool('V1.pool', x);
        pass.relu('V1.nonlin', x);
        return y;
      },
    },
    /^V1\.nonlin would use up what another operation \(maxPool\) reads, too/,
  );
  refused({ forward: (pass, images) => pass.relu('V1.nonlin', images) }, /would use up the images/);
  refused(
    {
      forward: (pass, images) => {
        const x = pass.conv2d(conv, images);
        return pass.add(x, pass.maxPool('V1.pool', x));
      },
    },
    'A sum has two values of one size, and these have strides of 1 and 2.',
  );
  refused(
    {
      forward: (pass, images) => {
        pass.tap('V1.output', images);
        return pass.tap('V1.output', pass.conv2d(conv, images));
      },
    },
    'Two results are called V1.output.',
  );
  refused(
    { forward: (pass, images) => pass.tap('output', pass.conv2d(conv, images)) },
    /^"output" is no name of a feature/,
  );
  refused(
    { forward: () => ({ channels: 8, stride: 1 }) },
    /^forward must be given, or return, what an operation/,
  );
});

test('a graph that nobody has recorded is refused, wherever it comes from', (t) => {
  const { graph } = record({});
  const broken = (change: Partial<ModelGraph>, fault: RegExp) =>
    t.regex(modelGraph.safeParse({ ...graph, ...change }).error?.issues[0]?.message ?? '', fault);
  const [first, second, third] = graph.nodes as [GraphNode, GraphNode, GraphNode];
  broken({ nodes: [{ ...first, layer: 7 } as GraphNode, second, third] }, /names a layer that is not there/);
  broken({ nodes: [{ ...first, x: 3 } as GraphNode, second, third] }, /reads a value that is not there/);
  broken({ nodes: [first, second, { ...third, x: 1 } as GraphNode] }, /reads a value that is used up/);
  broken({ output: 9 }, /has no output/);
  broken({ output: 1 }, /has no output/);
});

/** A file of a model in a folder of its own, without any package. */
function fileOf(t: ExecutionContext, text: string, name = 'model.mjs'): string {
  const folder = join(temporaryFolder(t), 'models');
  mkdirSync(folder);
  const path = join(folder, name);
  writeFileSync(path, text);
  return path;
}

const source = `
import { batchNorm, conv2d, defineModel } from 'cornet-ts/model';
console.log('what a file prints is nobody\\'s business');
const conv = conv2d('V1.conv', 3, 8, 3);
export default defineModel(({ times }) => ({
  name: 'mine',
  layers: [conv],
  forward(pass, images) {
    let x = pass.conv2d(conv, images);
    for (let t = 0; t < times; t++) x = pass.at(t, () => pass.maxPool('V1.pool', x));
    return x;
  },
}));
`;

test('a file finds the package wherever it lies, and is unrolled for the time steps that are wanted', async (t) => {
  const { model, own } = await withOwnModel<{ model?: string; own?: never }>({ model: fileOf(t, source) }, 3);
  t.is(model, 'mine');
  const { graph } = own as unknown as { graph: ModelGraph };
  t.deepEqual([graph.times, graph.nodes.length], [3, 4]);
});

test('a file that cannot be used says why, with its place', async (t) => {
  const refused = async (text: string | null, message: RegExp, name?: string) => {
    const model = text === null ? join(temporaryFolder(t), 'none.mjs') : fileOf(t, text, name);
    await t.throwsAsync(withOwnModel({ model }, 2), {
      instanceOf: CornetError,
      code: 'MODEL_INVALID',
      message,
    });
  };
  await refused(null, /^There is no file .*none\.mjs that defines a model\.$/);
  await refused('export default 3;', /its default export is not what defineModel returns\.$/);
  await refused('syntax error', /cannot be used: SyntaxError: /);
  await refused(
    source.replace('conv2d(conv', 'conv3d(conv'),
    /TypeError: pass\.conv3d is not a function \(.*model\.mjs:/,
  );
  await refused(
    source.replace("'V1.conv', 3", "'V1.conv', 4"),
    /cannot be used: V1\.conv takes 4 channels, and gets 3\.$/,
  );
  await refused('process.exit(3);', /cannot be used: its process ended with 3\.$/);
  await refused(
    source.replace('let x = pass.conv2d(conv, images);', 'let x = pass.zeros(8, 1);'),
    /with 2 time steps no image reaches its decoder\.$/,
  );
});
