import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { CornetError, describeError, errorCodes, errorTable, exitCodes } from '../../shared/errors.ts';
import { errorsPage, errorsPagePath } from '../../tools/errors-page.ts';

/** Every TypeScript source of the product, with its text; the table itself left out. */
const sources = ['coordinator', 'worker', 'shared'].flatMap((room) =>
  readdirSync(room, { recursive: true, encoding: 'utf8' })
    .map((name) => join(room, name))
    .filter((path) => path.endsWith('.ts') && path !== 'shared/errors.ts')
    .map((path) => ({ path, text: readFileSync(path, 'utf8') })),
);

/** Where an error gets its code: not where one is compared with another. */
const creation = /(?:new CornetError\(|(?<!\.)\bcode: |\breturn |\? |: )\s*'([A-Z][A-Z0-9_]+)'/g;

const created = sources.flatMap(({ path, text }) =>
  [...text.matchAll(creation)].map((match) => ({ path, code: match[1]! })),
);

test('every code that is given to an error stands in the table', (t) => {
  const explicit = /(?:new CornetError\(\s*|\bcode: )'([A-Z][^']*)'/g;
  const strange = sources.flatMap(({ path, text }) =>
    [...text.matchAll(explicit)]
      .map((match) => match[1]!)
      .filter((code) => !(code in errorTable))
      .map((code) => `${path}: ${code}`),
  );
  t.deepEqual(strange, []);
});

test('every code of the table is given to some error', (t) => {
  const used = new Set(created.map(({ code }) => code));
  const unused = errorCodes.filter((code) => !used.has(code) && code !== 'INTERNAL');
  t.deepEqual(unused, []);
});

test('meaning and way out are whole sentences', (t) => {
  for (const code of errorCodes) {
    const { meaning, remedy } = errorTable[code];
    t.regex(code, /^[A-Z]+(_[A-Z]+)*$/);
    t.regex(meaning, /^[A-Z].*\.$/s, code);
    t.regex(remedy, /^[A-Z].*\.$/s, code);
  }
});

test('the page of errors is the one made from the table (npm run docs:errors)', (t) => {
  t.is(readFileSync(errorsPagePath, 'utf8'), errorsPage());
});

test('an error keeps code, sentence and way out across a border, and an unknown code becomes INTERNAL', (t) => {
  const error = new CornetError('DISK_FULL', 'The disk is full.', { hint: 'Buy another.' });
  const arrived = CornetError.fromJSON(JSON.parse(JSON.stringify(error)));
  t.deepEqual(arrived.toJSON(), error.toJSON());
  t.is(arrived.exitCode, exitCodes.error);
  const unknown = CornetError.fromJSON({ code: 'OF_ANOTHER_VERSION', message: 'What is this?' });
  t.is(unknown.code, 'INTERNAL');
  t.is(unknown.hint, errorTable.INTERNAL.remedy);
  t.is(describeError(new TypeError('no')).code, 'INTERNAL');
});
