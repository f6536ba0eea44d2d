import { execFileSync } from 'node:child_process';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { findGroundTruth } from '../../shared/data/ground-truth.ts';
import { byChallengeId, imageNetNames } from '../../shared/data/imagenet-classes.ts';
import { CornetError } from '../../shared/errors.ts';
import { temporaryFolder } from '../helpers/temporary.ts';

const list = 'ILSVRC2012_validation_ground_truth.txt';
const inKit = `ILSVRC2012_devkit_t12/data/${list}`;
const table = 'LOC_val_solution.csv';
const image = (number: number) => `ILSVRC2012_val_${String(number).padStart(8, '0')}`;

/** The first lines of the development kit's list, and the classes of those images as TensorFlow's models have them. */
const firstIds = [490, 361, 171, 822, 297, 482, 13, 704, 599, 164];
const firstClasses =
  'n01751748 n09193705 n02105855 n04263257 n03125729 n01735189 n02346627 n02776631 n03794056 n02328150'.split(
    ' ',
  );
const listed = `${firstIds.join('\n')}\n`;

function put(root: string, name: string, text: string): void {
  mkdirSync(dirname(join(root, name)), { recursive: true });
  writeFileSync(join(root, name), text);
}

async function classes(root: string): Promise<(string | null | undefined)[]> {
  const truth = await findGroundTruth(root);
  return firstIds.map((_, i) => truth?.classOf(image(i + 1)));
}

async function refused(t: ExecutionContext, root: string, message: RegExp): Promise<void> {
  const error = await t.throwsAsync(findGroundTruth(root), { instanceOf: CornetError, message });
  t.is(error?.code, 'DATA_INVALID');
}

test('the ids of the challenge number the thousand classes, each once', (t) => {
  t.is(new Set(byChallengeId).size, 1000);
  t.deepEqual([...byChallengeId].sort(), [...imageNetNames]);
  // As in the file map_clsloc.txt of the development kits.
  const known = { 1: 'n02119789', 213: 'n01882714', 449: 'n01440764', 623: 'n02167151', 1000: 'n03255030' };
  for (const [id, name] of Object.entries(known)) t.is(byChallengeId[Number(id) - 1], name);
});

for (const place of [list, `val/${list}`, inKit, `val/${inKit}`]) {
  test(`the development kit's list is found as ${place}`, async (t) => {
    const root = temporaryFolder(t);
    t.is(await findGroundTruth(root), null);
    put(root, place, listed);
    t.deepEqual(await classes(root), firstClasses);
    const truth = await findGroundTruth(root);
    t.is(truth?.file, join(root, place));
    t.is(truth?.classOf('n01440764_10026'), null);
    t.throws(() => truth?.classOf(image(11)), {
      instanceOf: CornetError,
      message: /ground_truth\.txt has 10 lines: none is for ILSVRC2012_val_00000011/,
    });
  });
}

test("the development kit's list is read out of its archive", async (t) => {
  const root = temporaryFolder(t);
  put(root, inKit, listed);
  put(root, 'ILSVRC2012_devkit_t12/readme.txt', 'r'.repeat(100_000));
  const archive = 'ILSVRC2012_devkit_t12.tar.gz';
  const pack = (name: string) => execFileSync('tar', ['-czf', join(root, archive), '-C', root, name]);
  pack('ILSVRC2012_devkit_t12');
  rmSync(join(root, inKit));
  t.deepEqual(await classes(root), firstClasses);
  t.is((await findGroundTruth(root))?.file, join(root, archive));
  pack('ILSVRC2012_devkit_t12/readme.txt');
  await refused(t, root, /devkit_t12\.tar\.gz holds no ILSVRC2012_validation_ground_truth\.txt/);
  put(root, archive, 'no gzip');
  await refused(t, root, /devkit_t12\.tar\.gz cannot be decompressed/);
});

test("Kaggle's table comes before the list, and is found beside the folder that Kaggle's archive makes", async (t) => {
  const top = temporaryFolder(t);
  const root = join(top, 'ILSVRC/Data/CLS-LOC');
  put(root, `val/${list}`, '1\n');
  put(
    top,
    table,
    `ImageId,PredictionString\r\n${image(2)},n03995372 85 1 499 272 \r\n${image(1)},n01440764 1 2 3 4 n01440764 5 6 7 8 \r\n`,
  );
  for (const folder of [root, top]) {
    const truth = await findGroundTruth(folder);
    t.is(truth?.file, join(top, table));
    t.deepEqual(
      [1, 2, 3].map((n) => truth?.classOf(image(n))),
      ['n01440764', 'n03995372', null],
    );
  }
});

test('a line that says no class is named', async (t) => {
  const root = temporaryFolder(t);
  for (const line of ['0', '1001', 'n01440764', '', '1.5', '12 13']) {
    put(root, list, `1\n${line}\n3\n`);
    await refused(
      t,
      root,
      /^Line 2 of the file .*ground_truth\.txt is .*: it should be a number from 1 to 1000/,
    );
  }
  put(root, list, '');
  await refused(t, root, /^Line 1 of the file .* is ""/);
  put(root, table, 'ImageId,Label\n');
  await refused(
    t,
    root,
    /^Line 1 of the file .*LOC_val_solution\.csv is ImageId,Label: it should be ImageId,PredictionString/,
  );
  put(root, table, `ImageId,PredictionString\n${image(1)},n01440764 1 2 3 4\n${image(2)},\n`);
  await refused(t, root, /^Line 3 of the file .* is ILSVRC2012_val_00000002,: it should be/);
});
