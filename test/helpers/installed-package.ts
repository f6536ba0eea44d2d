/** The package as `npm pack` makes it, installed in a folder. */
import { execFileSync } from 'node:child_process';
import { cpSync, mkdirSync, readFileSync, symlinkSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { version } from '../../shared/process/version.ts';
import type { Stage } from './run.ts';

/** What is in it. */
export const packedFiles: string[] = (() => {
  const packed = execFileSync('npm', ['pack', '--dry-run', '--json', '--ignore-scripts'], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  const [{ files }] = JSON.parse(packed) as [{ files: { path: string }[] }];
  return files.map(({ path }) => path);
})();

/** Packages that `npm install cornet-ts` brings, direct or not, as folders below node_modules. */
function installedPackages(): string[] {
  const lock = JSON.parse(readFileSync('package-lock.json', 'utf8')) as {
    packages: Record<string, { dev?: boolean; devOptional?: boolean }>;
  };
  const folders = Object.entries(lock.packages).filter(([, { dev, devOptional }]) => !dev && !devOptional);
  return folders.map(([path]) => path).filter((path) => /^node_modules\/(@[^/]+\/)?[^/]+$/.test(path));
}

/** Puts the package and what it depends on into node_modules of a stage's folder; the user's cache has the addons. */
export function install(stage: Stage): { modules: string; env: NodeJS.ProcessEnv } {
  const modules = join(stage.folder, 'node_modules');
  for (const path of packedFiles) cpSync(path, join(modules, 'cornet-ts', path));
  for (const path of installedPackages()) {
    mkdirSync(dirname(join(stage.folder, path)), { recursive: true });
    symlinkSync(resolve(path), join(stage.folder, path));
  }
  const cache = join(stage.folder, 'cache');
  mkdirSync(join(cache, 'cornet-ts'), { recursive: true });
  symlinkSync(resolve('.cache'), join(cache, 'cornet-ts', version));
  return { modules, env: stage.environment({}) }; // whose cache it is
}
