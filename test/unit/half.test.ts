import test from 'ava';
import { toHalf } from '../../shared/formats/half.ts';

/** What 16 bits stand for. */
function fromHalf(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 0x1f;
  const fraction = bits & 0x3ff;
  if (exponent === 0x1f) return fraction === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN;
  return exponent === 0 ? sign * fraction * 2 ** -24 : sign * (1024 + fraction) * 2 ** (exponent - 25);
}

test('every float16 comes back as it is', (t) => {
  for (let bits = 0; bits < 0x10000; bits++) {
    const value = fromHalf(bits);
    if (!Number.isNaN(value) && toHalf(value) !== bits) t.fail(`${bits} became ${toHalf(value)}`);
  }
  t.true(Number.isNaN(fromHalf(toHalf(Number.NaN))));
});

test('between two float16 the nearer one is taken, and in the middle the even one', (t) => {
  for (let bits = 0; bits < 0x7bff; bits++) {
    const [low, high] = [fromHalf(bits), fromHalf(bits + 1)];
    const middle = (low + high) / 2;
    const even = bits % 2 === 0 ? bits : bits + 1;
    const above = Math.fround(middle + (high - low) / 8);
    const below = Math.fround(middle - (high - low) / 8);
    if (toHalf(middle) !== even || toHalf(above) !== bits + 1 || toHalf(below) !== bits) t.fail(`at ${bits}`);
    if (toHalf(-middle) !== (even | 0x8000)) t.fail(`at -${bits}`);
  }
  t.is(toHalf(65_519), 0x7bff);
  t.is(toHalf(65_520), 0x7c00);
  t.is(toHalf(2 ** -26), 0);
});
