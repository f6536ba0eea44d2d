/** What the live page looks like, of runs that are made up, in a real browser. */
import anyTest from 'ava';
import type { BrowserContextOptions, Locator, Page } from 'playwright-core';
import { chromiumPath, openBrowser, poorContrast, type Visit } from '../helpers/browser.ts';
import { aLongRun, aRunOnGpus, aWaitingRun, servePage } from '../helpers/page-server.ts';
import { possible } from '../helpers/possible.ts';
import { thorough } from '../helpers/thorough.ts';

const test = possible(chromiumPath !== null, 'Chromium is missing') ? anyTest.serial : anyTest.serial.skip;

/** One browser for all, opened by the first that needs it. */
let browser: ReturnType<typeof openBrowser> | null = null;
const endings: (() => unknown)[] = [];
anyTest.after.always(async () => {
  for (const end of endings) await end();
});

async function visit(url: string, options: BrowserContextOptions): Promise<Visit> {
  browser ??= openBrowser({ teardown: (close) => endings.push(close) });
  return (await browser)(url, { timezoneId: 'UTC', ...options });
}

const desktop = { width: 1280, height: 900 };
const phone = { width: 390, height: 844 };

/** The last value in the legend of a chart's line. */
function legend(page: Page, chart: string, line: number): Promise<string> {
  return page.locator(`#${chart} .legend b`).nth(line).innerText();
}

/** What a tile says: its value, and the words below. */
async function tile(page: Page, name: string): Promise<string[]> {
  const found = page.locator('#figures > div').filter({ has: page.getByText(name, { exact: true }) });
  return found.locator('dd').allTextContents();
}

async function box(target: Locator) {
  const found = await target.boundingBox();
  if (found === null) throw new Error('It is not to be seen.');
  return { ...found, right: found.x + found.width, bottom: found.y + found.height };
}

/** The headings of the cards, from top to bottom. */
async function headings(page: Page): Promise<string[]> {
  const all = await page.locator('h2:visible').all();
  const placed = await Promise.all(
    all.map(async (title) => ({ y: (await box(title)).y, name: await title.textContent() })),
  );
  return placed.sort((a, b) => a.y - b.y).map(({ name }) => name!);
}

/** A computed style of the first that is found. */
function style(page: Page, selector: string, property: string): Promise<unknown> {
  return page.evaluate(`getComputedStyle(document.querySelector('${selector}')).${property}`);
}

async function drawn(page: Page): Promise<void> {
  await page.locator('#accuracy path.line.train:not(.faint)').waitFor({ state: 'attached' });
}

test('nothing runs over or into something else, and every word has contrast', async (t) => {
  const { url } = await servePage(t, aLongRun());
  for (const viewport of [desktop, phone, { width: 320, height: 640 }]) {
    for (const colorScheme of ['light', 'dark'] as const) {
      const name = `${viewport.width} ${colorScheme}`;
      const { page, complaints } = await visit(url, { viewport, colorScheme });
      await drawn(page);
      const width = 'document.documentElement.scrollWidth';
      t.is(await page.evaluate(width), viewport.width, name);
      for (const chart of ['loss', 'accuracy']) {
        const [title, keys] = [
          await box(page.locator(`#${chart} h2`)),
          await box(page.locator(`#${chart} .legend`)),
        ];
        t.true(title.right <= keys.x || title.bottom <= keys.y, `${name}: title and legend of ${chart}`);
      }
      for (const part of await page.locator('#where .whole').all()) {
        t.true((await box(part)).height < 30, `${name}: a number keeps its unit`);
      }
      t.deepEqual(await poorContrast(page), [], name);
      t.deepEqual(complaints, [], name);
    }
  }
});

test('the tiles say what the curves say, and each says something below', async (t) => {
  const { url } = await servePage(t, aLongRun());
  const { page } = await visit(url, { viewport: desktop });
  await drawn(page);
  const run = aLongRun();
  t.deepEqual(await tile(page, 'loss'), [
    await legend(page, 'loss', 0),
    `last batch ${run.view.loss!.toPrecision(4)}`,
  ]);
  t.not(run.view.loss!.toPrecision(4), await legend(page, 'loss', 0));
  t.is((await tile(page, 'top-1'))[0], await legend(page, 'accuracy', 0));
  t.is((await tile(page, 'validation top-1'))[0], await legend(page, 'accuracy', 1));
  t.is((await tile(page, 'validation top-1'))[1], 'best 90.0 %, epoch 6');
  t.is((await tile(page, 'speed'))[0], await legend(page, 'speed', 0));
  t.deepEqual(await tile(page, 'learning rate'), ['0.01', '÷ 10 at epoch 20']);
  t.deepEqual(await tile(page, 'workers'), ['2', '2 of 2 lanes, 2 hosts']);
  t.regex((await page.locator('#where').textContent())!, /about 10 min left \(≈ 14:14\)$/);
  t.is(await page.locator('#clock').textContent(), 'started 13:50 · 14 min 31 s so far');
  const facts = (await page.locator('#facts').textContent())!;
  t.regex(facts, /ssh -L 9464:127\.0\.0\.1:9464 node0/);
  t.regex(facts, /commandcoordinator start --model Z/);
});

/** To be run in the page: the words that reach beyond the list of workers. */
const tooWide = `(() => {
  const list = document.querySelector('#workers');
  const { right } = list.getBoundingClientRect();
  const words = [...list.querySelectorAll('span')].filter((one) => one.getBoundingClientRect().right > right + 0.5);
  return words.map(({ textContent }) => textContent);
})()`;

thorough('each worker says how fast it is, and how its GPU does, below its host with the sums', async (t) => {
  const run = aRunOnGpus();
  const { url, send } = await servePage(t, run);
  const rows = (page: Page) => page.locator('#workers li').allInnerTexts();
  for (const viewport of [desktop, phone, { width: 320, height: 640 }]) {
    for (const colorScheme of ['light', 'dark'] as const) {
      const { page, complaints } = await visit(url, { viewport, colorScheme });
      await page.locator('#workers li').nth(9).waitFor();
      const name = `${viewport.width} ${colorScheme}`;
      t.is(await page.evaluate('document.documentElement.scrollWidth'), viewport.width, name);
      t.deepEqual(await page.evaluate(tooWide), [], name);
      t.deepEqual(await poorContrast(page), [], name);
      t.deepEqual(complaints, [], name);
    }
  }
  const { page } = await visit(url, { viewport: desktop });
  await page.locator('#workers li').nth(9).waitFor();
  const said = (await rows(page)).map((row) => row.replaceAll(/\s+/g, ' '));
  t.is(said[0], 'gpu-node-2.cluster.example 4 workers, GPUs 83 % 1212 images/s');
  t.regex(
    said[1]!,
    /^worker0 lanes 0 1 done, .* 300 images\/s GPU 80 % 60\.0 of 85\.5 GB 60 °C cuda · NVIDIA/,
  );
  t.is(said[5], 'gpu-node-10.cluster.example 4 workers, GPUs 83 % 913 images/s');
  t.regex(said[7]!, /^worker3 .*the others GPU 83 % 63\.0 of/, 'its speed is not known yet');
  t.regex(said[9]!, /^worker7 .* 307 images\/s GPU – cuda/);

  const [one] = run.view.workers;
  const onCpu = { ...one!, device: 'cpu', imagesPerSecond: 9.5, gpu: null };
  send({ view: { ...run.view, workers: [onCpu] } });
  await page.locator('#workers .now .per-second', { hasText: /^9\.50 images\/s$/ }).waitFor();
  t.is(await page.locator('#workers li.host').count(), 2, 'those that left are seen for a while');
  const single = aLongRun();
  single.view.workers = [onCpu];
  const other = await visit((await servePage(t, single)).url, { viewport: desktop });
  await other.page.locator('#workers li').waitFor();
  t.regex((await rows(other.page))[0]!, /9\.50 images\/s\s+cpu .* on gpu-node-2\.cluster\.example$/);
  t.is(await other.page.locator('#workers .gpu:visible').count(), 0);
});

test('orange is training and blue is validation; top-5 is dashed; many validations have no dots', async (t) => {
  const few = await servePage(t, aLongRun({ step: 200 }));
  const many = await servePage(t, aLongRun());
  for (const colorScheme of ['light', 'dark'] as const) {
    const { page } = await visit(few.url, { viewport: desktop, colorScheme });
    await drawn(page);
    const training = await style(page, '#loss path.line.train', 'stroke');
    const validation = await style(page, '#loss path.line.val', 'stroke');
    t.not(training, validation);
    t.is(await style(page, '#accuracy path.line.train', 'stroke'), training);
    t.is(await style(page, '#accuracy path.line.val', 'stroke'), validation);
    t.is(await style(page, '#accuracy path.line.dashed', 'stroke'), validation);
    t.not(await style(page, '#accuracy path.line.dashed', 'strokeDasharray'), 'none');
    t.is(await style(page, '#shares .share.train', 'backgroundColor'), training);
    t.is(await style(page, '#shares .share.val', 'backgroundColor'), validation);
    t.is(await page.locator('#loss circle.dot').count(), 20);
  }
  const { page } = await visit(many.url, { viewport: desktop });
  await drawn(page);
  t.is(await page.locator('#loss circle.dot').count(), 0);
});

test('on a phone the events come early, the machinery is folded, and the state stays in sight', async (t) => {
  const { url } = await servePage(t, aLongRun());
  const { page } = await visit(url, { viewport: phone });
  await drawn(page);
  t.deepEqual(await headings(page), [
    ...['Loss', 'Top-1 accuracy', 'Events', 'Checkpoints', 'Speed', 'Where the time goes', 'Workers'],
    'This run',
  ]);
  t.false(await page.locator('#speed').isVisible());
  await page.locator('summary', { hasText: 'Speed' }).click();
  await page.locator('#speed path.line').waitFor();
  await page.evaluate('scrollTo(0, document.body.scrollHeight)');
  for (const id of ['state', 'percent']) {
    const { y, bottom } = await box(page.locator(`#${id}`));
    t.true(y >= 0 && bottom < 100, id);
  }
  t.is(await page.locator('#percent').textContent(), '41 %');
});

test('the best checkpoint stands below the four newest ones, the others are counted, and the kept ones named', async (t) => {
  const { url } = await servePage(t, aLongRun());
  const { page } = await visit(url, { viewport: desktop });
  await drawn(page);
  const rows = await page.locator('#checkpoints tbody tr').all();
  t.deepEqual(await Promise.all(rows.map((row) => row.locator('td').allTextContents())), [
    ['320', '16.00', '65.0 %', 'kept'],
    ['280', '14.00', '60.0 %', ''],
    ['240', '12.00', '55.0 %', 'kept'],
    ['200', '10.00', '50.0 %', ''],
    ['120', '6.00', '40.0 %', 'best'],
  ]);
  t.is(await rows.at(-1)!.locator('.mark.best').count(), 1);
  t.deepEqual(await page.locator('#checkpoints .note').allTextContents(), [
    'and 3 earlier ones',
    'kept: epochs 4, 8, 12, 16',
  ]);
});

test('both columns of a wide page end at the same height', async (t) => {
  for (const run of [aLongRun(), aWaitingRun()]) {
    const { url } = await servePage(t, run);
    const { page } = await visit(url, { viewport: desktop });
    await page.locator('#events li').first().waitFor();
    const ends = await Promise.all(
      (
        await page
          .locator('.stack > .card:visible:last-child, .stack > .card:visible:nth-last-child(2)')
          .all()
      ).map(async (card) => Math.round((await box(card)).bottom)),
    );
    const [lowest] = ends.sort((a, b) => b - a);
    t.is(ends.filter((end) => end === lowest).length, 2, String(ends));
  }
});

test('before the first step every curve says so, and the command that adds a worker can be copied', async (t) => {
  const run = aWaitingRun();
  const { url } = await servePage(t, run);
  const { page } = await visit(url, {
    viewport: desktop,
    permissions: ['clipboard-read', 'clipboard-write'],
  });
  for (const chart of ['loss', 'accuracy', 'speed']) {
    t.is(await page.locator(`#${chart} .none`).innerText(), 'No step yet.');
  }
  const clipboard = () => page.evaluate('navigator.clipboard.readText()');
  await page.getByRole('button', { name: 'Copy the command that adds a worker' }).click();
  await page.getByRole('button', { name: 'Copied the command that adds a worker' }).waitFor();
  t.is(await clipboard(), run.facts.join!.command);
  t.deepEqual(await poorContrast(page), []);
});

test('after a resume the speed is drawn from where it is known', async (t) => {
  const { url } = await servePage(t, aLongRun({ resumedAt: 300 }));
  const { page } = await visit(url, { viewport: desktop });
  await drawn(page);
  const path = (await page.locator('#speed path.line').getAttribute('d'))!;
  const { width } = await box(page.locator('#speed svg'));
  const first = Number(/^M([\d.]+)/.exec(path)![1]);
  t.true(first < 0.15 * width, `it begins at ${first} of ${width} pixels`);
  t.regex((await page.locator('#speed svg').textContent())!, /epoch 15/);
  t.regex((await page.locator('#clock').textContent())!, /^resumed/);
});

test('when the connection is lost the numbers turn grey, with the time that they are of', async (t) => {
  const server = await servePage(t, aLongRun());
  const { page } = await visit(server.url, { viewport: desktop });
  await drawn(page);
  const ink = () => style(page, '#figures dd', 'color');
  const before = await ink();
  t.is(await page.locator('body.stale').count(), 0);
  await server.stop();
  await page.locator('body.stale').waitFor();
  t.not(await ink(), before);
  t.regex((await page.locator('#where').textContent())!, / · as of 14:04:31$/);
  t.deepEqual(await poorContrast(page), []);
  await page.locator('#state.lost').waitFor();
  t.regex(
    (await page.locator('#resume').textContent())!,
    /^If its process is gone, continue with: .*--resume/,
  );
});

test('a run that is over shows what there is, and how to continue it', async (t) => {
  const run = aLongRun();
  const { url } = await servePage(t, {
    ...run,
    curve: { from: 0, points: run.curve.points.map((point) => ({ ...point, imagesPerSecond: null })) },
    view: {
      ...run.view,
      workers: [],
      shares: [],
      phase: 'finished',
      stopping: 'asked to',
      secondsLeft: null,
    },
    ended: `Stopped at step 330 of 800. ${run.facts.resume!.how} ${run.facts.resume!.command}`,
  });
  const permissions = ['clipboard-read', 'clipboard-write'];
  for (const viewport of [desktop, phone]) {
    const { page } = await visit(url, { viewport, permissions });
    await drawn(page);
    t.is(await page.locator('#state').textContent(), 'STOPPED');
    t.is(await page.locator('#sentence').textContent(), 'Stopped at step 330 of 800.');
    t.is(await page.locator('#clock').textContent(), 'started 13:50 · ended 14:04, after 14 min 31 s');
    t.deepEqual(await headings(page), ['Loss', 'Top-1 accuracy', 'Events', 'Checkpoints', 'This run']);
    t.is(await page.evaluate('document.documentElement.scrollWidth'), viewport.width);
    t.deepEqual(await poorContrast(page), []);
    await page.locator('#resume').getByRole('button').click();
    t.is(await page.evaluate('navigator.clipboard.readText()'), run.facts.resume!.command);
    await page.getByRole('button', { name: 'Copy the path of the best checkpoint' }).click();
    t.is(
      await page.evaluate('navigator.clipboard.readText()'),
      '/runs/long/checkpoints/step-00000120.safetensors',
    );
  }
});

test('a button that asks again says about what, and keeps asking while the run goes on', async (t) => {
  const run = aLongRun();
  run.facts.control = true;
  const { url, send } = await servePage(t, run);
  const { page } = await visit(url, { viewport: desktop });
  await page.getByLabel('Control token').fill('a-token-of-the-test');
  send({ view: { ...run.view, step: 331 } });
  const drain = page.getByRole('button', { name: 'Drain' }).first();
  await drain.focus();
  await page.keyboard.press('Enter');
  t.is(await drain.textContent(), 'Drain worker0? Press again');
  const { workers } = run.view;
  const busy = workers.map((worker) => ({ ...worker, owes: { what: 'update' as const } }));
  send({ view: { ...run.view, step: 332, workers: busy } });
  await page.locator('#workers li.busy').first().waitFor();
  t.is(await drain.textContent(), 'Drain worker0? Press again');
  t.is(await page.evaluate('document.activeElement.textContent'), 'Drain worker0? Press again');
  await page.keyboard.press('Tab');
  t.is(await drain.textContent(), 'Drain', 'who goes elsewhere did not mean it');
});
