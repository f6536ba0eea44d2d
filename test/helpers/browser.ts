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

/** Opens pages of one server, each as a reader of its own; all are closed when the test ends. */
export async function openBrowser(t: ExecutionContext) {
  const browser = await chromium.launch({ executablePath: chromiumPath!, args: ['--no-sandbox', ...quiet] });
  t.teardown(() => browser.close());
  return async (url: string, options: BrowserContextOptions = {}): Promise<Visit> => {
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
