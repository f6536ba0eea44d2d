import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** Where `npm run docs:api` writes the page. */
export const apiReferencePath = 'docs/api-reference.md';

/** With the TypeScript that it needs, which is not the one that compiles the rest. */
const folder = join('tools', 'typedoc');
const typedoc = join(folder, 'node_modules', '.bin', 'typedoc');

/** Whether typedoc is installed (`deploy/setup.sh --tests`). */
export const hasTypedoc = existsSync(typedoc);

/** The page of everything that the package exports, made from the compiled declarations. */
export function apiReference(): string {
  const out = mkdtempSync(join(tmpdir(), 'cornet-api-'));
  try {
    const options = ['--options', join(folder, 'typedoc.json'), '--out', out];
    execFileSync(typedoc, options, { stdio: ['ignore', 'ignore', 'pipe'] });
    const page = readFileSync(join(out, 'api-reference.md'), 'utf8');
    const [, ...body] = page.split('\n');
    return `${head}${body.join('\n').trimEnd()}\n`;
  } finally {
    rmSync(out, { recursive: true });
  }
}

const head = `# API reference

<!-- Made from coordinator/api/ by \`npm run docs:api\`; a test compares the two: so nothing of it changes unseen. -->

[api.md](api.md) shows how it is used.
`;
