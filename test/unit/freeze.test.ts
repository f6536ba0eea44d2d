import test from 'ava';
import { CornetError } from '../../shared/errors.ts';
import { momentumName, stateLayout } from '../../shared/formats/state-layout.ts';
import { vectorLayout } from '../../shared/formats/vector-layout.ts';
import { modelOf } from '../../shared/models/family.ts';
import { type Freezing, normsAtRest } from '../../shared/models/freeze.ts';
import type { ModelName } from '../../shared/models/model.ts';

const network = (model: ModelName, freezing: Freezing) => modelOf({ model, times: 5, head: 10, ...freezing });
const frozenOf = (model: ModelName, freezing: Freezing) =>
  network(model, freezing)
    .entries.filter(({ frozen }) => frozen)
    .map(({ name }) => name);

test('an area, a layer, a parameter or a pattern of them says what is frozen', (t) => {
  t.deepEqual(frozenOf('Z', { freeze: ['V1'] }), ['V1.conv.weight', 'V1.conv.bias']);
  t.deepEqual(frozenOf('RT', { freeze: ['V2.norm1', 'V4.conv1.weight'] }), [
    'V2.norm1.weight',
    'V2.norm1.bias',
    'V4.conv1.weight',
  ]);
  t.deepEqual(frozenOf('Z', { freeze: ['*.bias'] }).length, 5);
  t.true(frozenOf('S', { freeze: ['V4.norm*'] }).every((name) => /^V4\.norm\w+\.(weight|bias)$/.test(name)));
  t.deepEqual(frozenOf('S', { freeze: ['V1.norm1', 'V1'] }).length, 6, 'named twice is frozen once');
  t.deepEqual(frozenOf('Z', { trainOnly: ['decoder', 'IT'], freeze: ['IT.conv.bias'] }), [
    ...['V1', 'V2', 'V4'].flatMap((area) => [`${area}.conv.weight`, `${area}.conv.bias`]),
    'IT.conv.bias',
  ]);
});

test('a frozen parameter has no place in the vector and no momentum, and the state dict stays whole', (t) => {
  const [whole, part] = [network('S', {}), network('S', { trainOnly: ['decoder'], freezeNorms: true })];
  const decoder = ['decoder.linear.weight', 'decoder.linear.bias'];
  t.deepEqual(
    vectorLayout(part, 32).entries.map(({ name }) => name),
    decoder,
  );
  const names = stateLayout(part).slots.map(({ name }) => name);
  t.deepEqual(
    names.filter((name) => name.startsWith('optimizer.')),
    decoder.map(momentumName),
  );
  t.deepEqual(stateLayout(part, 'inference'), stateLayout(whole, 'inference'));
});

test('only norms whose weight and bias are frozen are at rest', (t) => {
  const freezing = { freeze: ['V1', 'V2.norm_skip.weight'], freezeNorms: true };
  t.deepEqual([...normsAtRest(network('S', freezing))], ['V1.norm1', 'V1.norm2']);
  t.deepEqual([...normsAtRest(network('S', { freeze: ['V1'] }))], []);
  t.is(
    normsAtRest(network('S', { freeze: ['*norm*'], freezeNorms: true })).size,
    network('S', {}).norms.length,
  );
});

test('what cannot be frozen is refused, and it is said what can', (t) => {
  const refused = (model: ModelName, freezing: Freezing, message: RegExp, hint: RegExp) => {
    const error = t.throws(() => network(model, freezing), { instanceOf: CornetError, message });
    t.is(error?.code, 'OPTION_INVALID');
    t.regex((error as CornetError).hint, hint);
  };
  refused(
    'Z',
    { freeze: ['V1', 'V3'] },
    /^--freeze V3 names no parameter of CORnet-Z\.$/,
    /areas are V1, V2, V4, IT, decoder; its layers V1\.conv, .*decoder\.linear;.*V1\.conv\.weight/,
  );
  refused('R', { trainOnly: ['V1.conv'] }, /^--train-only V1\.conv names no/, /V1\.conv_input/);
  refused('Z', { freeze: ['V'] }, /^--freeze V names no/, /areas/);
  refused('Z', { freeze: ['*'] }, /^Every parameter of CORnet-Z would be frozen/, /--train-only decoder/);
  refused('Z', { trainOnly: ['decoder'], freeze: ['decoder'] }, /^Every parameter/, /train/);
  refused('Z', { freeze: ['V1'], freezeNorms: true }, /^CORnet-Z has no batch normalisation/, /Leave/);
  refused('S', { freezeNorms: true }, /none is\.$/, /--freeze V1/);
});
