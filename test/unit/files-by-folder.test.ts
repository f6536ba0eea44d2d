import test from 'ava';
import { FilesByFolder } from '../../shared/data/sources/files-by-folder.ts';

/** The classes, with the names of their files, and what is above them. */
function read(names: readonly string[]) {
  const files = new FilesByFolder();
  for (const name of names) files.add({ name, bytes: name.length, offset: 512 });
  const classes: Record<string, string[]> = {};
  for (const label of files.byClass.labels.sort()) {
    classes[label] = [];
    files.byClass.take(label).each(({ name }) => classes[label]!.push(name));
    classes[label].sort();
  }
  const loose: string[] = [];
  for (const table of files.loose.values()) table.each(({ name }) => loose.push(name));
  return { above: files.above, classes, loose: loose.sort() };
}

test('the folders below the one that all images have in common are classes', (t) => {
  t.deepEqual(read(['a/1.jpg', 'b/2.jpg', 'b/c/3.jpg']), {
    above: '',
    classes: { a: ['1.jpg'], b: ['2.jpg', 'c/3.jpg'] },
    loose: [],
  });
  t.deepEqual(read(['x/train/a/1.jpg', 'x/train/b/2.jpg']), {
    above: 'x/train/',
    classes: { a: ['1.jpg'], b: ['2.jpg'] },
    loose: [],
  });
});

test('a folder that images lie in is a class, although it is the only one', (t) => {
  t.deepEqual(read(['x/a/1.jpg', 'x/a/b/2.jpg']), {
    above: 'x/',
    classes: { a: ['1.jpg', 'b/2.jpg'] },
    loose: [],
  });
});

test('images in no folder are told apart', (t) => {
  t.deepEqual(read(['a/1.jpg', '2.jpg']), { above: '', classes: { a: ['1.jpg'] }, loose: ['2.jpg'] });
});

/** What all folders begin with is walked down as long as there is one folder and no image beside it. */
function expected(names: readonly string[]) {
  let above = '';
  for (;;) {
    const below = names.map((name) => name.slice(above.length).split('/'));
    const isAlone = below.every(([first]) => first === below[0]![0]);
    if (!isAlone || below.some((steps) => steps.length < 3)) break;
    above += `${below[0]![0]}/`;
  }
  const classes: Record<string, string[]> = {};
  const loose: string[] = [];
  for (const name of [...names].sort()) {
    const [first, ...rest] = name.slice(above.length).split('/');
    if (rest.length === 0) loose.push(name);
    else classes[first!] = [...(classes[first!] ?? []), rest.join('/')].sort();
  }
  return { above, classes, loose };
}

test('classes do not depend on the order in which images come', (t) => {
  let seed = 1;
  const draw = (below: number) => {
    seed = (seed * 48_271) % 2_147_483_647;
    return seed % below;
  };
  for (let round = 0; round < 3000; round++) {
    const deepest = 1 + draw(4);
    const names = Array.from({ length: 1 + draw(6) }, (_, i) => {
      const folders = Array.from(
        { length: draw(deepest + 1) },
        () => ['x', 'y', 'xx'][draw(round % 3 === 0 ? 1 : 3)],
      );
      return [...folders, `${i}.jpg`].join('/');
    });
    t.deepEqual(read(names), expected(names), names.join(' '));
  }
});
