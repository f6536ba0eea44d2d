/** Prints the folders of the npm packages that gpu-pack.sh takes along: those that run, and AVA with its own. */
import { readFileSync } from 'node:fs';

type Packages = Record<string, { dev?: boolean; dependencies?: Record<string, string> }>;

const { packages } = JSON.parse(readFileSync('node_modules/.package-lock.json', 'utf8')) as {
  packages: Packages;
};
const wanted = new Set(Object.keys(packages).filter((path) => packages[path]?.dev !== true));

/** As Node looks for it: in the folder itself, then in those around it. */
function want(name: string, from: string): void {
  const path = `${from}node_modules/${name}`;
  const found = packages[path];
  if (found === undefined) {
    const outer = from.lastIndexOf('node_modules/');
    if (outer !== -1) want(name, from.slice(0, outer));
  } else if (!wanted.has(path)) {
    wanted.add(path);
    for (const other of Object.keys(found.dependencies ?? {})) want(other, `${path}/`);
  }
}

want('ava', '');
for (const path of wanted) console.log(path);
