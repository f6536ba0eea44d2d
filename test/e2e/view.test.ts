/** A run that has ended, looked at in a real browser through `coordinator view`. */
import { cpSync, existsSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import anyTest from 'ava';
import type { Page } from 'playwright-core';
import { chromiumPath, openBrowser } from '../helpers/browser.ts';
import { possible } from '../helpers/possible.ts';
import { assertRefused } from '../helpers/refused.ts';
import { pausedAt, Stage, tinyImages, tinyRun, tinySteps, trainedSteps } from '../helpers/run.ts';

const test = possible(chromiumPath !== null, 'Chromium is missing') ? anyTest.serial : anyTest.serial.skip;

/** Points of the drawn training loss: one for each step of a short run. */
async function points(page: Page): Promise<number> {
  const path = await page.locator('#loss path.line:not(.faint)').first().getAttribute('d');
  return (path ?? '').split(/[ML]/).length - 1;
}

test('view shows an interrupted run from its files, follows them as it is resumed, and ends with Ctrl-C', async (t) => {
  const stage = new Stage(t);
  const output = join(stage.folder, 'run');
  const argv = [...tinyRun(await tinyImages(stage.folder)), '--save-model-secs', '1', '--cpu-workers', '1'];
  const run = stage.start('coordinator', [...argv, '-o', output], pausedAt(9));
  await run.paused();
  run.signal('SIGINT');
  run.resume();
  t.is(await run.ended, 75, run.stderr);
  const stoppedAt = trainedSteps(output).length;
  cpSync(output, join(stage.folder, 'copy'), { recursive: true });

  const view = stage.start('coordinator', ['view', output]);
  await view.until('the page has an address', () => /page +http/.test(view.stdout));
  t.regex(
    view.stdout,
    /^STOPPED {2}interrupted at step \d+ of 16; last checkpoint .* ago\npage +http\S+ +\(/,
  );
  const address = /page +(http:\S+)/.exec(view.stdout)![1]!;
  const visit = await openBrowser(t);
  const { page, complaints } = await visit(address);
  await page.locator('#loss path.line.val').waitFor({ state: 'attached' });
  t.is(await points(page), stoppedAt);
  t.regex((await page.locator('#state').textContent())!, /^STOPPED/);
  t.regex((await page.locator('#where').textContent())!, new RegExp(`step ${stoppedAt} of 16`));
  t.regex((await page.locator('#events').textContent())!, /Stopped\..*Wrote a checkpoint: step-.*joined/s);
  t.regex((await page.locator('#checkpoints').textContent())!, /best/);
  t.regex((await page.locator('main, body').first().textContent())!, /start --resume --output-path/);
  t.is(await page.locator('button:visible', { hasText: /drain|stop|checkpoint now/i }).count(), 0);

  const resumed = stage.start('coordinator', ['start', '--resume', '-o', output]);
  t.is(await resumed.ended, 0, resumed.stderr);
  await page.locator('#state', { hasText: 'COMPLETE' }).waitFor();
  t.is(await points(page), tinySteps);
  t.deepEqual(complaints, []);
  view.signal('SIGINT');
  t.is(await view.ended, 0, view.stderr);

  // A copy elsewhere, without its coordinator's host, is shown just as well.
  const copy = stage.start('coordinator', ['view', join(stage.folder, 'copy')]);
  await copy.until('the page has an address', () => /page +http/.test(copy.stdout));
  t.regex(copy.stdout, /^STOPPED {2}interrupted at step /);
  copy.signal('SIGTERM');
  t.is(await copy.ended, 0);
});

test('view refuses what is no training run, and a port that is taken', async (t) => {
  const stage = new Stage(t);
  const nothing = stage.start('coordinator', ['view', stage.folder]);
  await assertRefused(t, stage, nothing, { code: 'RUN_MISSING', exit: 1, says: /holds no run/ });
  const output = join(stage.folder, 'run');
  const argv = [...tinyRun(await tinyImages(stage.folder)), '--max-steps', '1', '--cpu-workers', '1'];
  t.is(await stage.start('coordinator', [...argv, '-o', output]).ended, 0);
  const other = createServer().listen(0, '127.0.0.1');
  t.teardown(() => other.close());
  await new Promise((resolve) => other.once('listening', resolve));
  const { port } = other.address() as { port: number };
  const taken = stage.start('coordinator', ['view', output, '--metrics-port', String(port)]);
  await assertRefused(t, stage, taken, {
    code: 'PORT_UNAVAILABLE',
    exit: 1,
    says: /another program listens/,
  });
  const images = join(stage.folder, 'images');
  const results = join(stage.folder, 'results');
  const inference = ['validate', '--weights', output, '--data-path', images, '--threads', '1'];
  const killed = new Stage(t); // it leaves its temporary files behind
  const validation = killed.start('coordinator', [...inference, '-o', results]);
  const unfinished = join(results, 'CORnet-Z_validation.unfinished');
  await validation.until('its folder is a run', () => existsSync(join(unfinished, 'config.json')));
  killed.kill();
  await killed.empty();
  const wrong = stage.start('coordinator', ['view', unfinished]);
  await assertRefused(t, stage, wrong, { code: 'OPTION_INVALID', exit: 2, says: /has no curves/ });
});
