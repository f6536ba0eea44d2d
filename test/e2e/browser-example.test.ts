/** examples/browser in a real browser: a page that runs an exported network, without a worker. */
import { spawn, spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import anyTest, { type ExecutionContext, type TestFn } from 'ava';
import type { Page } from 'playwright-core';
import sharp from 'sharp';
import { exportWeights } from '../../coordinator/api/index.ts';
import { chromiumPath, openBrowser, poorContrast } from '../helpers/browser.ts';
import { possible } from '../helpers/possible.ts';
import { Command, Stage, tinyImages, tinyRun } from '../helpers/run.ts';

const example = resolve('examples/browser');
const installed = possible(
  existsSync(join(example, 'node_modules', 'onnxruntime-web')),
  'ONNX Runtime for browsers is not installed (deploy/setup.sh --tests does it)',
);
const inBrowser = possible(chromiumPath !== null, 'Chromium is missing');
const test = (installed && inBrowser ? anyTest.serial : anyTest.serial.skip) as TestFn;
const withTypes = (installed ? anyTest : anyTest.skip) as TestFn;

/**
 * Between the page and `coordinator predict`, of a probability. Measured with Chromium 156 and ONNX Runtime 1.30 on
 * AVX-512: at most 4.3e-7 of the 300 validation images of the demo; where a canvas resizes as it likes, up to 0.07.
 */
const tolerance = 1e-5;

/** The example in a folder of its own, with this network, served by `npm start`. */
async function serve(stage: Stage, network: string): Promise<string> {
  const site = join(stage.folder, 'site');
  mkdirSync(site);
  for (const name of ['package.json', 'index.html', 'page.js']) cpSync(join(example, name), join(site, name));
  symlinkSync(join(example, 'node_modules'), join(site, 'node_modules'));
  cpSync(network, join(site, 'demo.onnx'));
  const env = stage.environment({ HOST: '', PORT: '0' }); // any that is free
  const server = new Command(spawn('npm', ['start'], { cwd: site, env }));
  const address = () => /http:\/\/localhost:\d+/.exec(server.stdout)?.[0];
  await server.until('it served the page', () => address() !== undefined);
  return `${address()}/`;
}

const ready = (page: Page) => page.locator('#picker:enabled').waitFor();

/** What the page says of the file that was picked or dropped: the classes, the likeliest first. */
async function classesOn(page: Page, file: string): Promise<[name: string, probability: number][]> {
  await page.locator('#status', { hasText: `${file}: ` }).waitFor();
  const rows = await page.locator('#classes tr').all();
  return Promise.all(
    rows.map(async (row) => [
      await row.locator('th').innerText(),
      Number(await row.locator('data').getAttribute('value')),
    ]),
  );
}

/** The validation images, and one of them as other kinds of files. */
async function makePhotos(images: string, photos: string): Promise<void> {
  cpSync(join(images, 'val'), photos, { recursive: true });
  const one = () => sharp(join(photos, 'blobs', 'blobs_00006.JPEG'));
  const large = () => one().resize(900, 701, { fit: 'fill' });
  await large().jpeg({ chromaSubsampling: '4:2:0' }).toFile(join(photos, 'large.jpg'));
  await large().jpeg({ progressive: true }).toFile(join(photos, 'progressive.jpg'));
  await large().withMetadata({ orientation: 6 }).jpeg().toFile(join(photos, 'turned.jpg'));
  await one().greyscale().jpeg().toFile(join(photos, 'grey.jpg'));
  await one().resize(20, 31, { fit: 'fill' }).png().toFile(join(photos, 'small.png'));
  await one().webp({ lossless: true }).toFile(join(photos, 'lossless.webp'));
}

interface Line {
  image: string;
  predictions: { class: string; probability: number }[];
}

test('the page says what `coordinator predict` says, of whatever kind an image is', async (t) => {
  const stage = new Stage(t);
  const run = async (argv: string[]) => {
    const command = stage.start('coordinator', argv);
    t.is(await command.ended, 0, command.stderr);
  };
  const [photos, trained] = [join(stage.folder, 'photos'), join(stage.folder, 'run')];
  const [network, predictions] = [join(stage.folder, 'z.onnx'), join(stage.folder, 'predictions')];
  const images = await tinyImages(stage.folder);
  await makePhotos(images, photos);
  await run([...tinyRun(images), '-o', trained]);
  await run(['export', trained, network]);
  const how = ['--recursive', '--cpu-workers', '1', '--threads', '1'];
  await run(['predict', '--weights', trained, '--data-path', photos, ...how, '-o', predictions]);
  const lines = readFileSync(join(predictions, 'CORnet-Z_predictions.jsonl'), 'utf8').trimEnd().split('\n');
  t.is(lines.length, 26);

  const { page, complaints } = await (await openBrowser(t))(await serve(stage, network));
  await ready(page);
  for (const { image, predictions } of lines.map((line) => JSON.parse(line) as Line)) {
    await page.locator('#picker').setInputFiles(join(photos, image));
    const found = await classesOn(page, image.split('/').at(-1)!);
    t.deepEqual(
      found.map(([name]) => name),
      predictions.map((one) => one.class),
      image,
    );
    for (const [rank, [, probability]] of found.entries()) {
      const difference = Math.abs(probability - predictions[rank]!.probability);
      t.true(difference <= tolerance, `${image}: ${difference}`);
    }
  }
  t.deepEqual(complaints, [], 'and asks nobody else for anything');
});

test('an image may be picked by keyboard or dropped; what is no image is called so', async (t) => {
  const stage = new Stage(t);
  const [network, notes] = [join(stage.folder, 'z.onnx'), join(stage.folder, 'notes.txt')];
  await exportWeights('untrained', network, { model: 'Z', imageSize: 32 });
  writeFileSync(notes, 'no image');
  const path = join(stage.folder, 'red.png');
  const background = { r: 200, g: 10, b: 10 };
  await sharp({ create: { width: 50, height: 40, channels: 3, background } })
    .png()
    .toFile(path);

  const url = await serve(stage, network);
  const { page, complaints } = await (await openBrowser(t))(url);
  await ready(page);
  await page.keyboard.press('Tab');
  const labelled = page.getByLabel(/^Choose an image/);
  t.is(await page.evaluate('document.activeElement.id'), await labelled.getAttribute('id'));
  const [chooser] = await Promise.all([page.waitForEvent('filechooser'), page.keyboard.press('Enter')]);
  await chooser.setFiles(path);
  const picked = await classesOn(page, 'red.png');
  t.is(picked.length, 5);
  for (const colorScheme of ['light', 'dark'] as const) {
    await page.emulateMedia({ colorScheme });
    for (const width of [1280, 320]) {
      await page.setViewportSize({ width, height: 700 });
      t.deepEqual(await poorContrast(page), [], `${colorScheme}, ${width}`);
      t.is(await page.evaluate('document.documentElement.scrollWidth'), width);
    }
  }

  await page.locator('#picker').setInputFiles(notes);
  await page.getByText('notes.txt is no image that this browser can read.').waitFor();
  t.false(await page.locator('#result').isVisible());
  await drop(page, 'dropped.png', readFileSync(path));
  t.deepEqual(await classesOn(page, 'dropped.png'), picked);
  t.is(page.url(), url, 'the browser has not left the page');
  t.deepEqual(complaints, []);

  for (const [file, sentence] of [
    ['none.onnx', 'none.onnx is not there (404): README.md says how it is made.'],
    ['page.js', 'page.js is no network of cornet-ts.'],
  ] as const) {
    await page.goto(`${url}?network=${file}`);
    await page.getByText(sentence).waitFor();
    t.true(await page.locator('#picker').isDisabled());
  }
  await page.route(/ort\.wasm/, (route) => route.abort());
  await page.goto(url);
  await page.getByText('ONNX Runtime is not there: npm ci installs it.').waitFor();
});

async function drop(page: Page, name: string, bytes: Buffer): Promise<void> {
  const script = `(() => {
    const bytes = Uint8Array.from(atob('${bytes.toString('base64')}'), (character) => character.charCodeAt(0));
    const dataTransfer = new DataTransfer();
    dataTransfer.items.add(new File([bytes], '${name}', { type: 'image/png' }));
    for (const type of ['dragover', 'drop']) {
      document.body.dispatchEvent(new DragEvent(type, { bubbles: true, cancelable: true, dataTransfer }));
    }
  })()`;
  await page.evaluate(script);
}

withTypes('the module of the page has no mistakes of types', (t: ExecutionContext) => {
  const { stdout } = spawnSync('node_modules/.bin/tsc', ['-p', join(example, 'jsconfig.json')], {
    encoding: 'utf8',
  });
  t.is(stdout, '');
});
