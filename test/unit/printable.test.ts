import test from 'ava';
import { CornetError } from '../../shared/errors.ts';
import { oneLine, printable, printableJson, quoteName } from '../../shared/util/printable.ts';

test('a name that nobody can misread stays as it is', (t) => {
  for (const name of ['/data/a b/é.jpg', 'n01440764', "it's.jpg", '日本.png', '\u{1F600}.jpg', 'a$b;c'])
    t.is(quoteName(name), name);
});

test('every other name is quoted, and can be read back', (t) => {
  const odd = [
    '',
    ' a',
    'a ',
    'a\nb',
    '\x1b[31m',
    '\x7f',
    '\x9b1m',
    '\u202eabc',
    '\u2066x',
    '"',
    '\\n',
    '\ufeffa',
  ];
  const shown = odd.map(quoteName);
  t.is(new Set(shown).size, odd.length);
  for (const [i, one] of shown.entries()) {
    t.regex(one, /^".*"$/);
    t.notRegex(one, /[\p{Cc}\u202e\u2066\ufeff]/u);
    t.is(JSON.parse(one.replace(/\\x/g, '\\u00')), odd[i]);
  }
});

test('a text keeps its lines, and loses what steers', (t) => {
  t.is(printable('a\nb\x1b[2Jc\r'), 'a\nb\\x1b[2Jc\\r');
  t.is(oneLine('a\nb\u2028c'), 'a\\nb\\u2028c');
});

test('JSON keeps its meaning', (t) => {
  const value = { name: 'a\x9bb\u202ec\nd\x7f' };
  const shown = printableJson(`${JSON.stringify(value)}\n`);
  t.notRegex(shown.trimEnd(), /[\p{Cc}\u202e]/u);
  t.deepEqual(JSON.parse(shown), value);
});

test('no error can steer a terminal, whoever made its sentence', (t) => {
  const image = new CornetError('IMAGE_UNREADABLE', 'The image a\nb\x1b[31m.jpg cannot be read.');
  t.is(image.message, 'The image a\\nb\\x1b[31m.jpg cannot be read.');
  const other = new CornetError('INTERNAL', 'One\ntwo\x07.', { hint: 'Mend \x1b]0;x\x07it.' });
  t.is(other.message, 'One\ntwo\\x07.');
  t.is(other.hint, 'Mend \\x1b]0;x\\x07it.');
  t.deepEqual(CornetError.fromJSON(image.toJSON()).message, image.message);
});
