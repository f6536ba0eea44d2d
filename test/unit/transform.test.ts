import test from 'ava';
import { Draws, streams } from '../../shared/random.ts';
import {
  type Geometry,
  randomResizedCrop,
  resizeAndCentreCrop,
  squash,
} from '../../worker/data/transform.ts';

const draws = (sample: number, epoch = 0) => new Draws(11, streams.augmentation, epoch, sample);

function crops(width: number, height: number, n: number): Geometry[] {
  return Array.from({ length: n }, (_, i) => randomResizedCrop(224, draws(i))(width, height));
}

test('a random crop lies within the image, within the allowed areas and ratios', (t) => {
  for (const [width, height] of [
    [500, 375],
    [333, 500],
    [96, 96],
  ] as const) {
    for (const { box } of crops(width, height, 500)) {
      t.true(box.left >= 0 && box.left + box.width <= width);
      t.true(box.top >= 0 && box.top + box.height <= height);
      const [area, ratio] = [(box.width * box.height) / (width * height), box.width / box.height];
      t.true(area > 0.075 && area < 1.01, `area ${area}`); // sides are whole pixels
      t.true(ratio > 0.72 && ratio < 1.39, `ratio ${ratio}`);
    }
  }
});

test('areas are uniform, ratios log-uniform, places uniform, and half of the crops are flipped', (t) => {
  // in a square image small boxes are never refused: look at those only
  const small = crops(1000, 1000, 20_000).filter(({ box }) => box.width * box.height < 500_000);
  const mean = (f: (g: Geometry) => number) => small.reduce((sum, g) => sum + f(g), 0) / small.length;
  t.true(Math.abs(mean(({ box }) => (box.width * box.height) / 1e6) - 0.29) < 0.005); // (0.08 + 0.5) / 2
  t.true(Math.abs(mean(({ box }) => Math.log(box.width / box.height))) < 0.01);
  t.true(
    Math.abs(mean(({ box }) => Math.log(box.width / box.height) ** 2) - Math.log(4 / 3) ** 2 / 3) < 0.002,
  );
  t.true(Math.abs(mean(({ box }) => box.left / (1000 - box.width)) - 0.5) < 0.02);
  t.true(Math.abs(mean(({ box }) => box.top / (1000 - box.height)) - 0.5) < 0.02);
  t.true(Math.abs(mean(({ flip }) => Number(flip)) - 0.5) < 0.02);
});

test('an image too long for any crop gives its centre, at the nearest allowed ratio', (t) => {
  const long = randomResizedCrop(224, draws(0))(3000, 30);
  t.deepEqual(long.box, { left: 1480, top: 0, width: 40, height: 30 });
  const tall = randomResizedCrop(224, draws(0))(30, 3001);
  t.deepEqual(tall.box, { left: 0, top: 1480, width: 30, height: 40 });
});

test('one pixel is enough for every transform', (t) => {
  const box = { left: 0, top: 0, width: 1, height: 1 };
  t.deepEqual(randomResizedCrop(224, draws(0))(1, 1).box, box);
  t.deepEqual(resizeAndCentreCrop(224)(1, 1).box, box);
  t.deepEqual(squash(224)(1, 1).box, box);
});

test('the crop of a sample depends on the epoch and the sample, not on the samples before it', (t) => {
  const crop = (sample: number, epoch: number) =>
    JSON.stringify(randomResizedCrop(224, draws(sample, epoch))(500, 375));
  const alone = crop(5, 1);
  t.deepEqual(
    [crop(4, 1), crop(5, 1), crop(5, 0), crop(6, 1)].map((other) => other === alone),
    [false, true, false, false],
  );
});

test('validation keeps the aspect ratio, floors the long side and rounds the offset as Python does', (t) => {
  const geometry = (width: number, height: number) => {
    const { width: w, height: h, left, top } = resizeAndCentreCrop(224)(width, height);
    return { w, h, left, top };
  };
  t.deepEqual(geometry(500, 375), { w: 341, h: 256, left: 58, top: 16 }); // 58.5 goes to the even 58
  t.deepEqual(geometry(333, 500), { w: 256, h: 384, left: 16, top: 80 });
  t.deepEqual(geometry(343, 256), { w: 343, h: 256, left: 60, top: 16 }); // 59.5 goes to the even 60
  t.is(resizeAndCentreCrop(64)(100, 100).width, 73);
});

test('squashing takes the whole image, whatever its shape', (t) => {
  t.deepEqual(squash(112)(500, 20), {
    box: { left: 0, top: 0, width: 500, height: 20 },
    width: 112,
    height: 112,
    left: 0,
    top: 0,
    flip: false,
  });
});
