import { homedir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { bounds } from '../../shared/option-bounds.ts';
import { readValue } from '../../shared/process/option-value.ts';

const read = (path: string) => readValue('-o', bounds.path, path);

test('a leading ~ is the home folder, as in a shell; every other path stays as it is', (t) => {
  t.is(read('~/runs/x'), join(homedir(), 'runs/x'));
  t.is(read('~'), homedir());
  for (const path of ['runs/x', '/data/a~b', './~kate', 'x~', '.', 'a=b']) t.is(read(path), path);
});

test('a path with which a folder named ~ would be made is refused, with what to type instead', (t) => {
  const refused: [string, RegExp, RegExp][] = [
    ['runs/~/x', /^-o: runs\/~\/x has a ~ that does not stand at its beginning/, /~\/runs\/x/],
    ['./~', /^-o: \.\/~ has a ~/, /~\/runs\/x/],
    ['~/~', /^-o: ~\/~ has a ~/, /full path/],
    ['~kate/x', /^-o: ~kate\/x names another user's home folder/, /Write the full path.* \.\/ before it/],
    ['=~/x', /^-o: =~\/x begins with =/, /space, not =, behind a short option: -o runs\/x/],
  ];
  for (const [path, message, hint] of refused) {
    const error = t.throws(() => read(path), { message, code: 'OPTION_INVALID' }) as Error & { hint: string };
    t.regex(error.hint, hint, path);
  }
});
