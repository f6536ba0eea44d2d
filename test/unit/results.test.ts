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

  writeFileSync(description, JSON.stringify({ settings: { ...settings, batchSize: 32 } }));
  t.is((await refused()).message, `${description} is there already, made with other settings.`);
  writeFileSync(data, '');
  t.is((await refused()).message, `${data} and ${description} are there already, made with other settings.`);
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
