/** Files of weights whose head is another one, or missing: for features nobody needs it. */
import test from 'ava';
import { OrderedDict, type PythonValue, TensorReference } from '../../coordinator/weights/pickle-writer.ts';
import { readWeights } from '../../coordinator/weights/read-weights.ts';
import { CornetError } from '../../shared/errors.ts';
import { stateLayout } from '../../shared/formats/state-layout.ts';
import { buildModel } from '../../shared/models/family.ts';
import { isOfHead, withOptionalHead } from '../../shared/models/model.ts';
import { dict, file, model, stateDict, storages, weightsOnly } from '../helpers/saved-weights.ts';
import { floats, zipForm } from '../helpers/torch-files.ts';

const headless = withOptionalHead(model);
const tenClasses = {
  'ten weight': floats(...new Array(10 * 512).fill(Number.NaN)),
  'ten bias': floats(...new Array(10).fill(1)),
};

/** The weights, and zeros in place of the head. */
const withoutHead = weightsOnly.slice();
for (const { name, offset, bytes } of stateLayout(model).slots) {
  if (isOfHead(name)) withoutHead.fill(0, offset, offset + bytes);
}

function fileOf(head: [string, PythonValue][]): Buffer {
  const body = [...stateDict((name) => `module.${name}`)].filter(([name]) => !name.includes('decoder'));
  const kept = Object.fromEntries(Object.entries(storages).filter(([name]) => !isOfHead(name)));
  const names = new OrderedDict<PythonValue>([...body, ...head]);
  return zipForm(dict({ state_dict: names }), { ...kept, ...(head.length > 0 ? tenClasses : {}) });
}

const otherHead: [string, PythonValue][] = [
  ['module.decoder.linear.weight', new TensorReference('ten weight', 'FloatStorage', [10, 512])],
  ['module.decoder.linear.bias', new TensorReference('ten bias', 'FloatStorage', [10])],
];

for (const [what, head] of [
  ['without a head', []],
  ['with the head of ten classes', otherHead],
] as [string, [string, PythonValue][]][]) {
  test(`weights ${what} are read where no head is needed, and refused by that name where it is`, async (t) => {
    const path = await file(t, fileOf(head));
    t.true(Buffer.from(await readWeights(path, headless)).equals(withoutHead));
    const error = await t.throwsAsync(readWeights(path, model), { instanceOf: CornetError });
    t.is(error?.code, 'WEIGHTS_MISMATCH');
    t.regex((error as CornetError).hint, /^Only its head does not fit/);
  });
}

test('a head that fits is read although it is not needed', async (t) => {
  const path = await file(t, zipForm(stateDict(), storages));
  t.true(Buffer.from(await readWeights(path, headless)).equals(weightsOnly));
});

test('weights in which more than the head is wrong are refused, whoever reads them', async (t) => {
  const path = await file(t, fileOf([]));
  for (const other of [buildModel('S', 1), withOptionalHead(buildModel('S', 1))]) {
    const error = await t.throwsAsync(readWeights(path, other), { instanceOf: CornetError });
    t.is(error?.code, 'WEIGHTS_MISMATCH');
    t.notRegex((error as CornetError).hint, /Only its head/);
  }
});
