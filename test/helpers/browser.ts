/** A real browser, where there is one: Debian's Chromium, which `deploy/setup.sh --tests` installs. */
import { accessSync, constants } from 'node:fs';
import { delimiter, join } from 'node:path';
import type { ExecutionContext } from 'ava';
import { type BrowserContextOptions, chromium, type Page } from 'playwright-core';

/** The program, or null. */
export const chromiumPath: string | null = find('chromium');

function find(program: string): string | null {
  for (const folder of (process.env.PATH ?? '').split(delimiter)) {
    try {
      accessSync(join(folder, program), constants.X_OK);
      return join(folder, program);
    } catch {
      // look on
    }
  }
  return null;
}

const quiet = [
  '--disable-gpu',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];

export interface Visit {
  page: Page;
  /** What the page complained of, and what it asked of others than its own server. */
  complaints: string[];
}

type Visitor = (url: string, options?: BrowserContextOptions) => Promise<Visit>;

/** Opens pages, each as a reader of its own; all are closed when the test ends. */
export async function openBrowser(t: Pick<ExecutionContext, 'teardown'>): Promise<Visitor> {
  const browser = await chromium.launch({ executablePath: chromiumPath!, args: ['--no-sandbox', ...quiet] });
  t.teardown(() => browser.close());
  return async (url, options = {}) => {
    const page = await (await browser.newContext(options)).newPage();
    page.setDefaultTimeout(patience);
    const complaints: string[] = [];
    page.on('console', (message) => {
      if (message.type() === 'error' || message.type() === 'warning') complaints.push(message.text());
    });
    page.on('pageerror', (error) => complaints.push(String(error)));
    page.on('request', (request) => {
      if (!request.url().startsWith(url) && !request.url().startsWith('data:'))
        complaints.push(request.url());
    });
    await page.goto(url);
    return { page, complaints };
  };
}

/** Milliseconds after which something that is not to be seen fails its test. */
const patience = 120_000;

/** To be run in the page. */
const contrastScript = String.raw`(() => {
  const numbers = (color) => (color.match(/[\d.]+/g) ?? []).map(Number);
  const luminance = (color) => {
    const [red, green, blue] = numbers(color).map((part) => {
      const share = part / 255;
      return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
  };
  const ground = (element) => {
    const { backgroundColor } = getComputedStyle(element);
    const opaque = (numbers(backgroundColor)[3] ?? 1) > 0;
    return opaque || element.parentElement === null ? backgroundColor : ground(element.parentElement);
  };
  const opacity = (element) =>
    Number(getComputedStyle(element).opacity) * (element.parentElement === null ? 1 : opacity(element.parentElement));
  const found = [];
  const words = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let text = words.nextNode(); text !== null; text = words.nextNode()) {
    const element = text.parentElement;
    if (text.nodeValue.trim() === '' || !element.checkVisibility({ visibilityProperty: true })) continue;
    const { fill, color } = getComputedStyle(element);
    const lights = [element instanceof SVGElement ? fill : color, ground(element)].map(luminance);
    const contrast = (Math.max(...lights) + 0.05) / (Math.min(...lights) + 0.05);
    found.push({ text: text.nodeValue, contrast: opacity(element) < 1 ? 0 : contrast });
  }
  return found;
})()`;

/**
 * The words on a page whose contrast with what is behind them is below 4.5 to 1 (WCAG 2, AA); each ground must be of one
 * opaque colour, and words that let it through count as poor.
 */
export async function poorContrast(page: Page): Promise<string[]> {
  const found = (await page.evaluate(contrastScript)) as { text: string; contrast: number }[];
  if (found.length === 0) throw new Error('There is not a word on the page.');
  return found
    .filter(({ contrast }) => contrast < 4.5)
    .map(({ text, contrast }) => `${text}: ${contrast.toFixed(2)}`);
}
