/** `coordinator verify`: whole runs, runs at work, and each kind of damage. */
import {
  appendFileSync,
  cpSync,
  existsSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import type { Finding } from '../../coordinator/verify/finding.ts';
import type { ErrorCode } from '../../shared/errors.ts';
import { Stage, tinyImages, tinyRun, until } from '../helpers/run.ts';
import { nightlySerial, thoroughSerial } from '../helpers/thorough.ts';

let folder: string;
let images: string;
/** A run of sixteen steps, with checkpoints at 8 and 16. */
let whole: string;

const step = (number: number) => `checkpoints/step-${String(number).padStart(8, '0')}.safetensors`;

test.before(async () => {
  folder = mkdtempSync(join(tmpdir(), 'cornet-test-'));
  images = await tinyImages(folder);
  whole = join(folder, 'run');
});

test.after.always(() => rmSync(folder, { recursive: true }));

interface Report {
  findings: Finding[];
  of: (file: string) => Finding | undefined;
  exit: number | NodeJS.Signals;
  stderr: string;
}

async function verify(stage: Stage, run: string): Promise<Report> {
  const command = stage.start('coordinator', ['verify', run, '--json']);
  const exit = await command.ended;
  const findings = command.stdout
    .trimEnd()
    .split('\n')
    .filter(Boolean)
    .map((line) => JSON.parse(line)) as Finding[];
  const of = (name: string) => findings.find(({ file }) => file === name);
  return { findings, of, exit, stderr: command.stderr };
}

/** A copy of the whole run that has come to harm, and what is said of it: nothing but of the file that was harmed. */
async function assertFault(
  t: ExecutionContext,
  harm: (run: string) => void,
  { file, code, says }: { file: string; code: ErrorCode; says: RegExp },
): Promise<void> {
  const stage = new Stage(t);
  const run = join(stage.folder, 'copy');
  cpSync(whole, run, { recursive: true });
  harm(run);
  const { findings, of, exit, stderr } = await verify(stage, run);
  t.is(exit, 1);
  t.deepEqual(
    findings.filter(({ verdict }) => verdict === 'bad').map((one) => one.file),
    [file],
  );
  t.is(of(file)?.code, code);
  t.regex(of(file)!.text, says);
  t.regex(stderr, new RegExp(`^error: .* \\[${code}\\]\\n.+`));
}

/** A file of the run, altered. */
function alter(path: string, change: (text: string) => string): void {
  writeFileSync(path, change(readFileSync(path, 'latin1')), 'latin1');
}

test.serial('a run that ended well is well, file by file, and its last sentence says so', async (t) => {
  const stage = new Stage(t);
  const run = stage.start('coordinator', [...tinyRun(images), '--cpu-workers', '1', '-o', whole]);
  t.is(await run.ended, 0, run.stderr);

  const command = stage.start('coordinator', ['verify', whole]);
  t.is(await command.ended, 0, command.stderr);
  t.regex(command.stdout, /^ok +metrics\.jsonl +It has 18 lines, up to step 16\.$/m);
  t.regex(
    command.stdout,
    /^ok +checkpoints\/step-00000016\.safetensors +Complete and unchanged since it was written.*\(.*latest\)/m,
  );
  t.regex(command.stdout, /\nAll is well: 8 files of .*run\.\n$/);
  const { findings } = await verify(stage, whole);
  t.deepEqual(new Set(findings.map(({ verdict }) => verdict)), new Set(['ok']));
});

nightlySerial(
  'a run is well whenever it is looked at while it is at work, and after it was killed',
  async (t) => {
    const stage = new Stage(t);
    const output = join(stage.folder, 'run');
    const often = [
      '--epochs',
      '40',
      '--save-val-epochs',
      '0.125',
      '--keep-checkpoints',
      '1',
      '--cpu-workers',
      '1',
    ];
    const run = stage.start('coordinator', [...tinyRun(images), ...often, '-o', output]);
    await run.until('a checkpoint is there', () => existsSync(join(output, 'checkpoints/latest.json')));
    for (let look = 0; look < 8; look++) {
      const { findings, of, exit, stderr } = await verify(stage, output);
      t.is(exit, 0, stderr);
      t.regex(
        of('lock')!.text,
        /is controlled by a coordinator on host .* with process id \d+, which is still running/,
      );
      t.true(findings.some(({ file }) => file.startsWith('checkpoints/step-')));
    }
    stage.kill();
    await run.ended;
    const { of, exit, stderr } = await verify(stage, output);
    t.is(exit, 0, stderr);
    t.is(of('lock')?.verdict, 'note');
    t.regex(of('lock')!.text, /left over by a coordinator on host .*, which is gone/);
  },
);

test.serial(
  'one bit of a checkpoint that is another is found, in the newest and in older ones',
  async (t) => {
    for (const number of [8, 16]) {
      const flip = (run: string) =>
        alter(join(run, step(number)), (text) => {
          const at = Math.floor(text.length / 2);
          return text.slice(0, at) + String.fromCharCode(text.charCodeAt(at) ^ 1) + text.slice(at + 1);
        });
      await assertFault(t, flip, {
        file: step(number),
        code: 'CHECKPOINT_DAMAGED',
        says: /SHA-256 is not the one/,
      });
    }
  },
);

test.serial(
  'a checkpoint of another run is told by what differs, also where no record names it',
  async (t) => {
    const foreign = (run: string) => {
      const text = readFileSync(join(run, step(8)), 'latin1').replace('\\"seed\\":0', '\\"seed\\":7');
      writeFileSync(join(run, step(12)), text, 'latin1');
    };
    await assertFault(t, foreign, {
      file: step(12),
      code: 'CHECKPOINT_DIFFERS',
      says: /seed 7 \(this run: 0\)/,
    });
    const misnamed = (run: string) => cpSync(join(run, step(8)), join(run, step(12)));
    await assertFault(t, misnamed, { file: step(12), code: 'CHECKPOINT_DAMAGED', says: /state of step 8/ });
  },
);

test.serial('a checkpoint that a record names and nobody finds is missed', async (t) => {
  for (const number of [8, 16]) {
    const lose = (run: string) => rmSync(join(run, step(number)));
    await assertFault(t, lose, { file: step(number), code: 'CHECKPOINT_DAMAGED', says: /does not exist/ });
  }
});

test.serial('metrics that are torn, in disorder, or lack a step are found', async (t) => {
  const file = 'metrics.jsonl';
  const harms: [(path: string) => void, RegExp][] = [
    [
      (path) => truncateSync(path, readFileSync(path).length - 400),
      /up to the checkpoint of step 16 are missing/,
    ],
    [(path) => truncateSync(path, readFileSync(path).length - 10), /the validation of step 16 is missing/],
    [
      (path) => alter(path, (text) => text.replace('{"step":5,', '{"step:5,')),
      /line 5 is not one of metrics/,
    ],
    [(path) => alter(path, (text) => text.replace(/\{"step":5,.*\n/, '')), /step 5 is missing/],
    [
      (path) => alter(path, (text) => text.replace(/(\{"step":5,.*\n)/, '$1$1')),
      /line 6 is of step 5, after/,
    ],
    [(path) => appendFileSync(path, '\0\0\0'), /ends with zeros/],
  ];
  for (const [harm, says] of harms) {
    await assertFault(t, (run) => harm(join(run, file)), { file, code: 'RUN_DAMAGED', says });
  }
});

test.serial('records, configuration and token that make no sense are named', async (t) => {
  const spoil = (file: string, text: string) => (run: string) => writeFileSync(join(run, file), text);
  const latest = 'checkpoints/latest.json';
  await assertFault(t, spoil(latest, '{'), {
    file: latest,
    code: 'CHECKPOINT_DAMAGED',
    says: /not the record/,
  });
  await assertFault(t, spoil('config.json', '{'), {
    file: 'config.json',
    code: 'RUN_DAMAGED',
    says: /not JSON/,
  });
  await assertFault(t, spoil('token', '3'), { file: 'token', code: 'RUN_DAMAGED', says: /holds no token/ });
});

test.serial('what a killed coordinator may leave behind is told, and is no fault', async (t) => {
  const stage = new Stage(t);
  const run = join(stage.folder, 'copy');
  cpSync(whole, run, { recursive: true });
  appendFileSync(join(run, 'metrics.jsonl'), '{"step":17,"tr');
  writeFileSync(join(run, 'config.json.abc.partial'), '');
  writeFileSync(join(run, 'checkpoints/step-00000017.safetensors.abc.partial'), '');
  writeFileSync(join(run, 'notes.txt'), '');
  const { findings, exit } = await verify(stage, run);
  t.is(exit, 0);
  const notes = findings.filter(({ verdict }) => verdict === 'note');
  t.deepEqual(notes.map(({ file }) => file).sort(), [
    'checkpoints/step-00000017.safetensors.abc.partial',
    'config.json.abc.partial',
    'metrics.jsonl',
    'notes.txt',
  ]);
});

test.serial('a folder without a run is refused', async (t) => {
  const { exit, stderr } = await verify(new Stage(t), folder);
  t.is(exit, 1);
  t.regex(stderr, /holds no run\. \[RUN_MISSING\]/);
});

thoroughSerial(
  'the files of an inference run that was killed are well, and those that were cut or are missing are not',
  async (t) => {
    const stage = new Stage(t);
    const output = join(stage.folder, 'out');
    const what = ['--model', 'S', '--times', '2', '--imsize', '32', '--tap', 'all', '--batch-size', '2'];
    const read = [
      'test',
      ...what,
      '--weights',
      'untrained',
      '--recursive',
      '--data-path',
      images,
      '-o',
      output,
    ];
    const run = join(output, 'CORnet-S_features.unfinished');
    const command = stage.start('coordinator', [...read, '--threads', '1'], {
      CORNET_FAULT: 'stored@0:3=pause',
    });
    await command.paused();
    stage.kill();
    await command.ended;
    await until('nobody holds it', () => stage.processes().length === 0);

    const good = await verify(stage, run);
    t.is(good.exit, 0, good.stderr);
    t.regex(good.of('journal.jsonl')!.text, /^\d+ of 40 batches are stored/);
    const features = good.findings.filter(({ file }) => file.endsWith('.npy'));
    t.true(features.length >= 5);
    const [first, second] = features.map(({ file }) => join(run, file)) as [string, string];

    const { length } = readFileSync(first);
    truncateSync(first, length - 4);
    renameSync(second, `${second}.elsewhere`);
    const hurt = await verify(stage, run);
    t.is(hurt.exit, 1);
    t.regex(hurt.stderr, /bytes instead of .* And 1 more of \d+ files\. \[RUN_DAMAGED\]/);
    truncateSync(first, length);
    renameSync(`${second}.elsewhere`, second);
    alter(first, (text) => text.replace('NUMPY', 'NUMPI'));
    t.regex((await verify(stage, run)).stderr, /the header of .* is not its own/);
    alter(first, (text) => text.replace('NUMPI', 'NUMPY'));
    appendFileSync(join(run, 'journal.jsonl'), '{}\n');
    t.regex((await verify(stage, run)).stderr, /has 1 damaged line\./);
  },
);
