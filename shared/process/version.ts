import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { packageRoot } from './package-root.ts';

/** Version of this package; coordinator and workers of a run must have the same. */
export const { version } = JSON.parse(readFileSync(join(packageRoot, 'package.json'), 'utf8')) as {
  version: string;
};

/** Whether a version is later than another by its three numbers; a pre-release counts as its release. */
export function isLater(version: string, than: string): boolean {
  const numbers = (text: string) => /^(\d+)\.(\d+)\.(\d+)/.exec(text)?.slice(1).map(Number) ?? [];
  const [a, b] = [numbers(version), numbers(than)];
  const first = a.findIndex((number, i) => number !== b[i]);
  return first >= 0 && b.length > 0 && a[first]! > b[first]!;
}
