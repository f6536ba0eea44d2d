import { mkdirSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { RunLock } from '../../coordinator/run-folder/run-lock.ts';
import { tracesOf } from '../../coordinator/run-folder/traces.ts';
import type { RunConfig } from '../../shared/run-config.ts';
import { temporaryFolder } from '../helpers/temporary.ts';

const config = {
  run: 'r',
  result: { model: 'Z', trainImages: 80, batchSize: 8 },
  options: { epochs: 2, maxSteps: null, saveModelSeconds: 600 },
} as RunConfig;

const at = (second: number) => `2026-01-01T00:00:${String(second).padStart(2, '0')}.000Z`;
const begun = { level: 30, time: at(1), pid: 7, config: {}, msg: 'Starting.' };
const ended = (outcome: string) => ({ level: 30, time: at(9), pid: 7, outcome, msg: 'Finished.' });

function folderOf(t: ExecutionContext, log: readonly object[], metrics: readonly object[] = []): string {
  const folder = temporaryFolder(t);
  const lines = (objects: readonly object[]) => objects.map((one) => `${JSON.stringify(one)}\n`).join('');
  writeFileSync(join(folder, 'log.jsonl'), lines(log));
  writeFileSync(join(folder, 'metrics.jsonl'), lines(metrics));
  return folder;
}

const look = (folder: string) => tracesOf(folder, config, { host: 'here', now: Date.now(), unheard: null });

test('the log says how the last coordinator ended; one that was killed says nothing', async (t) => {
  const of = async (...log: object[]) => (await look(folderOf(t, log))).ended;
  t.is(await of(begun, ended('interrupted')), 'interrupted');
  t.is(await of(begun, ended('complete')), 'complete');
  const failed = { level: 60, time: at(9), pid: 7, code: 'DISK_FULL', msg: 'It is full.' };
  t.deepEqual(await of(begun, ended('failed'), failed), { code: 'DISK_FULL' });
  t.is(await of(begun), null);
  t.is(await of(begun, ended('interrupted'), begun), null, 'the next one was killed');
  t.is(await of(begun, { ...failed, device: 'cpu' }), null, 'a worker failed');
  t.is(await of(), null);
});

test('steps, the last validation and the checkpoints are read from their files', async (t) => {
  const folder = folderOf(
    t,
    [begun],
    [
      { step: 10, 'train/loss': 2 },
      { step: 10, 'val/loss': 1, 'val/top1': 0.5, 'val/top5': 0.9 },
      { step: 11, 'train/loss': 2 },
    ],
  );
  const empty = await look(folder);
  t.like(empty, { step: 11, steps: 20, checkpoint: null, best: null, coordinator: 'gone', starting: false });
  t.deepEqual(empty.validation, { step: 10, loss: 1, top1: 0.5, top5: 0.9 });
  const record = {
    file: 'step-00000010.safetensors',
    sha256: '0'.repeat(64),
    step: 10,
    kept: false,
    validation: { top1: 0.5, loss: 1 },
  };
  const checkpoints = join(folder, 'checkpoints');
  mkdirSync(checkpoints);
  writeFileSync(join(checkpoints, 'latest.json'), JSON.stringify({ ...record, earlier: [] }));
  writeFileSync(join(checkpoints, 'best.json'), JSON.stringify(record));
  writeFileSync(join(checkpoints, record.file), '');
  utimesSync(join(checkpoints, record.file), Date.now() / 1000 - 100, Date.now() / 1000 - 100);
  const { checkpoint, best } = await look(folder);
  t.like(checkpoint, { step: 10, interval: 600 });
  t.true(Math.abs(checkpoint!.age! - 100) < 10);
  t.deepEqual(best, { step: 10, top1: 0.5 });
  writeFileSync(join(checkpoints, 'latest.json'), 'damaged');
  t.is((await look(folder)).checkpoint, null, 'that is for verify to find');
});

test('a lock that is younger than the log is that of a coordinator that starts', async (t) => {
  const folder = folderOf(t, [begun, ended('interrupted')]);
  const past = Date.now() / 1000 - 100;
  for (const name of ['log.jsonl', 'metrics.jsonl']) utimesSync(join(folder, name), past, past);
  const { quiet } = await look(folder);
  t.true(Math.abs(quiet - 100) < 10);
  const lock = await RunLock.acquire(join(folder, 'lock'), 'here', () => undefined);
  t.like(await look(folder), { coordinator: 'running', starting: true, ended: null });
  t.true((await look(folder)).quiet < 10);
  writeFileSync(join(folder, 'log.jsonl'), `${JSON.stringify(begun)}\n`, { flag: 'a' });
  t.like(await look(folder), { coordinator: 'running', ended: null });
  await lock.release();
  t.like(await look(folder), { coordinator: 'gone', starting: false });
});

test("another host's lock says neither that its coordinator is at work nor that it is gone", async (t) => {
  const folder = folderOf(t, [begun]);
  writeFileSync(join(folder, 'lock'), '{"host":"there","pid":1,"started":null}');
  const { coordinator, lock } = await look(folder);
  t.is(coordinator, 'unknown');
  t.regex(
    lock!.sentence,
    /a coordinator on host there with process id 1 works on this run; this is host here\./,
  );
  t.regex(lock!.hint!, /If that process is certainly gone, delete .*lock/);
});
