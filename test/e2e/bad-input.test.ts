import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import test from 'ava';
import { Redis } from 'ioredis';
import type { ErrorCode } from '../../shared/errors.ts';
import { redactUrl } from '../../shared/redis/redis.ts';
import { names } from '../../shared/wire/protocol.ts';
import { TestRedis } from '../helpers/redis.ts';
import { assertRefused } from '../helpers/refused.ts';
import { Stage, tinyImages, tinyRun } from '../helpers/run.ts';

let folder: string;
let images: string;

test.before(async () => {
  folder = mkdtempSync(join(tmpdir(), 'cornet-test-'));
  images = await tinyImages(folder);
  writeFileSync(join(folder, 'misspelt.yaml'), 'batchsiz: 8\n');
});

test.after.always(() => rmSync(folder, { recursive: true }));

/** A data set of two classes with one image each, except what `change` does to it. */
function dataSet(name: string, change: (root: string) => void): string {
  const root = join(folder, name);
  for (const split of ['train', 'val']) {
    for (const label of ['checks', 'dots']) addImage(join(root, split, label, 'x.jpg'));
  }
  change(root);
  return root;
}

function addImage(path: string): void {
  const classFolder = join(images, 'train', readdirSync(join(images, 'train'))[0]!);
  mkdirSync(dirname(path), { recursive: true });
  copyFileSync(join(classFolder, readdirSync(classFolder)[0]!), path);
}

const nowhere = 'redis://127.0.0.1:1';
const usage = { code: 'OPTION_INVALID', exit: 2 } as const;
const table: {
  title: string;
  argv: () => string[];
  env?: NodeJS.ProcessEnv;
  refused: { code: ErrorCode; exit: number; says: RegExp };
}[] = [
  {
    title: 'a data folder that is not there',
    argv: () => ['--data-path', join(folder, 'nothing')],
    refused: { code: 'DATA_MISSING', exit: 1, says: /nothing cannot be read: it does not exist/ },
  },
  {
    title: 'an empty data folder',
    argv: () => [
      '--data-path',
      dataSet('empty', (root) =>
        ['train', 'val'].map((name) => rmSync(join(root, name), { recursive: true })),
      ),
    ],
    refused: { code: 'DATA_MISSING', exit: 1, says: /no folder train in .*empty/ },
  },
  {
    title: 'a single class',
    argv: () => [
      '--data-path',
      dataSet('single', (root) =>
        ['train', 'val'].map((name) => rmSync(join(root, name, 'dots'), { recursive: true })),
      ),
    ],
    refused: { code: 'DATA_INVALID', exit: 1, says: /single class \(checks\)/ },
  },
  {
    title: 'a class without images',
    argv: () => ['--data-path', dataSet('hollow', (root) => rmSync(join(root, 'train', 'dots', 'x.jpg')))],
    refused: { code: 'DATA_MISSING', exit: 1, says: /train\/dots holds no images/ },
  },
  {
    title: 'validation images that are not sorted into classes',
    argv: () => [
      '--data-path',
      dataSet('flat', (root) => {
        rmSync(join(root, 'val'), { recursive: true });
        addImage(join(root, 'val', 'ILSVRC2012_val_00000001.JPEG'));
      }),
    ],
    refused: { code: 'DATA_MISSING', exit: 1, says: /1 image lies in it.*\n.*LOC_val_solution\.csv/ },
  },
  {
    title: 'a class whose name is not UTF-8',
    argv: () => [
      '--data-path',
      dataSet('latin1', (root) => {
        const name = Buffer.concat([Buffer.from(`${root}/train/caf`), Buffer.from([0xe9])]);
        renameSync(join(root, 'train', 'dots'), name);
      }),
    ],
    refused: { code: 'DATA_INVALID', exit: 1, says: /not UTF-8: "caf\\xe9"/ },
  },
  {
    title: 'a class whose name steers the terminal',
    argv: () => [
      '--data-path',
      dataSet('red', (root) => renameSync(join(root, 'val', 'dots'), join(root, 'val', 'd\n\x1b[31m'))),
    ],
    refused: { code: 'DATA_INVALID', exit: 1, says: /dots is missing/ },
  },
  {
    title: 'a data folder that is not there, below a home folder that no shell expanded',
    argv: () => ['--data-path=~/imagenet'],
    env: { HOME: '/home/somebody' },
    refused: { code: 'DATA_MISSING', exit: 1, says: /\/home\/somebody\/imagenet cannot be read/ },
  },
  {
    title: "another user's home folder that no shell expanded",
    argv: () => ['--data-path=~kate/imagenet'],
    refused: { ...usage, says: /--data-path: ~kate\/imagenet names another user's home folder/ },
  },
  {
    title: 'an output folder with which a folder named ~ would be made',
    argv: () => ['--output-path=runs/~/x'],
    refused: { ...usage, says: /--output-path: runs\/~\/x has a ~ .*\n.*~\/runs\/x/ },
  },
  {
    title: 'an output folder behind -o=',
    argv: () => ['-o=~/x'],
    refused: { ...usage, says: /--output-path: =~\/x begins with =/ },
  },
  {
    title: 'no local workers, and a Redis that no other worker can reach',
    argv: () => ['--cpu-workers', '0'],
    env: { CORNET_REDIS_URL: undefined },
    refused: {
      ...usage,
      says: /Without local workers a run needs a Redis.*\n.*CORNET_REDIS_URL.*--cpu-workers/,
    },
  },
  {
    title: 'an option of run.py that has no counterpart',
    argv: () => ['--save_train_epochs=0.1'],
    refused: { ...usage, says: /There is no --save-train-epochs: metrics\.jsonl has/ },
  },
  {
    title: 'an unknown model',
    argv: () => ['--model', 'Q'],
    refused: {
      ...usage,
      says: /--model must be one of Z, R, RT, S, or a file that defines a model \(\.ts, \.js\), not Q\./,
    },
  },
  {
    title: 'no lanes',
    argv: () => ['--lanes', '0'],
    refused: { ...usage, says: /--lanes .* whole number of at least 1/ },
  },
  {
    title: 'a batch smaller than its lanes',
    argv: () => ['--batch-size', '1'],
    refused: { ...usage, says: /--batch-size 1 is smaller than --lanes 2/ },
  },
  {
    title: 'TensorFloat-32 on the CPU',
    argv: () => ['--precision', 'tf32'],
    refused: { ...usage, says: /--precision tf32 is for GPUs/ },
  },
  {
    title: 'two kinds of devices',
    argv: () => ['--cpu-workers', '1', '--ngpus', '1'],
    refused: { ...usage, says: /cannot be given together/ },
  },
  {
    title: 'less than one step',
    argv: () => ['--epochs', '0.001'],
    refused: { ...usage, says: /--epochs 0\.001 is less than one step/ },
  },
  {
    title: 'a momentum above one',
    argv: () => ['--momentum', '3'],
    refused: { ...usage, says: /--momentum must be a number of at least 0 and at most 1, not 3/ },
  },
  {
    title: 'a seed of more than 32 bits',
    argv: () => ['--seed', '4294967296'],
    refused: { ...usage, says: /--seed must be .* at most 4294967295, not 4294967296/ },
  },
  {
    title: 'a configuration file with a key that is no option',
    argv: () => ['--config', join(folder, 'misspelt.yaml')],
    refused: {
      ...usage,
      says: /misspelt\.yaml: there is no option batchsiz\. .*\nNearest names: batch-size, /,
    },
  },
  {
    title: 'a norm that would see one value',
    argv: () => ['--model', 'S', '--image-size', '16', '--batch-size', '2'],
    refused: { code: 'NORM_ONE_VALUE', exit: 2, says: /more than one value per channel/ },
  },
  {
    title: 'an option that does not exist',
    argv: () => ['--unheard-of', '8'],
    refused: {
      ...usage,
      says: /There is no option --unheard-of\. .*\nUsage: .* start --output-path <folder> --model <name> --data-path <folder> /,
    },
  },
  {
    title: 'a Redis that is not there',
    argv: () => [],
    env: { CORNET_REDIS_URL: nowhere },
    refused: {
      code: 'REDIS_UNREACHABLE',
      exit: 1,
      says: /127\.0\.0\.1:1 cannot be used: connect ECONNREFUSED/,
    },
  },
  {
    title: 'a Redis URL with a # in its password',
    argv: () => [],
    env: { CORNET_REDIS_URL: 'redis://user:12#34secret@127.0.0.1:6379' },
    refused: { code: 'REDIS_URL_INVALID', exit: 2, says: /^(?![\s\S]*secret).*a # in it/ },
  },
  {
    title: 'an address that is none',
    argv: () => ['--redis', 'somewhere'],
    refused: { code: 'REDIS_URL_INVALID', exit: 2, says: /not redis:\/\// },
  },
];

for (const { title, argv, env, refused } of table) {
  test.serial(`refused, and nothing is written: ${title}`, async (t) => {
    const stage = new Stage(t);
    const output = join(stage.folder, 'deep', 'run');
    const command = stage.start('coordinator', [...tinyRun(images), '-o', output, ...argv()], env);
    await assertRefused(t, stage, command, refused);
    t.false(existsSync(join(stage.folder, 'deep')));
  });
}

test.serial('refused: a Redis with a wrong password, or with too little memory', async (t) => {
  const stage = new Stage(t);
  const output = join(stage.folder, 'run');
  const guarded = await TestRedis.start(t, ['--requirepass', 'right']);
  const small = await TestRedis.start(t, ['--maxmemory', '10mb', '--maxmemory-policy', 'noeviction']);
  const refusals = [
    { url: `unix://:wrong@local${guarded.socket}`, code: 'REDIS_REFUSED', says: /WRONGPASS/ },
    { url: small.url, code: 'REDIS_UNSUITABLE', says: /maxmemory 10485760 bytes; this run needs \d+ bytes/ },
  ] as const;
  for (const { url, code, says } of refusals) {
    const command = stage.start('coordinator', [...tinyRun(images), '-o', output], { CORNET_REDIS_URL: url });
    await assertRefused(t, stage, command, { code, exit: 1, says });
    t.false(existsSync(output));
  }
});

test.serial('refused: an output folder that holds a run, or whose place is taken by a file', async (t) => {
  const stage = new Stage(t);
  const file = join(stage.folder, 'file');
  writeFileSync(file, 'in the way');
  for (const output of [file, join(file, 'below')]) {
    const command = stage.start('coordinator', [...tinyRun(images), '-o', output]);
    await assertRefused(t, stage, command, {
      code: 'FOLDER_NOT_WRITABLE',
      exit: 1,
      says: /Cannot make the output folder .* is a file\./,
    });
  }
  const forbidden = stage.start('coordinator', [...tinyRun(images), '-o', '/proc/cornet-test']); // not even root may
  const says = /Cannot make the output folder \/proc\/cornet-test/;
  await assertRefused(t, stage, forbidden, { code: 'FOLDER_NOT_WRITABLE', exit: 1, says });
  const missing = stage.start('coordinator', ['start', '--resume', '-o', join(stage.folder, 'nothing')]);
  await assertRefused(t, stage, missing, {
    code: 'RUN_MISSING',
    exit: 1,
    says: /There is no folder .*nothing\./,
  });
});

test.serial(
  'a finished run is not begun again, and no resume changes what its result depends on',
  async (t) => {
    const stage = new Stage(t);
    const output = join(stage.folder, 'run');
    const run = stage.start('coordinator', [...tinyRun(images), '--max-steps', '1', '-o', output]);
    t.is(await run.ended, 0, run.stderr);
    const configPath = join(output, 'config.json');
    const same = stage.start('coordinator', ['start', '--resume', '-o', output, '--config', configPath]);
    t.is(await same.ended, 0, same.stderr);
    const config = readFileSync(configPath, 'utf8');
    const again = stage.start('coordinator', [...tinyRun(images), '-o', output]);
    await assertRefused(t, stage, again, { code: 'RUN_EXISTS', exit: 1, says: /already holds a run/ });
    const changed = stage.start('coordinator', [
      'start',
      '--resume',
      '-o',
      output,
      '--batch-size',
      '9',
      '--seed',
      '5',
    ]);
    const named =
      /--batch-size cannot change on resume: the run uses 8, you passed 9\. --seed cannot change on resume: the run uses 0, you passed 5\./;
    await assertRefused(t, stage, changed, { code: 'RESULT_OPTION_CHANGED', exit: 2, says: named });
    const other = stage.start('coordinator', [
      'start',
      '--resume',
      '-o',
      output,
      '--data-path',
      dataSet('other', () => undefined),
    ]);
    await assertRefused(t, stage, other, {
      code: 'DATA_DIFFERS',
      exit: 1,
      says: /other has the fingerprint/,
    });
    t.is(readFileSync(configPath, 'utf8'), config);
  },
);

test.serial('a worker with another data set is refused, and the run waits on', async (t) => {
  const stage = new Stage(t);
  const redis = await TestRedis.start(t);
  const env = { CORNET_REDIS_URL: redis.url };
  const output = join(stage.folder, 'run');
  const run = stage.start('coordinator', [...tinyRun(images), '--cpu-workers', '0', '-o', output], env);
  await run.until('it waits for workers', () => run.stdout.includes('no local workers'));
  await run.until('the worker finds it', async () => {
    const worker = stage.start('worker', ['start', '--data-path', dataSet('foreign', () => undefined)], env);
    t.is(await worker.ended, 1);
    if (worker.stderr.includes('RUN_UNKNOWN')) return false;
    t.regex(
      worker.stderr,
      /^error: The data set at .*foreign has the fingerprint \w+, the run's is \w+\. \[DATA_DIFFERS\]\n/,
    );
    return true;
  });
  run.signal('SIGINT');
  t.is(await run.ended, 75);
  t.regex(run.stdout, /Stopped before its first checkpoint/);
  const [, again] = /Continue with: (.*)\n/.exec(run.stdout)!;
  t.true(again!.endsWith(`--redis ${redactUrl(redis.url)}`), again);
  const resume = stage.start('coordinator', ['start', '--resume', '-o', output], {
    CORNET_REDIS_URL: undefined,
  });
  await assertRefused(t, stage, resume, {
    ...usage,
    says: /Without local workers a run needs a Redis.* This run has used .* \[/,
  });
});

test.serial('a worker is refused by a run of another version, and by a Redis without runs', async (t) => {
  const stage = new Stage(t);
  const redis = await TestRedis.start(t);
  const env = { CORNET_REDIS_URL: redis.url };
  const lost = stage.start('worker', ['start'], env);
  await assertRefused(t, stage, lost, { code: 'RUN_UNKNOWN', exit: 1, says: /has no run/ });
  const client = new Redis(redis.socket);
  t.teardown(() => client.disconnect());
  await client.sadd(names.runs, 'old');
  await client.set(names.config('old'), JSON.stringify({ version: '0.0.1' }));
  const newer = stage.start('worker', ['start'], env);
  await assertRefused(t, stage, newer, {
    code: 'WORKER_VERSION',
    exit: 1,
    says: /uses cornet-ts 0\.0\.1, this worker 0/,
  });
  // The coordinator of another was killed: only that which is alive can be meant.
  await client.sadd(names.runs, 'dead');
  const many = stage.start('worker', ['start'], env);
  await assertRefused(t, stage, many, {
    code: 'RUN_UNKNOWN',
    exit: 1,
    says: /has several runs \(dead, old\)/,
  });
  await client.set(names.status('old'), '{}');
  const meant = stage.start('worker', ['start'], env);
  await assertRefused(t, stage, meant, { code: 'WORKER_VERSION', exit: 1, says: /uses cornet-ts 0\.0\.1/ });
});

test.serial('an image that cannot be read stops the run when it is met, named with its path', async (t) => {
  const stage = new Stage(t);
  const root = dataSet('unreadable', (where) =>
    writeFileSync(join(where, 'train', 'dots', 'z.jpg'), 'no image'),
  );
  const output = join(stage.folder, 'run');
  const argv = [...tinyRun(root), '--batch-size', '3', '--lanes', '1', '-o', output];
  const run = stage.start('coordinator', argv);
  await assertRefused(t, stage, run, { code: 'IMAGE_UNREADABLE', exit: 1, says: /train\/dots\/z\.jpg/ });
});
