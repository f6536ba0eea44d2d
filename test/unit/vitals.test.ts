/** How a coordinator knows the age of its latest checkpoint. */
import { utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import type { Checkpoints } from '../../coordinator/checkpoints/checkpoints.ts';
import { Vitals } from '../../coordinator/watch/vitals.ts';
import { vitalsEvery } from '../../shared/defaults.ts';
import { until } from '../helpers/run.ts';
import { temporaryFolder } from '../helpers/temporary.ts';

test('a checkpoint that was just written has an age at once, one from before as soon as its file is looked at', async (t) => {
  const folder = temporaryFolder(t);
  let now = Date.now();
  const write = (step: number, secondsAgo: number) => {
    const file = `step-${step}.safetensors`;
    writeFileSync(join(folder, file), '');
    const at = now / 1000 - secondsAgo;
    utimesSync(join(folder, file), at, at);
    return { file, step } as Checkpoints['latest'];
  };
  const checkpoints = { latest: write(40, 600), best: null, records: [] };
  const outages = { outage: null, sentence: null };
  const vitals = new Vitals({
    outages,
    disk: { trouble: null },
    checkpoints,
    checkpointsPath: folder,
    checkpointBytes: 1000,
    interval: 600,
    stepsPerEpoch: 10,
    clock: () => now,
  });
  const age = () => vitals.seen.checkpoint!.age;
  t.is(age(), null);
  vitals.look();
  await until('its file was looked at', () => age() !== null);
  t.is(Math.round(age()!), 600);

  checkpoints.latest = write(50, 0);
  t.is(age(), 0);
  now += 5000;
  t.is(age(), 5);

  checkpoints.latest = write(30, 1200);
  t.is(age(), null);
  now += vitalsEvery;
  vitals.look();
  await until('the file gone back to was looked at', () => age() !== null);
  t.is(Math.round(age()!), Math.round(1200 + vitalsEvery / 1000));
});
