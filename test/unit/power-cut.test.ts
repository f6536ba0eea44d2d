/** What a power cut leaves of a run, at any moment: the operations of a real one are recorded, and cut in a model. */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { join, resolve } from 'node:path';
import test from 'ava';
import { Checkpoints } from '../../coordinator/checkpoints/checkpoints.ts';
import { RunFolder } from '../../coordinator/run-folder/run-folder.ts';
import { Draws } from '../../shared/random.ts';
import { mapBounded } from '../../shared/util/bounded.ts';
import { type Cut, CutDisk, fingerprintOf, type Tree, writeTree } from '../helpers/cut-disk.ts';
import { type DiskOperation, recordedFolder, recordFile } from '../helpers/disk-recorder.ts';
import { type Expectation, elements, host } from '../helpers/disk-side.ts';
import { temporaryFolder } from '../helpers/temporary.ts';
import { tinyLayout, tinyState } from '../helpers/tiny-state.ts';

/** Power cuts that are drawn at each moment, besides those that keep everything and nothing. */
const draws = 6;
const atOnce = 4;

function recordRun(folder: string): { top: string; operations: DiskOperation[] } {
  const top = join(folder, 'disk');
  const file = join(folder, 'record.json');
  mkdirSync(top);
  const helper = (name: string) => resolve('dist/test/helpers', name);
  execFileSync(
    process.execPath,
    ['--import', helper('disk-recorder.js'), helper('disk-side.js'), join(top, 'runs/z')],
    { env: { ...process.env, [recordedFolder]: top, [recordFile]: file } },
  );
  return { top, operations: JSON.parse(readFileSync(file, 'utf8')) as DiskOperation[] };
}

interface Moment {
  tree: Tree;
  expected: Expectation;
  /** For whoever reads that it failed. */
  name: string;
}

/** Every state of the disk that differs, with what must be found in it. */
function momentsOf(top: string, operations: readonly DiskOperation[]): Moment[] {
  const disk = new CutDisk(top);
  const moments = new Map<string, Moment>();
  let expected: Expectation | null = null;
  for (const [index, operation] of operations.entries()) {
    if (operation.type === 'expect') expected = operation.value as Expectation;
    else disk.apply(operation);
    const cuts: Cut[] = ['everything', 'nothing'];
    for (let i = 0; i < draws; i++) cuts.push(new Draws(17, index, i));
    for (const [number, cut] of cuts.entries()) {
      const tree = disk.after(cut);
      const key = fingerprintOf(tree) + JSON.stringify(expected);
      const name = `cut ${number} after operation ${index}, ${JSON.stringify(operation).slice(0, 200)}`;
      if (!moments.has(key)) moments.set(key, { tree, expected: expected!, name });
    }
  }
  return [...moments.values()];
}

/** Goes on with the run as a resume does; what it finds that must not be, or null. */
async function resume(path: string, expected: Expectation): Promise<string | null> {
  if (!(await RunFolder.holdsRun(path))) return expected.term.includes(null) ? null : 'the run is gone';
  const folder = await RunFolder.open(path, host);
  try {
    return await goOn(folder, expected);
  } finally {
    await folder.release();
  }
}

async function goOn(folder: RunFolder, expected: Expectation): Promise<string | null> {
  const { term } = (await folder.readConfig()) as { term: number };
  if (!expected.term.includes(term)) return `the configuration is of term ${term}`;
  const token = await folder.token(() => 'new');
  if (!expected.token.includes(token === 'new' ? null : token)) return `the token is ${token}`;

  const run = { fence: folder.fence, checkIdentity: () => undefined };
  const checkpoints = await Checkpoints.open(folder.checkpointsPath, tinyLayout(elements), 2, run);
  const latest = await checkpoints.readLatest();
  const step = latest?.step ?? 0;
  if (!expected.latest.includes(latest?.step ?? null)) return `the latest is of step ${latest?.step}`;
  if (latest !== null && !tinyState(elements, step).every((byte, i) => byte === latest.body[i])) {
    return `the state of step ${step} is another`;
  }
  const { best } = checkpoints;
  if (!expected.best.includes(best?.step ?? null)) return `the best is of step ${best?.step}`;
  if (best !== null) await checkpoints.read(join(folder.checkpointsPath, best.file));

  const metrics = await folder.openMetrics(step, () => undefined);
  const lines = readFileSync(folder.metricsPath, 'utf8').split('\n').slice(0, -1);
  const steps = lines.map((line) => (JSON.parse(line) as { step: number }).step);
  if (steps.join() !== Array.from({ length: step }, (_, i) => i + 1).join()) {
    return `the metrics of a run at step ${step} have the steps ${steps}`;
  }
  await metrics.append({ step: step + 1 });
  const more = { epoch: 0, identity: {}, keepForEver: false, validation: null };
  await checkpoints.write({ step: step + 1, body: tinyState(elements, step + 1), ...more });
  await metrics.close();
  return null;
}

test('a power cut at any moment leaves a run that goes on, with all that was done', async (t) => {
  const folder = temporaryFolder(t);
  const { top, operations } = recordRun(folder);
  const renamed = operations.filter(({ type }) => type === 'rename').length;
  t.true(renamed > 20, 'the record holds what a run does');
  const moments = momentsOf(top, operations);
  t.log(`${operations.length} operations, ${moments.length} states of the disk`);
  const memory = existsSync('/dev/shm') ? mkdtempSync('/dev/shm/cornet-test-') : folder; // no disk need wait
  t.teardown(() => rmSync(memory, { recursive: true, force: true }));
  const faults = await mapBounded(moments, atOnce, async ({ tree, expected, name }, index) => {
    const place = join(memory, String(index));
    writeTree(tree, place);
    const found = await resume(join(place, 'runs/z'), expected).catch((error: Error) => error.message);
    rmSync(place, { recursive: true });
    return found === null ? [] : [`${name}: ${found}`];
  });
  t.deepEqual(faults.flat().slice(0, 10), []);
});
