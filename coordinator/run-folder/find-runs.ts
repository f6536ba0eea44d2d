/** The run folders below a folder. */
import { readdir, realpath, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { filesAtOnce } from '../../shared/defaults.ts';
import { mapBounded } from '../../shared/util/bounded.ts';
import { runFiles } from './run-files.ts';

/** Levels below a folder at which runs are looked for. */
const levels = 2;

const skipped = /^\.|^node_modules$/;

export interface FoundRun {
  path: string;
  /** Why nothing in it can be read, or null. */
  trouble: string | null;
}

/** The folder itself, or those in it and in its folders; each once, whatever links lead to it. */
export async function findRuns(folder: string): Promise<FoundRun[]> {
  const found = await search(folder, levels);
  const seen = new Set<string>();
  const once: FoundRun[] = [];
  for (const run of found) {
    const real = await realpath(run.path).catch(() => run.path);
    if (!seen.has(real)) once.push(run);
    seen.add(real);
  }
  return once;
}

async function search(folder: string, deeper: number): Promise<FoundRun[]> {
  if (await isRun(folder)) return [{ path: folder, trouble: null }];
  if (deeper === 0) return [];
  const within = await readdir(folder, { withFileTypes: true }).catch(() => []); // not ours to read
  const folders = within
    .filter((entry) => (entry.isDirectory() || entry.isSymbolicLink()) && !skipped.test(entry.name))
    .sort((a, b) => Number(a.isSymbolicLink()) - Number(b.isSymbolicLink()) || (a.name < b.name ? -1 : 1));
  const known = folders.filter(({ name }) => !name.includes('\ufffd'));
  const others = known.length < folders.length ? await foreign(folder) : [];
  const runs = await mapBounded(known, filesAtOnce, ({ name }) => search(join(folder, name), deeper - 1));
  return [...runs.flat(), ...others];
}

/** Whether a configuration lies there, with anything else of a run: other programs have a config.json, too. */
async function isRun(folder: string): Promise<boolean> {
  const has = (name: keyof typeof runFiles) => isThere(join(folder, runFiles[name]));
  if (!(await has('config'))) return false;
  return (await has('log')) || (await has('lock')) || (await has('metrics')) || has('checkpoints');
}

/** Runs in folders whose names are not UTF-8: Node can see them only as bytes. */
async function foreign(folder: string): Promise<FoundRun[]> {
  const names = await readdir(folder, { encoding: 'buffer' }).catch(() => []);
  const runs: FoundRun[] = [];
  for (const name of names.filter((bytes) => bytes.toString().includes('\ufffd'))) {
    const config = Buffer.concat([Buffer.from(`${folder}/`), name, Buffer.from(`/${runFiles.config}`)]);
    if (!(await isThere(config))) continue;
    const trouble = "The folder's name is not UTF-8: rename it (mv, or convmv).";
    runs.push({ path: join(folder, name.toString()), trouble });
  }
  return runs;
}

async function isThere(path: string | Buffer): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}
