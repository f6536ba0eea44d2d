import { spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { csvOf, metricColumns } from '../../coordinator/report/csv.ts';
import { htmlOf } from '../../coordinator/report/html.ts';
import { drawRuns, svgDocument } from '../../coordinator/report/picture.ts';
import { distinctNames, findRuns, readRun } from '../../coordinator/report/read-runs.ts';
import { report } from '../../coordinator/report/report.ts';
import { factsOf } from '../../coordinator/report/run-facts.ts';
import { CornetError } from '../../shared/errors.ts';
import { configOf, linesOf, writeRunFolder } from '../helpers/report-runs.ts';
import { temporaryFolder } from '../helpers/temporary.ts';

/** A reader of its own, by RFC 4180: rows of cells. */
function parseCsv(text: string): string[][] {
  const rows: string[][] = [[]];
  let cell = '';
  let quoted = false;
  for (let i = 0; i < text.length; i++) {
    const character = text[i]!;
    if (quoted) {
      if (character !== '"') cell += character;
      else if (text[i + 1] === '"') cell += text[i++];
      else quoted = false;
    } else if (character === '"') quoted = true;
    else if (character === ',' || character === '\n') {
      rows.at(-1)!.push(cell);
      cell = '';
      if (character === '\n') rows.push([]);
    } else cell += character;
  }
  return rows.slice(0, -1);
}

async function csv(...folders: string[]): Promise<Record<string, string>[]> {
  const parts: Buffer[] = [];
  for await (const part of csvOf(await findRuns(folders))) parts.push(part);
  const [header, ...rows] = parseCsv(Buffer.concat(parts).toString());
  return rows.map((row) => Object.fromEntries(header!.map((name, i) => [name, row[i]!])));
}

test('a table has the numbers of metrics.jsonl, a row for each step of each run', async (t) => {
  const root = temporaryFolder(t);
  const folders = [0, 5].map((seed) => writeRunFolder(join(root, `s${seed}`), configOf({ seed })));
  const rows = await csv(...folders);
  t.is(rows.length, 40);
  for (const seed of [0, 5]) {
    const own = rows.filter((row) => row.seed === String(seed));
    for (const line of linesOf(seed)) {
      const found = own.filter(({ step }) => step === String(line.step));
      t.is(found.length, 1);
      t.is(found[0]!.run, `s${seed}`);
      t.is(found[0]!.model, 'CORnet-Z');
      for (const [name, value] of Object.entries(line)) t.is(Number(found[0]![name]), value!, name);
    }
    t.is(own[0]!['val/loss'], '', 'not measured');
  }
});

test('the columns of a table are what docs/files.md says of metrics.jsonl', (t) => {
  const [, section = ''] = readFileSync('docs/files.md', 'utf8').split('\n## metrics.jsonl\n');
  const [table = ''] = section.split('\n## ');
  const named = [...table.matchAll(/`((?:train|val)\/\w+)`/g)].map(([, name]) => name);
  t.deepEqual([...metricColumns], named);
});

test('a torn last line and damaged ones are left out; what is not finite is NaN', async (t) => {
  const root = temporaryFolder(t);
  const lines = [...linesOf(0).slice(0, 2), { step: 3, epoch: 0.3, 'train/loss': null }];
  const rest = '\0\0\0\n{"step":4,"tra{"step":5}\n{"step":6,"epoch":0.6,"train/loss":1}\n{"step":7,"epo';
  const folder = writeRunFolder(join(root, 'run'), configOf(), lines, rest);
  const rows = await csv(folder);
  t.deepEqual(
    rows.map(({ step }) => step),
    ['1', '2', '3', '6'],
  );
  t.is(rows[2]!['train/loss'], 'NaN');
  const [source] = await findRuns([folder]);
  const run = await readRun(source!);
  t.deepEqual(
    run.training.map(({ step }) => step),
    [1, 2, 3, 6],
  );
});

const nasty = 'a,"<b>&"';

test('a name with quotes, commas and markup comes back from a table, and is text in a page', async (t) => {
  const folder = writeRunFolder(join(temporaryFolder(t), nasty));
  const [row] = await csv(folder);
  t.is(JSON.parse(row!.run!), nasty, 'quoted as in sentences');
  const html = await page([folder]);
  t.notRegex(html, /<b>/);
  t.regex(html, /a,\\&quot;&lt;b&gt;&amp;\\&quot;/);
});

test('names are as short as tells runs apart', (t) => {
  t.deepEqual(distinctNames(['/runs/a', '/runs/b']), ['a', 'b']);
  t.deepEqual(distinctNames(['/x/a/run', '/x/b/run']), ['a/run', 'b/run']);
  t.deepEqual(distinctNames(['/run', '/x/run']), ['run', 'x/run']);
  t.deepEqual(distinctNames(['/']), ['/']);
});

async function page(folders: string[]): Promise<string> {
  const runs = await Promise.all((await findRuns(folders)).map(readRun));
  const facts = await Promise.all(runs.map(factsOf));
  return htmlOf({ runs, facts, picture: svgDocument(drawRuns(runs), 'x'), at: new Date(0) });
}

/** The text of a page's cells, row by row. */
function cellsOf(html: string): string[][] {
  const rows = [...html.matchAll(/<tr>(.*?)<\/tr>/g)].map(([, row]) => row!);
  return rows.map((row) => [...row.matchAll(/<t[hd][^>]*>(.*?)<\/t[hd]>/g)].map(([, cell]) => cell!));
}

test('a page has the best and the last validation of each run, what differs, and what does not', async (t) => {
  const root = temporaryFolder(t);
  const lines = linesOf(0, 3).map((line) =>
    line.step === 20 && 'val/top1' in line ? { ...line, 'val/top1': 0.99 } : line,
  );
  const a = writeRunFolder(join(root, 'a'), configOf({ learningRate: 0.1, seed: 8 }, 3), lines);
  const b = writeRunFolder(join(root, 'b'), configOf({ learningRate: 0.2 }, 4), linesOf(3, 3));
  const html = await page([a, b]);
  t.notRegex(html, /<script|https?:(?!\/\/www\.w3\.org)/);
  const cells = cellsOf(html);
  const [head, first] = cells as [string[], string[]];
  const of = (name: string) => first[head.indexOf(name)];
  t.is(first[0], 'A  a');
  t.is(of('best validation top-1'), '99.0 %');
  t.is(of('at step'), '20');
  t.is(of('last top-1'), `${(100 * linesOf(0, 3).at(-1)!['val/top1']!).toFixed(1)} %`);
  t.is(of('state'), 'stopped');
  t.is(of('time'), '–', 'there is no log');
  const [, differing] = cells.filter(([name]) => name === 'run') as [string[], string[]];
  for (const name of ['--lr', '--seed', '--epochs']) t.true(differing.includes(name), name);
  t.false(differing.includes('--batch-size'));
  t.regex(html, /<dt>--batch-size<\/dt><dd>10<\/dd>/);
});

test('the time of a run is that of its coordinators, as its log says', async (t) => {
  const folder = writeRunFolder(join(temporaryFolder(t), 'run'), { ...configOf(), term: 2 });
  const line = (time: string, more: object) =>
    `${JSON.stringify({ level: 'info', time: `2026-01-0${time}.000Z`, pid: 1, ...more })}\n`;
  const log = [
    line('1T10:00:00', { config: {}, msg: 'Starting.' }),
    line('1T10:00:30', { file: 'x', msg: 'Wrote a checkpoint.' }),
    line('2T10:00:00', { config: {}, msg: 'Starting.' }),
    line('2T10:00:20', { outcome: 'interrupted', msg: 'Finished.' }),
  ];
  writeFileSync(join(folder, 'log.jsonl'), log.join(''));
  const [source] = await findRuns([folder]);
  const run = await readRun(source!);
  const facts = await factsOf(run);
  t.is(facts.seconds, 50);
  t.is(facts.imagesPerSecond, 190 / 50);
  writeFileSync(join(folder, 'log.jsonl'), log.slice(2).join(''));
  t.is((await factsOf(run)).seconds, null, 'the log has lost its beginning');
});

async function refused(t: ExecutionContext, paths: string[], output: string): Promise<CornetError> {
  return (await t.throwsAsync(report(paths, { output }), { instanceOf: CornetError }))!;
}

test('what cannot be reported is refused with a sentence that helps', async (t) => {
  const root = temporaryFolder(t);
  const run = writeRunFolder(join(root, 'run'));
  const svg = join(root, 'x.svg');
  const png = await refused(t, [run], join(root, 'x.png'));
  t.is(png.code, 'OPTION_INVALID');
  t.regex(png.message, /must end in \.svg \(a picture\), \.html \(a page\) or \.csv \(a table\)/);
  t.is((await refused(t, [run], join(root, 'x.constructor'))).code, 'OPTION_INVALID');
  mkdirSync(join(root, 'empty'));
  const none = await refused(t, [join(root, 'empty')], svg);
  t.is(none.code, 'RUN_MISSING');
  t.regex(none.hint, /--output-path/);
  t.is((await refused(t, [join(root, 'nothing')], svg)).code, 'RUN_MISSING');
  t.regex(
    (await refused(t, [join(run, 'config.json')], svg)).message,
    /config\.json is a file, and a run is a/,
  );
  const early = await refused(t, [writeRunFolder(join(root, 'early'), configOf(), [])], svg);
  t.regex(early.message, /has no measurements yet/);
  mkdirSync(join(root, 'folder.svg'));
  t.regex((await refused(t, [run], join(root, 'folder.svg'))).message, /folder\.svg is a folder/);
  symlinkSync('/dev/null', join(root, 'null.csv'));
  t.regex((await refused(t, [run], join(root, 'null.csv'))).message, /is not a regular file/);
  const nowhere = await refused(t, [run], join(root, 'no', 'x.svg'));
  t.is(nowhere.code, 'FOLDER_NOT_WRITABLE');
  t.regex(nowhere.hint, /Give -o a file/);
});

test('among several paths, what is no run is left out and named, and what does not exist is refused', async (t) => {
  const root = temporaryFolder(t);
  const run = writeRunFolder(join(root, 'z'));
  const others = ['z-validation', 'z.svg'].map((name) => join(root, name));
  mkdirSync(others[0]!);
  writeFileSync(others[1]!, '');
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    ['dist/coordinator/main.js', 'report', run, ...others, '-o', join(root, 'runs.csv')],
    { encoding: 'utf8' },
  );
  t.is(status, 0, stderr);
  t.is(stderr, `Skipped, because no run is there: ${others.join(', ')}.\n`);
  t.regex(stdout, /^Wrote \S+runs\.csv from \S+\/z\.\n$/);
  const missing = await refused(t, [run, join(root, 'misspelt')], join(root, 'x.csv'));
  t.regex(missing.message, /^There is no folder \S+misspelt\.$/);
  const none = await refused(t, others, join(root, 'x.csv'));
  t.is(none.code, 'RUN_MISSING');
  t.is(none.message, `None of these is the folder of a run: ${others.join(', ')}.`);
});

test('a file that is no report is not replaced', async (t) => {
  const root = temporaryFolder(t);
  const run = writeRunFolder(join(root, 'run'));
  for (const name of ['own.csv', 'own.svg', 'own.html']) {
    const path = join(root, name);
    writeFileSync(path, 'my,own,file');
    t.is((await refused(t, [run], path)).code, 'OUTPUT_EXISTS');
    t.is(readFileSync(path, 'utf8'), 'my,own,file');
    writeFileSync(path, '');
    for (let times = 0; times < 2; times++) await report([run], { output: path });
    t.true(readFileSync(path, 'utf8').length > 100);
  }
});

test('an earlier report is replaced, behind a link, too; a run that is named twice counts once', async (t) => {
  const root = temporaryFolder(t);
  const run = writeRunFolder(join(root, 'run'));
  writeFileSync(join(root, 'old.csv'), 'run,model,seed,step,epoch,train/loss\n');
  symlinkSync('old.csv', join(root, 'link.csv'));
  await report([run, `${run}/`, run], { output: join(root, 'link.csv') });
  const rows = parseCsv(readFileSync(join(root, 'old.csv'), 'utf8'));
  t.is(rows.length, 21);
});
