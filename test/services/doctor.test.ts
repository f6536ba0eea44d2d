import { execFile, spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, readdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';
import test, { type ExecutionContext } from 'ava';
import { imaginaryGpu, listing } from '../helpers/gpus.ts';
import { TestRedis } from '../helpers/redis.ts';
import { scripts, tinyImages } from '../helpers/run.ts';
import { freePort } from '../helpers/sentinels.ts';
import { temporaryFolder } from '../helpers/temporary.ts';

interface Report {
  code: number;
  /** The line of a finding, by its subject. */
  line: (subject: string) => string;
  end: string;
}

async function doctor(
  args: readonly string[] = [],
  { root = '.', environment = {}, program = process.execPath, before = [] as string[], directory = '.' } = {},
): Promise<Report> {
  const main = join(root, 'dist/coordinator/main.js');
  const env = { ...process.env, CORNET_REDIS_URL: undefined, ...environment };
  const { code, stdout } = await promisify(execFile)(program, [...before, main, 'doctor', ...args], {
    env,
    cwd: directory,
  }).then(
    ({ stdout }) => ({ code: 0, stdout }),
    (error: { code: number; stdout: string }) => error,
  );
  const lines = stdout.trimEnd().split('\n');
  return {
    code,
    line: (subject) => lines.find((line) => line.slice(9).startsWith(`${subject} `)) ?? '',
    end: lines.at(-1)!,
  };
}

/** The compiled package without its addons. */
function barePackage(t: ExecutionContext): string {
  const root = temporaryFolder(t);
  for (const room of ['coordinator', 'worker', 'shared']) {
    cpSync(join('dist', room), join(root, 'dist', room), { recursive: true });
  }
  cpSync('package.json', join(root, 'package.json'));
  symlinkSync(resolve('node_modules'), join(root, 'node_modules'));
  return root;
}

test.serial('where everything is there, each finding has its line and training can start', async (t) => {
  const report = await doctor(['--output-path', join(temporaryFolder(t), 'not/yet/made')]);
  t.regex(report.line('torch backend'), /^ok +torch backend +libtorch \d+\.\d+/);
  t.regex(report.line('device cpu'), /^ok .*\d+ cores/);
  t.regex(report.line('redis-server'), /^ok .*\d+\.\d+\.\d+ answers at unix:/);
  for (const subject of [
    'Node.js',
    'image decoder',
    'shared memory',
    'output folder',
    'temporary folder',
    'open files',
    'memory',
  ]) {
    t.regex(report.line(subject), /^(ok|note) /);
  }
  t.is(report.end, 'Training can start.');
  t.is(report.code, 0);
});

test.serial(
  'without redis-server in the path training cannot start, and the package to install is named',
  async (t) => {
    const report = await doctor([], { environment: { PATH: temporaryFolder(t) } });
    t.regex(
      report.line('redis-server'),
      /^missing .*There is no redis-server .*apt-get install redis-server/,
    );
    t.regex(report.line('compiler'), /^note .*g\+\+: not found/);
    t.regex(report.line('nvidia-smi'), /^note .*not found: workers compute on the CPU/);
    t.regex(report.line('torch backend'), /^ok /);
    t.regex(report.end, /^Not ready: provide/);
    t.is(report.code, 1);
  },
);

test.serial('a package whose addons were never built names what to run', async (t) => {
  const report = await doctor([], { root: barePackage(t) });
  t.regex(report.line('torch backend'), /^missing .*has not been built.*Run `node .*main\.js setup`/);
  t.regex(report.line('image decoder'), /^note .*sharp .*Run `node .*main\.js setup`/);
  t.regex(
    report.line('shared memory'),
    /^note .*the memory addon has not been built.*Run `node .*main\.js setup`/,
  );
  t.is(report.line('device cpu'), '');
  t.is(report.code, 1);
});

test.serial('an addon that the loader refuses is missing, with the words of the loader', async (t) => {
  const root = barePackage(t);
  const cache = join(root, '.cache/torch-addon');
  mkdirSync(join(cache, '0.0.0-broken'), { recursive: true });
  writeFileSync(join(cache, '0.0.0-broken/torch.node'), 'no library');
  writeFileSync(join(cache, 'current'), '0.0.0-broken\n');
  const report = await doctor([], { root });
  t.regex(report.line('torch backend'), /^missing .*cannot be loaded from .*0\.0\.0-broken/);
  t.is(report.code, 1);
});

test.serial('a worker command that dies is a finding, not an end of the doctor', async (t) => {
  const root = barePackage(t);
  writeFileSync(join(root, 'dist/worker/main.js'), 'process.kill(process.pid, "SIGSEGV");');
  const report = await doctor([], { root });
  t.regex(report.line('worker'), /^missing .*does not run: ended by SIGSEGV/);
  t.regex(report.line('memory'), /GB/);
  t.is(report.code, 1);
});

test.serial('a GPU that the tensor library cannot use is said, and the CPU still trains', async (t) => {
  const report = await doctor([], { environment: listing(t, [imaginaryGpu.replace('0', '7')]) });
  t.regex(
    report.line('nvidia-smi'),
    /^ok .*driver 580\.159\.04: cuda:7 \(NVIDIA Imaginary\) has 25\.2 of 25\.8 GB free/,
  );
  t.regex(report.line('device cuda:7'), /^note /);
  t.regex(report.line('device cpu'), /^ok /);
  t.is(report.code, 0);
});

test.serial('a Redis that does not answer is missing, and the private one is not asked for', async (t) => {
  const url = `unix://${join(temporaryFolder(t), 'nobody.sock')}`;
  const report = await doctor(['--redis', url]);
  t.regex(report.line('Redis'), /^missing .*nobody\.sock cannot be used/);
  t.is(report.line('redis-server'), '');
  t.is(report.code, 1);
});

test.serial(
  'where Redis is reached over a network, it is said at which address other hosts look for vectors',
  async (t) => {
    const port = await freePort();
    await TestRedis.start(t, ['--port', String(port), '--bind', '127.0.0.1']);
    const report = await doctor(['--redis', `redis://127.0.0.1:${port}`]);
    t.regex(report.line('Redis'), /^ok /);
    // Whether this machine has an address that others reach depends on it.
    t.regex(
      report.line('TCP'),
      /^(ok .*workers serve vectors to other hosts at [\d.]+, .*any free port|note .*no address for other hosts but 127\.0\.0\.1)/,
    );
  },
);

test.serial('a Redis that is there, but refuses, is an error, not missing', async (t) => {
  const { socket } = await TestRedis.start(t, ['--requirepass', 'right']);
  const { line, end, code } = await doctor(['--redis', `unix://:wrong@local${socket}`]);
  t.regex(line('Redis'), /^error .*WRONGPASS(?!.*\.\.)/);
  t.is(end, 'Not ready: correct the items marked "error".');
  t.is(code, 1);
  t.regex((await doctor(['--redis', 'nonsense'])).line('Redis'), /^error .*The Redis URL is not redis:/);
});

test.serial('a tensor library that nobody asked for takes one short line', async (t) => {
  const note = (await doctor()).line('tensorflow backend');
  t.true(note.startsWith('ok ') || note.length < 150, note);
});

test.serial('an output folder that is a file, or lies below one, is missing', async (t) => {
  const file = join(temporaryFolder(t), 'file');
  writeFileSync(file, '');
  t.regex((await doctor(['-o', file])).line('output folder'), /^missing .*is not a folder/);
  const below = await doctor(['-o', join(file, 'run')]);
  t.regex(below.line('output folder'), /^missing .*is not a folder/);
  t.is(below.code, 1);
});

test.serial('a low limit of open files is pointed out', async (t) => {
  const before = ['-c', 'ulimit -n 200; exec "$0" "$@"', process.execPath];
  const report = await doctor([], { program: 'bash', before });
  t.regex(report.line('open files'), /^note .*up to 200: ulimit -Hn 1024/);
});

test.serial('a folder that is only a guess does not keep training from starting', async (t) => {
  const guessed = await doctor([], { root: resolve('.'), directory: '/proc' });
  t.regex(guessed.line('output folder'), /^note .*--output-path|^note .*checkpoint/);
  t.is(guessed.end, 'Training can start.');
  const named = await doctor(['--output-path', '/proc'], { root: resolve('.') });
  t.regex(named.line('output folder'), /^missing /);
  t.is(named.code, 1);
});

test.serial('a temporary folder that is not there is missing, and TMPDIR is named', async (t) => {
  const report = await doctor(['-o', temporaryFolder(t)], { environment: { TMPDIR: '/nonexistent' } });
  t.regex(report.line('temporary folder'), /^missing .*Set TMPDIR/);
  t.regex(report.line('redis-server'), /^missing .*Set TMPDIR/);
});

test.serial('numerics of this host have digests, the same each time', async (t) => {
  const first = (await doctor()).line('numerics');
  t.regex(first, /^ok +numerics +cpu [0-9a-f]{16}; images Pillow \d+\.\d+\.\d+, [0-9a-f]{16}\./);
  t.is((await doctor()).line('numerics'), first);
});

test.serial('a data set is counted, and has its fingerprint', async (t) => {
  const images = await tinyImages(temporaryFolder(t));
  const report = await doctor(['--data-path', images]);
  t.regex(
    report.line('data set'),
    /^ok .* 60 training and 20 validation images of 10 classes in .*; fingerprint [0-9a-f]{16}; index made or read in 0\.\d s\.$/,
  );
  t.is(report.code, 0);
});

test.serial('classes that train and val do not share are all named, and no run could start', async (t) => {
  const images = await tinyImages(temporaryFolder(t));
  const [first, second] = readdirSync(join(images, 'val'));
  renameSync(join(images, 'val', first!), join(images, 'val/other'));
  rmSync(join(images, 'val', second!), { recursive: true });
  const { line, end, code } = await doctor(['--data-path', images]);
  const wanted = `${first}, ${second} are missing; other is not among the training classes.`;
  t.true(line('data set').includes(wanted), line('data set'));
  t.regex(line('data set'), /^error /);
  t.is(end, 'Not ready: correct the items marked "error".');
  t.is(code, 1);
  const nowhere = await doctor(['--data-path', join(images, 'nowhere')]);
  t.regex(nowhere.line('data set'), /^missing .*nowhere.*Set --data-path/);
});

test.serial('the room for checkpoints is that of the model', async (t) => {
  const folder = temporaryFolder(t);
  const of = async (...model: string[]) => (await doctor(['-o', folder, ...model])).line('output folder');
  t.regex(await of(), /checkpoints of a run of CORnet-S take up to \d\.\d GB/);
  t.regex(await of('--model', 'Z'), /checkpoints of a run of CORnet-Z take up to 0\.\d GB/);
});

test.serial('as JSON the doctor says the same, in one object', async (t) => {
  const images = await tinyImages(temporaryFolder(t));
  const argv = [scripts.coordinator, 'doctor', '--json', '--data-path', images, '--redis', 'nonsense'];
  const { status, stdout } = spawnSync(process.execPath, argv, { encoding: 'utf8' });
  t.is(status, 1);
  const told = JSON.parse(stdout) as {
    ready: boolean;
    checks: { name: string; state: string; note: string; hint: string | null }[];
    data: Record<string, unknown>;
    numerics: Record<string, string>;
  };
  t.deepEqual(Object.keys(told), ['version', 'package', 'ready', 'checks', 'data', 'numerics']);
  t.false(told.ready);
  for (const check of told.checks) t.deepEqual(Object.keys(check), ['name', 'state', 'note', 'hint']);
  const redis = told.checks.find(({ name }) => name === 'Redis');
  t.is(redis?.state, 'error');
  t.truthy(redis?.hint);
  const { fingerprint, seconds, ...data } = told.data;
  t.deepEqual(data, { path: images, trainImages: 60, valImages: 20, classes: 10, cachedIn: null });
  t.regex(String(fingerprint), /^[0-9a-f]{64}$/);
  t.is(typeof seconds, 'number');
  t.regex(told.numerics.cpu!, /^[0-9a-f]{16}$/);
});
