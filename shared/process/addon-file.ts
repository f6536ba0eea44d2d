/** Where set-up puts the addons that it builds, and which of them is loaded. */

import { existsSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { cacheFolder } from './cache-folder.ts';
import { packageRoot } from './package-root.ts';
import { version } from './version.ts';

export type AddonName = 'torch' | 'images' | 'memory';

/** What set-up calls its cache: the package's own, or the user's where it could not write to the package. */
export function setUpCaches(): string[] {
  const users = cacheFolder(process.env);
  return [join(packageRoot, '.cache'), ...(users === null ? [] : [join(users, version)])];
}

export function addonCaches(name: AddonName): string[] {
  return setUpCaches().map((cache) => join(cache, `${name}-addon`));
}

/** The file that `current` in the first of these folders names; null where none of them has been built into. */
export function findAddon(name: AddonName, caches: readonly string[]): string | null {
  for (const cache of caches) {
    const pointer = join(cache, 'current');
    if (existsSync(pointer)) return join(cache, readFileSync(pointer, 'utf8').trim(), `${name}.node`);
  }
  return null;
}

/** What is said of an addon that a run can do without. */
const called = { images: 'the image addon', memory: 'the memory addon' } as const;

/** The addon that set-up has built, or the reason why there is none. */
export function loadAddon<Addon>(
  name: keyof typeof called,
  caches: readonly string[],
): Addon | { missing: string } {
  const file = findAddon(name, caches);
  if (file === null)
    return { missing: `${called[name]} has not been built: there is none in ${caches.join(' or ')}` };
  try {
    return createRequire(import.meta.url)(file);
  } catch (cause) {
    const why = (cause as Error).message.split('\n', 1)[0];
    return { missing: `${called[name]} ${file} cannot be loaded: ${why}` };
  }
}
