import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** A page of everything that one entry of the package exports. */
interface Reference {
  /** Where `npm run docs:api` writes it. */
  readonly path: string;
  readonly title: string;
  /** What it is made from. */
  readonly source: string;
  /** The page that shows how it is used. */
  readonly guide: string;
  /** Values of which types are made, and that nobody imports. */
  readonly hidden: readonly string[];
}

export const references: readonly Reference[] = [
  {
    path: 'docs/api-reference.md',
    title: 'API reference',
    source: 'coordinator/api/index.ts',
    guide: 'api.md',
    hidden: ['errorTable', 'modelGraph', 'modelNames'],
  },
  {
    path: 'docs/model-reference.md',
    title: 'Reference of model files',
    source: 'shared/models/define.ts',
    guide: 'custom-models.md',
    hidden: [],
  },
];

/** With the TypeScript that it needs, which is not the one that compiles the rest. */
const folder = join('tools', 'typedoc');
const typedoc = join(folder, 'node_modules', '.bin', 'typedoc');

/** Whether typedoc is installed (`deploy/setup.sh --tests`). */
export const hasTypedoc = existsSync(typedoc);

/** The page, made from the compiled declarations. */
export function apiReference({ title, source, guide, hidden }: Reference): string {
  const out = mkdtempSync(join(tmpdir(), 'cornet-api-'));
  try {
    const entry = join('dist', source.replace(/\.ts$/, '.d.ts'));
    const options = ['--options', join(folder, 'typedoc.json'), '--entryPoints', entry, '--out', out];
    const left = hidden.flatMap((name) => ['--intentionallyNotExported', name]);
    execFileSync(typedoc, [...options, ...left], { stdio: ['ignore', 'ignore', 'pipe'] });
    const [, ...body] = readFileSync(join(out, 'reference.md'), 'utf8').split('\n');
    return `# ${title}

<!-- Made from ${source} by \`npm run docs:api\`; a test compares the two: so nothing of it changes unseen. -->

[${guide}](${guide}) shows how it is used.
${body.join('\n').trimEnd()}
`;
  } finally {
    rmSync(out, { recursive: true });
  }
}
