import test from 'ava';
import { Draws, philox } from '../../shared/random.ts';

test("the generator gives Random123's known answers", (t) => {
  const block = (counter: number[], key: number[]) => {
    const words = new Uint32Array(4);
    philox(Uint32Array.from(counter), Uint32Array.from(key), words);
    return Array.from(words, (word) => word.toString(16).padStart(8, '0')).join(' ');
  };
  const ones = 0xffffffff;
  t.is(block([0, 0, 0, 0], [0, 0]), '6627e8d5 e169c58d bc57ac4c 9b00dbd8');
  t.is(block([ones, ones, ones, ones], [ones, ones]), '408f276d 41c83b0e a20bc7c6 6d5451fd');
  const digitsOfPi = block([0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344], [0xa4093822, 0x299f31d0]);
  t.is(digitsOfPi, 'd16cfe09 94fdcceb 5001e420 24126ea1');
});

test('draws depend on every part of their key, and on nothing else', (t) => {
  const first = (...key: [number, number, number, number]) => new Draws(...key).uniform();
  const keys = [
    [1, 2, 3, 4],
    [9, 2, 3, 4],
    [1, 9, 3, 4],
    [1, 2, 9, 4],
    [1, 2, 3, 9],
  ] as [number, number, number, number][];
  t.is(new Set(keys.map((key) => first(...key))).size, keys.length);
  for (const key of keys) t.is(first(...key), first(...key));
});

test('uniforms and normals have the moments they should', (t) => {
  const count = 100_000;
  const draws = new Draws(5, 6);
  const mean = (values: number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;
  const uniforms = Array.from({ length: count }, () => draws.uniform());
  t.true(uniforms.every((u) => u >= 0 && u < 1));
  t.true(Math.abs(mean(uniforms) - 0.5) < 0.005);
  const normals = Array.from({ length: count }, () => draws.normal());
  t.true(Math.abs(mean(normals)) < 0.015);
  t.true(Math.abs(mean(normals.map((z) => z * z)) - 1) < 0.03);
  const products = normals.slice(1).map((z, i) => z * normals[i]!);
  t.true(Math.abs(mean(products)) < 0.015, 'neighbours are independent');
});

test('integers are below their bound, all of them come, and 2^32 is allowed', (t) => {
  const draws = new Draws(7, 8);
  const seen = new Set(Array.from({ length: 1_000 }, () => draws.integer(7)));
  t.deepEqual([...seen].sort(), [0, 1, 2, 3, 4, 5, 6]);
  t.true(draws.integer(2 ** 32) < 2 ** 32);
});
