import test from 'ava';
import { bounds } from '../../shared/option-bounds.ts';
import { readScales, scaleOf } from '../../shared/util/scales.ts';

test('the factor of a parameter is that of the longest name that it is meant by, and one where there is none', (t) => {
  const scales = readScales('V1=0.1, V1.conv*=0.5,decoder=10')!;
  const names = ['V1.norm1.weight', 'V1.conv1.weight', 'V2.conv1.weight', 'decoder.linear.bias'];
  t.deepEqual(
    names.map((name) => scaleOf(name, scales)),
    [0.1, 0.5, 1, 10],
  );
});

test('the same factors are the same text, in whatever order and with whatever digits they are given', (t) => {
  for (const text of ['decoder=10,V1=0.1', 'V1=0.10 , decoder=1e1', 'V1=1e-1,decoder=10.0']) {
    t.is(bounds.lrScale.parse(text), 'V1=0.1,decoder=10');
  }
  t.is(bounds.lrScale.parse(''), '');
});

test('what are no factors is refused: no name, no number greater than 0, a name twice', (t) => {
  for (const text of [
    'decoder',
    '=10',
    'decoder=',
    'V1=0',
    'V1=-1',
    'V1=x',
    'V1=1e999',
    'V1=1,V1=2',
    'V1=1,',
  ]) {
    t.false(bounds.lrScale.safeParse(text).success, text);
  }
});
