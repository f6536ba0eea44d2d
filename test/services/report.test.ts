/** `coordinator report` as a user calls it, and its files in a real browser. */
import { execFile } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { promisify } from 'node:util';
import anyTest from 'ava';
import type { Page } from 'playwright-core';
import { chromiumPath, openBrowser } from '../helpers/browser.ts';
import { possible } from '../helpers/possible.ts';
import { configOf, writeRunFolder } from '../helpers/report-runs.ts';
import { scripts } from '../helpers/run.ts';
import { temporaryFolder } from '../helpers/temporary.ts';

const test = anyTest.serial;
const inBrowser = possible(chromiumPath !== null, 'Chromium is missing') ? test : test.skip;

async function coordinator(...argv: string[]): Promise<{ code: number; stdout: string; stderr: string }> {
  return promisify(execFile)(process.execPath, [scripts.coordinator, 'report', ...argv]).then(
    ({ stdout, stderr }) => ({ code: 0, stdout, stderr }),
    (error: { code: number; stdout: string; stderr: string }) => error,
  );
}

/** Texts of a document that lie over one another, of all that show something. */
async function overlaps(page: Page): Promise<string[]> {
  const boxes = await page.locator('text').evaluateAll((texts) =>
    texts.map((text) => {
      const { left, right, top, bottom } = text.getBoundingClientRect();
      return { words: text.textContent, left, right, top, bottom };
    }),
  );
  // A box of text has room above and below its letters.
  const apart = (a: (typeof boxes)[0], b: (typeof boxes)[0]) =>
    a.right <= b.left || b.right <= a.left || a.bottom - 3 <= b.top || b.bottom - 3 <= a.top;
  return boxes.flatMap((a, i) =>
    boxes.slice(i + 1).flatMap((b) => (apart(a, b) ? [] : [`${a.words} / ${b.words}`])),
  );
}

inBrowser('a browser shows pictures and pages without complaint, and no text over another', async (t) => {
  const root = temporaryFolder(t);
  const nasty = writeRunFolder(join(root, '<b>&"'), configOf({ seed: 1 }));
  const runs = [
    nasty,
    writeRunFolder(join(root, 'two'), configOf({ seed: 2 })),
    writeRunFolder(join(root, 'three'), configOf({ seed: 3 })),
  ];
  const others = Array.from({ length: 7 }, (_, i) =>
    writeRunFolder(join(root, `lr-${i}`), configOf({ seed: i, learningRate: (i + 1) / 100 })),
  );
  const visit = await openBrowser(t);
  for (const [name, folders] of [
    ['one', [nasty]],
    ['seeds', runs],
    ['many', [...runs, ...others]],
  ] as const) {
    for (const format of ['svg', 'html']) {
      const file = join(root, `${name}.${format}`);
      const { code, stdout, stderr } = await coordinator(...folders, '-o', file);
      t.is(code, 0, stderr);
      t.regex(stdout, /^Wrote .* from /);
      const { page, complaints } = await visit(pathToFileURL(file).href, { colorScheme: 'dark' });
      t.deepEqual(complaints, []);
      const root_ = format === 'svg' ? 'svg' : 'html';
      t.is(await page.evaluate('document.documentElement.localName'), root_);
      t.is(await page.locator('parsererror').count(), 0);
      t.is(await page.locator('b, script').count(), 0);
      t.true((await page.locator('path.line').count()) >= 5);
      t.deepEqual(await overlaps(page), [], `${name}.${format}`);
      const width = await page.evaluate(
        'document.documentElement.scrollWidth <= innerWidth || document.documentElement.localName === "svg"',
      );
      t.true(width, 'nothing reaches past the window');
    }
  }
});

test('a table on standard output, whose reader may go early', async (t) => {
  const folder = writeRunFolder(join(temporaryFolder(t), 'run'));
  const { code, stdout } = await coordinator(folder, '-o', '-');
  t.is(code, 0);
  t.is(stdout.split('\n').length, 22);
  t.regex(stdout, /^run,model,seed,step,epoch,train\/loss,/);
  const command = `"$0" ${scripts.coordinator} report "$1" -o - | head -n 1`;
  const { stdout: first } = await promisify(execFile)('sh', ['-c', command, process.execPath, folder]);
  t.is(first.split('\n').length, 2);
});

test('a command without a run or a file says what to do', async (t) => {
  const folder = writeRunFolder(join(temporaryFolder(t), 'run'));
  for (const argv of [[], ['-o', 'x.svg'], [folder]]) {
    const { code, stderr } = await coordinator(...argv);
    t.is(code, 2);
    t.regex(stderr, /\[OPTION_INVALID\]\nUsage: .* report --output <file> \[options\] <run\.\.\.> \(--help/);
  }
  const { code, stderr } = await coordinator(folder, '-o', 'x.pdf');
  t.is(code, 2);
  t.regex(stderr, /must end in \.svg/);
});

test('a run folder stays as it is', async (t) => {
  const folder = writeRunFolder(join(temporaryFolder(t), 'run'));
  const before = readFileSync(join(folder, 'metrics.jsonl'), 'utf8');
  t.is((await coordinator(folder, '-o', join(folder, 'report.html'))).code, 0);
  t.is(readFileSync(join(folder, 'metrics.jsonl'), 'utf8'), before);
  t.deepEqual(readdirSync(folder).sort(), ['config.json', 'metrics.jsonl', 'report.html']);
});
