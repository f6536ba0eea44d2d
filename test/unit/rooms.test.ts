import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import test from 'ava';

/** The rooms of the code in the order of ARCHITECTURE.md's tables: a folder, or files of `shared/`. */
function rooms(): string[] {
  const text = readFileSync('ARCHITECTURE.md', 'utf8');
  return ['shared', 'worker', 'coordinator'].flatMap((part) => {
    const [, table = ''] = text.split(`| \`${part}/\` | |\n|---|---|\n`);
    const rows = /^(\|.*\n)+/.exec(table)?.[0].split('\n') ?? [];
    const names = rows.map((row) => [...(row.split('|')[1] ?? '').matchAll(/`([\w.-]+)\/?`/g)]);
    return names.flat().map((name) => `${part}/${name[1]}`);
  });
}

const sources = ['shared', 'worker', 'coordinator'].flatMap((part) =>
  readdirSync(part, { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.ts'))
    .map((name) => join(part, name)),
);

const roomOf = (file: string) => file.split('/').slice(0, 2).join('/');

/** The files of the project that a file imports. */
function importsOf(file: string): string[] {
  const text = readFileSync(file, 'utf8');
  const specifiers = text.matchAll(
    /^(?:import|export|\})[^;]*? from ['"](\.[^'"]+)['"]|\bimport\(['"](\.[^'"]+)['"]\)/gm,
  );
  return [...specifiers].map((match) => join(dirname(file), (match[1] ?? match[2])!));
}

test('ARCHITECTURE.md names every room', (t) => {
  const known = new Set(rooms());
  const alone = new Set(['main.ts', 'cli.ts', 'cornet.ts']);
  const found = [...new Set(sources.map(roomOf))].filter((room) => !alone.has(room.split('/')[1]!));
  t.deepEqual(found.filter((room) => !known.has(room)).sort(), []);
  t.deepEqual([...known].filter((room) => !found.includes(room)).sort(), []);
});

test('a room imports only rooms that stand above it', (t) => {
  const order = new Map(rooms().map((room, i) => [room, i]));
  const upwards = sources.flatMap((file) => {
    const place = order.get(roomOf(file));
    if (place === undefined) return []; // the command itself
    return importsOf(file)
      .filter((target) => roomOf(target) !== roomOf(file) && (order.get(roomOf(target)) ?? -1) > place)
      .map((target) => `${file} imports ${target}`);
  });
  t.deepEqual(upwards, []);
});
