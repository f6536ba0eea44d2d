import { join } from 'node:path';
import test from 'ava';
import { Checkpoints } from '../../coordinator/checkpoints/checkpoints.ts';
import { checkIdentity } from '../../coordinator/checkpoints/own-run.ts';
import { plainRecipe } from '../../shared/defaults.ts';
import { CornetError } from '../../shared/errors.ts';
import { identityOf, type RunConfig } from '../../shared/run-config.ts';
import { temporaryFolder } from '../helpers/temporary.ts';
import { tinyLayout, tinyState } from '../helpers/tiny-state.ts';

/** As much of a run's configuration as its identity needs. */
function configOf(seed: number, learningRate: number, numerics: unknown = { probe: 'p' }): RunConfig {
  return { run: 'x', result: { seed, learningRate, model: 'Z' }, numerics } as unknown as RunConfig;
}

function open(folder: string, config: RunConfig): Promise<Checkpoints> {
  return Checkpoints.open(folder, tinyLayout(), 3, {
    fence: async () => undefined,
    checkIdentity: (identity, path) => checkIdentity(config, identity, path),
  });
}

async function write(folder: string, config: RunConfig, step = 1): Promise<string> {
  const checkpoints = await open(folder, config);
  const { file } = await checkpoints.write({
    step,
    epoch: 0,
    body: tinyState(16, step),
    identity: identityOf(config),
    keepForEver: false,
    validation: null,
  });
  return join(folder, file);
}

test("another run's checkpoint is refused with what differs, and the way to begin a new run with it", async (t) => {
  const theirs = await write(temporaryFolder(t), configOf(2, 0.1));
  const ours = await open(temporaryFolder(t), configOf(1, 0.01));
  const error = await t.throwsAsync(ours.read(theirs), { instanceOf: CornetError });
  t.is(error?.code, 'CHECKPOINT_DIFFERS');
  t.regex(error!.message, /learningRate 0\.1 \(this run: 0\.01\), seed 2 \(this run: 1\)\.$/);
  t.true(error?.message.includes(theirs));
  t.regex(error!.hint, /--restore-path without --resume/);
});

test('a latest checkpoint that another run has written, of folders copied together, is refused as well', async (t) => {
  const folder = temporaryFolder(t);
  await write(folder, configOf(1, 0.1), 1);
  await write(folder, configOf(2, 0.1), 2);
  const error = await t.throwsAsync((await open(folder, configOf(1, 0.1))).readLatest(), {
    instanceOf: CornetError,
  });
  t.is(error?.code, 'CHECKPOINT_DIFFERS');
  t.regex(error!.hint, /--resume --restore-path .*step-00000001/, 'only one of this run is offered');
});

test('a checkpoint that was computed with other numerics is refused', async (t) => {
  const theirs = await write(temporaryFolder(t), configOf(1, 0.1, { probe: 'q' }));
  const ours = await open(temporaryFolder(t), configOf(1, 0.1));
  const error = await t.throwsAsync(ours.read(theirs), { instanceOf: CornetError });
  t.regex(error!.message, /numerics\.probe q \(this run: p\)/);
});

test("a run's own checkpoint is read, wherever it was copied to", async (t) => {
  const copied = await write(temporaryFolder(t), configOf(1, 0.1));
  t.is((await (await open(temporaryFolder(t), configOf(1, 0.1))).read(copied)).step, 1);
});

test('a checkpoint of an earlier version, which says nothing of later options, is read where they have their defaults', async (t) => {
  const earlier = configOf(1, 0.1);
  const own = { ...earlier, result: { ...earlier.result, ...plainRecipe } };
  const theirs = await write(temporaryFolder(t), earlier);
  t.is((await (await open(temporaryFolder(t), own)).read(theirs)).step, 1);
  const other = { ...own, result: { ...own.result, nesterov: true } };
  const error = await t.throwsAsync((await open(temporaryFolder(t), other)).read(theirs));
  t.regex(error!.message, /with nesterov false \(this run: true\)\.$/);
});
