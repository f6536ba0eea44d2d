import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { RunFolder } from '../../coordinator/run-folder/run-folder.ts';
import { temporaryFolder } from '../helpers/temporary.ts';
import { trainingConfig } from '../helpers/training-config.ts';

const host = 'here';

/** The folder of a training that ended before its first step was done, beside a file of the user's. */
async function unbegun(t: ExecutionContext): Promise<string> {
  const path = join(temporaryFolder(t), 'run');
  const run = await RunFolder.create(path, host);
  await run.writeConfig(trainingConfig);
  await run.token(() => 'first');
  mkdirSync(run.checkpointsPath);
  for (const name of ['step-00000000.safetensors', 'latest.json']) {
    writeFileSync(join(run.checkpointsPath, name), '{}');
  }
  writeFileSync(run.metricsPath, '');
  mkdirSync(run.tensorboardPath);
  for (const path of [join(run.tensorboardPath, 'events'), run.mlflowPath])
    writeFileSync(path, 'of the first');
  writeFileSync(run.logPath, 'why it failed\n');
  writeFileSync(join(path, 'notes.txt'), 'mine');
  await run.release();
  return path;
}

test('a run without a finished step gives way to the next start, which keeps its log and foreign files', async (t) => {
  const path = await unbegun(t);
  const next = await RunFolder.create(path, host);
  await next.writeConfig({ ...trainingConfig, run: 'next' });
  t.is(await next.token(() => 'second'), 'second');
  await next.release();
  t.is((JSON.parse(readFileSync(join(path, 'config.json'), 'utf8')) as { run: string }).run, 'next');
  t.deepEqual(readdirSync(path).sort(), ['checkpoints', 'config.json', 'log.jsonl', 'notes.txt', 'token']);
  t.deepEqual(readdirSync(join(path, 'checkpoints')), []);
  t.is(readFileSync(join(path, 'log.jsonl'), 'utf8'), 'why it failed\n');
});

test('a start that is refused before it has a configuration leaves the earlier run to be resumed', async (t) => {
  const path = await unbegun(t);
  const before = readdirSync(path, { recursive: true });
  await (await RunFolder.create(path, host)).release();
  t.deepEqual(readdirSync(path, { recursive: true }), before);
  const resumed = await RunFolder.open(path, host);
  t.is(await resumed.token(() => 'second'), 'first');
  await resumed.release();
});

test('a run that a coordinator holds does not give way, nor does one with a step or a checkpoint of one', async (t) => {
  const held = await unbegun(t);
  const holder = await RunFolder.open(held, host);
  await t.throwsAsync(RunFolder.create(held, host), { code: 'RUN_LOCKED' });
  await holder.release();

  const trained = await unbegun(t);
  writeFileSync(join(trained, 'metrics.jsonl'), '{"step":1,"train/loss":2}\n');
  await t.throwsAsync(RunFolder.create(trained, host), { code: 'RUN_EXISTS' });

  const saved = await unbegun(t);
  writeFileSync(join(saved, 'checkpoints', 'step-00000007.safetensors'), '');
  await t.throwsAsync(RunFolder.create(saved, host), { code: 'RUN_EXISTS' });
  t.false(existsSync(join(saved, 'lock')));
});
