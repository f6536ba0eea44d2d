import { readFileSync } from 'node:fs';
import { request } from 'node:http';
import { join } from 'node:path';
import anyTest from 'ava';
import type { Page } from 'playwright-core';
import type { RunView } from '../../coordinator/view/run-view.ts';
import { chromiumPath, openBrowser } from '../helpers/browser.ts';
import { possible } from '../helpers/possible.ts';
import { TestRedis } from '../helpers/redis.ts';
import { type Command, Stage, tinyImages, tinyRun } from '../helpers/run.ts';
import { testsAll } from '../helpers/thorough.ts';

const test = possible(chromiumPath !== null, 'Chromium is missing') ? anyTest.serial : anyTest.serial.skip;
const token = 'a-token-of-the-test';

async function start(stage: Stage, output: string, env: NodeJS.ProcessEnv = {}): Promise<Command> {
  const endless = [...tinyRun(await tinyImages(stage.folder)), '--epochs', '1000', '--metrics-port', '0'];
  return stage.start('coordinator', [...endless, '--cpu-workers', '2', '-o', output], env);
}

async function addressOf(run: Command): Promise<string> {
  await run.until('the page has an address', () => /page +http/.test(run.stdout));
  return /page +(http:\S+)/.exec(run.stdout)![1]!;
}

/** The drawn line of the training loss; in a short run it has a point for each step. */
async function lossLine(page: Page): Promise<{ points: number; path: string }> {
  const path = (await page.locator('#loss path.line:not(.faint)').first().getAttribute('d')) ?? '';
  return { points: path.split('L').length, path };
}

async function stepShown(page: Page): Promise<number> {
  const where = await page.locator('#where').textContent();
  return Number(/step ([\d\u202f]+)/.exec(where ?? '')?.[1]?.replaceAll('\u202f', ''));
}

/** By the keyboard: a mouse misses a button that moves between down and up, as it may while a run begins. */
async function press(page: Page, name: string | RegExp): Promise<void> {
  await page.getByRole('button', { name }).first().press('Enter');
}

/** Status of an order, as one could send it from elsewhere. */
function order(address: string, what: string, headers: Record<string, string>): Promise<number> {
  return new Promise((resolve, reject) => {
    const sent = request(new URL(`control/${what}`, address), { method: 'POST', headers }, (response) => {
      response.resume();
      resolve(response.statusCode!);
    });
    sent.on('error', reject);
    sent.end();
  });
}

test('the page shows a run as it goes on: curves move, a dead worker is named, a resume continues them', async (t) => {
  const stage = new Stage(t);
  const output = join(stage.folder, 'run');
  const run = await start(stage, output);
  const address = await addressOf(run);
  const visit = await openBrowser(t);
  const early = await visit(address, { colorScheme: 'light', viewport: { width: 1280, height: 900 } });
  await early.page.locator('#workers .lane').nth(1).waitFor();
  await early.page.locator('#loss path.line.val').waitFor({ state: 'attached' });
  const before = { line: await lossLine(early.page), step: await stepShown(early.page) };
  await run.until('the curve moved', async () => {
    const now = { line: await lossLine(early.page), step: await stepShown(early.page) };
    return now.line.path !== before.line.path && now.step > before.step;
  });

  const speeds = early.page.locator('#workers .per-second', { hasText: /^[\d.]+ images\/s$/ });
  await speeds.nth(1).waitFor();
  const status = stage.start('coordinator', ['status', '-o', output, '--json']);
  await status.ended; // with a code that says how the run is
  const { workers } = JSON.parse(status.stdout) as RunView;
  t.deepEqual(
    workers.map(({ imagesPerSecond, gpu }) => [imagesPerSecond! > 0, gpu]),
    [
      [true, null],
      [true, null],
    ],
  );
  const listed = stage.start('coordinator', ['status', '-o', output]);
  await listed.ended;
  const line = /^ {2}[\w-]+ {2}member {2}lanes? [\d, -]+ {2}process \d+ on \S+ {2}[\d.]+ images\/s$/gm;
  t.is(listed.stdout.match(line)?.length, 2, listed.stdout);

  // Who comes late sees the whole course, on a dark phone.
  const phone = await visit(address, { colorScheme: 'dark', viewport: { width: 375, height: 812 } });
  await phone.page.locator('#loss path.line').first().waitFor({ state: 'attached' });
  t.true((await lossLine(phone.page)).points > before.step, 'a point for each step');
  t.true((await stepShown(phone.page)) > before.step);
  const widths = 'document.documentElement.scrollWidth + " " + document.body.scrollWidth';
  t.is(await phone.page.evaluate(widths), '375 375');
  const ground = 'getComputedStyle(document.body).backgroundColor';
  t.not(await phone.page.evaluate(ground), await early.page.evaluate(ground));
  for (const { page } of [early, phone]) t.true((await page.screenshot({ fullPage: true })).length > 10_000);

  const pid = Number(
    /process (\d+)/.exec((await early.page.locator('#workers li').first().textContent()) ?? '')![1],
  );
  process.kill(pid, 'SIGKILL');
  const gone = early.page.locator('#workers li.gone');
  await gone.waitFor();
  t.regex((await gone.textContent())!, /its process ended \(killed by SIGKILL\)/);
  t.regex(
    (await early.page.locator('#events li.warn').first().textContent())!,
    /was dropped: its process ended/,
  );
  t.deepEqual([...early.complaints, ...phone.complaints], []);

  t.is(await order(address, 'stop', { Authorization: `Bearer ${token}` }), 403, 'no token was set');
  run.signal('SIGTERM');
  t.is(await run.ended, 75);
  await early.page.locator('#state', { hasText: 'stopped' }).waitFor();
  t.regex((await early.page.locator('#sentence').textContent())!, /^Stopped at step \d+ of \d+\.$/);
  t.regex((await early.page.locator('#resume').textContent())!, /^Continue with: .* start --resume/);
  const stopped = await stepShown(early.page);

  const { port } = new URL(address);
  const resume = ['start', '--resume', '--cpu-workers', '1', '-o', output, '--metrics-port', port];
  const resumed = stage.start('coordinator', resume);
  await resumed.until('the page goes on', async () => (await stepShown(early.page)) > stopped);
  t.true((await lossLine(early.page)).points >= stopped, 'the course before the stop is there');
  resumed.signal('SIGTERM');
  t.is(await resumed.ended, 75);
});

(testsAll ? test : anyTest.serial.skip)(
  'while Redis is away the page says so and for how long, and no time that is left',
  async (t) => {
    const stage = new Stage(t);
    const redis = await TestRedis.start(t);
    const run = await start(stage, join(stage.folder, 'run'), { CORNET_REDIS_URL: redis.url });
    const { page, complaints } = await (await openBrowser(t))(await addressOf(run));
    await page.locator('#state', { hasText: 'OK · training' }).waitFor();
    await page.locator('#where', { hasText: ' left' }).waitFor();
    await redis.kill();
    await page.locator('#state.waits', { hasText: /^SLOW · Redis away for [3-9]\.\d s$/ }).waitFor();
    t.regex(
      (await page.locator('#sentence').textContent())!,
      /^Redis at unix:.* has been away for \d+\.\d s: the run/,
    );
    t.notRegex((await page.locator('#where').textContent())!, /left/);
    await redis.start();
    await page.locator('#state.live', { hasText: 'OK · training' }).waitFor({ timeout: 60_000 });

    run.signal('SIGSTOP');
    await page.locator('#state.lost', { hasText: /^STUCK · no sign of the coordinator for/ }).waitFor();
    run.signal('SIGCONT');
    run.signal('SIGTERM');
    await page.locator('#state.ended', { hasText: /^STOPPED$/ }).waitFor();
    t.is(await run.ended, 75);
    t.deepEqual(complaints, []);
  },
);

test('whoever has the token saves, drains and stops; nobody else does', async (t) => {
  const stage = new Stage(t);
  const output = join(stage.folder, 'run');
  const run = await start(stage, output, { CORNET_CONTROL_TOKEN: token });
  const address = await addressOf(run);
  const { page, complaints } = await (await openBrowser(t))(address);
  await page.locator('#workers .lane').nth(1).waitFor();

  const right = { Authorization: `Bearer ${token}` };
  t.is(await order(address, 'stop', {}), 401);
  t.is(await order(address, 'stop', { Authorization: 'Bearer something-else' }), 401);
  t.is(await order(address, 'stop', { ...right, Origin: 'http://elsewhere.example' }), 403);
  t.is(await order(address, 'stop', { ...right, 'Sec-Fetch-Site': 'cross-site' }), 403);
  t.is(await order(address, 'stop', { ...right, Host: 'rebound.example' }), 403);
  t.is(await order(address, 'drain?worker=nobody', right), 404);

  const answer = page.locator('#control p');
  await page.getByLabel('Control token').fill(token);
  await press(page, 'Checkpoint now');
  await answer.filter({ hasText: /\w/ }).waitFor();
  t.is(await answer.textContent(), 'A checkpoint is written after this step.');
  await page.locator('#checkpoints tbody tr').first().waitFor();

  await press(page, 'Drain');
  await press(page, /^Drain [\w-]+\? Press again$/);
  await page.locator('#events li', { hasText: ' drained.' }).waitFor();
  await page.locator('#workers li.member, #workers li.busy').nth(1).waitFor({ state: 'detached' });
  t.regex((await page.locator('#workers li:not(.gone) .lanes').textContent())!, /01/, 'it has both lanes');
  const step = await stepShown(page);
  await run.until('the run goes on', async () => (await stepShown(page)) > step);
  const left = await page.locator('#workers li:not(.gone) .name').textContent();
  t.is(await order(address, `drain?worker=${left}`, right), 409, 'the last one stays');
  t.deepEqual(complaints, []);

  await press(page, 'Stop after this step');
  await press(page, 'Stop after this step? Press again');
  t.is(await run.ended, 75);
  t.regex(run.stdout, /Stopping after a checkpoint, as the live page was told\.\n(.*\n)*Stopped at step \d+/);
  const log = readFileSync(join(output, 'log.jsonl'), 'utf8');
  t.false(log.includes('is computed again'), 'a drained worker makes no work');
  t.false(log.includes(token));
});
