import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { alreadyThere } from '../../coordinator/inference/results.ts';
import { CornetError } from '../../shared/errors.ts';
import { temporaryFolder } from '../helpers/temporary.ts';

const settings = { model: 'Z', batchSize: 16 };

test('of results that were made with other settings neither file is replaced', async (t) => {
  const folder = temporaryFolder(t);
  const [data, description] = [join(folder, 'a.csv'), join(folder, 'a.json')];
  const look = () => alreadyThere(data, description, settings);
  const refused = async () => (await t.throwsAsync(look(), { instanceOf: CornetError }))!;
  t.false(await look());

  const difference = '--batch-size was 32 and is now 16';
  writeFileSync(description, JSON.stringify({ settings: { ...settings, batchSize: 32 } }));
  t.is(
    (await refused()).message,
    `${description} is there already, made with other settings: ${difference}.`,
  );
  writeFileSync(data, '');
  t.is(
    (await refused()).message,
    `${data} and ${description} are there already, made with other settings: ${difference}.`,
  );
  writeFileSync(description, 'somebody else');
  t.is((await refused()).message, `${data} is there already, and nothing beside it says how it was made.`);
  t.is((await refused()).code, 'OUTPUT_EXISTS');

  writeFileSync(description, JSON.stringify({ settings }));
  t.true(await look(), 'made with these settings');
});

test('results of which one file is missing are made again with the same settings', async (t) => {
  const folder = temporaryFolder(t);
  writeFileSync(join(folder, 'a.json'), JSON.stringify({ settings }));
  t.false(await alreadyThere(join(folder, 'a.csv'), join(folder, 'a.json'), settings));
});

test('settings with which other results were made are named with both values, without what follows from them', async (t) => {
  const folder = temporaryFolder(t);
  const [data, description] = [join(folder, 'a.npy'), join(folder, 'a.json')];
  const now = {
    ...settings,
    fingerprint: 'f',
    images: 3,
    taps: ['IT.output-t1'],
    transform: { resize: [64, 64] },
  };
  const former = {
    ...now,
    fingerprint: 'e',
    images: 2,
    taps: ['IT.output-t0'],
    transform: { resize: [32, 32] },
  };
  writeFileSync(description, JSON.stringify({ settings: former }));
  const error = await t.throwsAsync(alreadyThere(data, description, now), { instanceOf: CornetError });
  t.is(
    error?.message,
    `${description} is there already, made with other settings: the images of --data-path were others; ` +
      '--layer, --sublayer, --tap or --time-step was IT.output-t0 and is now IT.output-t1.',
  );
});
