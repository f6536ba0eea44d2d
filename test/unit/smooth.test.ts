import test from 'ava';
import { smooth, smoothSpeed } from '../../coordinator/watch/page/smooth.ts';

const points = (values: (number | null)[]) => values.map((y, x) => ({ x, y }));
const values = (of: { y: number | null }[]) => of.map(({ y }) => y);

test('a running mean spans more of a longer course, and leaves gaps as they are', (t) => {
  t.deepEqual(values(smooth(points([1, 2, null, 4]))), [1, 2, null, 4], 'few points are no noise');
  const many = smooth(points([...Array(10).fill(0), 10, null, ...Array(10).fill(0)]));
  t.is(many[10]!.y, 10 / 4);
  t.is(many[11]!.y, null);
  t.is(many[7]!.y, 0);
});

test('the curve of the speed is the mean of the time that an image takes, like the number beside it', (t) => {
  const speeds = Array.from({ length: 40 }, (_, i) => (i % 2 === 0 ? 100 : 400));
  const { y } = smoothSpeed(points(speeds))[20]!;
  const seconds = [18, 19, 20, 21, 22].map((i) => 1 / speeds[i]!);
  t.true(Math.abs(y! - 5 / seconds.reduce((a, b) => a + b)) < 1e-9);
});
