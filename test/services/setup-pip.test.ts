/** The user's settings of pip and of Python during set-up, and the Python of the tests. */
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { nvidiaSmi } from '../helpers/gpus.ts';
import { possible } from '../helpers/possible.ts';
import { cpu, fetched, havePip, offline, shell, withoutPip } from '../helpers/set-up-shell.ts';
import { temporaryFolder } from '../helpers/temporary.ts';

const withPip = possible(havePip, 'python3 has no pip') ? test : test.skip;

// --- The user's settings of pip ------------------------------------------------------------------------------------------

/** Each makes pip refuse, fetch something else, put it elsewhere or keep silent; in the environment as in pip.conf. */
const foreign: Record<string, string> = {
  'require-virtualenv': 'true',
  user: 'true',
  target: '/nowhere',
  prefix: '/nowhere',
  root: '/nowhere',
  'no-binary': ':all:',
  'only-binary': ':none:',
  'require-hashes': 'true',
  'dry-run': 'true',
  platform: 'win_amd64',
  'python-version': '2.7',
  implementation: 'pp',
  abi: 'cp27',
  constraint: '/nowhere/constraints.txt',
  python: '/nowhere/python',
  quiet: '3',
  src: '/nowhere',
};
/** Those that break pip before it reads any other. */
const breaking = new Set(['python']);

const variables = (settings: Record<string, string>) =>
  Object.fromEntries(
    Object.entries(settings).map(([name, value]) => [
      `PIP_${name.toUpperCase().replaceAll('-', '_')}`,
      value,
    ]),
  );
const wheelOf = { 'torch-2.13.0+cpu-py3-none-any': cpu };

withPip("the environment's settings of pip and of Python do not change which wheel is fetched", (t) => {
  const broken = temporaryFolder(t);
  mkdirSync(join(broken, 'pip'));
  writeFileSync(join(broken, 'pip/__init__.py'), 'raise ImportError("a pip of PYTHONPATH")');
  const python = { PYTHONPATH: broken, PYTHONHOME: broken, PYTHONWARNINGS: 'error' };
  const env = { ...offline(t, wheelOf), ...variables(foreign), ...python };
  const { status, all, read } = fetched(t, env, 'cpu');
  t.is(status, 0, all);
  t.is(read('torch/lib/libtorch_cpu.so'), 'torch-2.13.0+cpu-py3-none-any');
  t.is(shell(env, 'has_pip && echo yes').stdout, 'yes');
});

withPip('nor do those of pip.conf, of which where packages come from still holds', (t) => {
  const { PIP_NO_INDEX, PIP_FIND_LINKS, ...env } = offline(t, wheelOf);
  const file = join(temporaryFolder(t), 'pip.conf');
  const all = Object.entries(foreign).filter(([name]) => !breaking.has(name));
  const lines = all.map(([name, value]) => `${name} = ${value}`);
  const sources = [`no-index = ${PIP_NO_INDEX}`, `find-links = ${PIP_FIND_LINKS}`];
  const withFile = { ...env, PIP_CONFIG_FILE: file };
  for (const section of ['download', 'global']) {
    const rest = section === 'global' ? sources : [`[${section}]`, ...sources];
    writeFileSync(file, ['[global]', ...lines, ...rest].join('\n'));
    const { status, all, read } = fetched(t, withFile, 'cpu');
    t.is(status, 0, all);
    t.is(read('torch/lib/libtorch_cpu.so'), 'torch-2.13.0+cpu-py3-none-any');
  }
});

withPip('what is installed lands where set-up wants it, whatever target pip is set to', (t) => {
  const folder = join(temporaryFolder(t), 'here');
  const env = { ...offline(t, wheelOf), ...variables(foreign) };
  const { status, all } = shell(env, `clean_pip install --target '${folder}' --no-deps torch`);
  t.is(status, 0, all);
  t.true(existsSync(join(folder, 'torch/lib/libtorch_cpu.so')));
});

test('where packages come from and how they are reached is handed on to pip, and nothing else', (t) => {
  const kept = {
    'index-url': 'https://a.example/simple',
    'extra-index-url': 'https://b.example/simple',
    'trusted-host': 'a.example',
    cert: '/cert.pem',
    'client-cert': '/client.pem',
    proxy: 'http://p:1',
    timeout: '7',
    'cache-dir': '/cache',
    'use-feature': 'truststore',
  };
  const env = { ...withoutPip(), ...variables({ ...kept, ...foreign }), PIP_CONFIG_FILE: '/dev/null' };
  const folder = temporaryFolder(t);
  mkdirSync(join(folder, 'pip'));
  const [module, main] = [join(folder, 'pip/__init__.py'), join(folder, 'pip/__main__.py')];
  writeFileSync(module, '');
  writeFileSync(
    main,
    'import json, os; print(json.dumps({n: v for n, v in os.environ.items() if n.startswith(("PIP_", "PYTHON"))}))',
  );
  // -m finds what lies in the current folder first
  const script = `cd '${folder}' && python3 -E '${resolve('deploy/setup/clean_pip.py')}' download x`;
  const { status, stdout, stderr } = spawnSync('bash', ['-c', script], {
    env: { ...env, PYTHONUNBUFFERED: '1', PYTHONPATH: '/nowhere' },
    encoding: 'utf8',
  });
  t.is(status, 0, stderr);
  t.deepEqual(JSON.parse(stdout), {
    ...variables({ ...kept, 'disable-pip-version-check': '1', 'no-input': '1' }),
    PIP_CONFIG_FILE: '/dev/null',
    PYTHONUNBUFFERED: '1',
  });
});

/** Set-up's choice of libtorch where no wheel can be had, and whatever is asked of Debian is there. */
function withoutWheel(t: ExecutionContext, choice: string, cache: string) {
  mkdirSync(join(cache, 'torch-addon'), { recursive: true });
  return shell(
    { ...nvidiaSmi(t, 'exit 9'), choice, cache },
    `me=deploy/setup.sh log=/dev/null failed= driver=
unset LIBTORCH
from_python() { return 1; }
from_cpu_wheel() { why='the pip wheel cannot be had'; return 1; }
from_debian() { libtorch=/usr; }
addon_for_libtorch() { echo "the addon for $libtorch"; }
choose_cuda_build
choose_sources
torch_backend`,
  );
}

test("without the wheel set-up stops and names the choice, and takes Debian's libtorch only when told", (t) => {
  const cache = temporaryFolder(t);
  const unasked = withoutWheel(t, 'auto', cache);
  t.is(unasked.status, 1);
  t.regex(unasked.stdout, /^libtorch: the pip wheel cannot be had\.$/m);
  t.regex(
    unasked.stdout,
    /not the same bits, and is not taken unasked\. .*: deploy\/setup\.sh --libtorch debian$/,
  );
  t.notRegex(unasked.stdout, /the addon for/);

  const asked = withoutWheel(t, 'debian', cache);
  t.is(asked.status, 0, asked.all);
  t.is(asked.stdout, 'the addon for /usr');

  const afterwards = withoutWheel(t, 'auto', cache);
  t.is(afterwards.status, 0, afterwards.all);
  t.regex(afterwards.stdout, /as '--libtorch debian' chose before\.\nthe addon for \/usr$/);

  t.is(withoutWheel(t, 'wheel', cache).status, 1);
  t.is(withoutWheel(t, 'auto', cache).status, 0, 'a failure takes no choice back');
});

test('a libtorch of another version, wherever it is from, is said to give other bits', (t) => {
  const folder = temporaryFolder(t);
  mkdirSync(join(folder, 'lib'));
  mkdirSync(join(folder, 'torch-addon'));
  writeFileSync(join(folder, 'lib/libtorch_cpu.so'), '');
  const said = (version: string) =>
    shell(
      { ...process.env, libtorch: folder, cache: folder },
      `log=/dev/null failed=
since() { echo '1 s'; }
quietly() { echo ${version}-0123 >"$cache/torch-addon/current"; }
load_addon() { :; }
addon_for_libtorch`,
    ).stdout;
  t.regex(
    said('1.13.1'),
    /libtorch 1\.13\.1, done in 1 s\n {2}Its results are not the same bits as those of libtorch 2\.13\.0\.$/,
  );
  t.regex(said('2.13.0'), /libtorch 2\.13\.0, done in 1 s$/);
});

// --- The Python of the tests -----------------------------------------------------------------------------------------------

/** Makes it with a pip that leaves a folder of the package's name, or with `pip` failing, and says what was asked of it. */
function pythonForTests(cache: string, pip: 'works' | 'fails', env: NodeJS.ProcessEnv = {}) {
  return shell(
    { ...process.env, CORNET_PYTHON: '', ...env, cache },
    `log=$cache/log
>"$log"
since() { echo '1 s'; }
get_pip() { echo 'pip is looked for'; }
source deploy/setup/python.sh
clean_pip() {
  echo "pip: $*"
  ${pip === 'fails' ? 'return 1' : ''}
  mkdir -p "$packages"/{torch,safetensors,numpy,PIL,xarray,pandas,matplotlib}
  touch "$packages"/{torch,safetensors,numpy,PIL,xarray,pandas,matplotlib}/__init__.py "$packages"/PIL/Image.py "$packages"/safetensors/torch.py
}
begin_python_for_tests
end_python_for_tests
cat "$log"`,
  );
}

test("the Python of the tests is made once, with PyTorch of libtorch's version and the fixtures' Pillow", (t) => {
  const cache = temporaryFolder(t);
  const first = pythonForTests(cache, 'works');
  t.is(first.status, 0, first.all);
  const fixtures = JSON.parse(readFileSync('test/fixtures/images/formats/expected.json', 'utf8')) as {
    pillow: string;
  };
  t.regex(first.stdout, / torch===2\.13\.0\+cpu$/m);
  t.true(first.stdout.includes(` Pillow==${fixtures.pillow} `), first.stdout);
  execFileSync(join(cache, 'python/bin/python'), ['-c', 'import torch, PIL.Image, safetensors.torch']);

  const again = pythonForTests(cache, 'fails');
  t.deepEqual([again.status, again.stdout], [0, '']);

  // as after an upgrade of the distribution, whose newer Python looks elsewhere
  const [lib] = readdirSync(join(cache, 'python/lib'));
  renameSync(join(cache, 'python/lib', lib!), join(cache, 'python/lib/python2.7'));
  t.regex(pythonForTests(cache, 'works').stdout, /^pip: install/m);
});

test('where it cannot be had, each set-up says that tests will be skipped, and pip is asked once', (t) => {
  const cache = temporaryFolder(t);
  const first = pythonForTests(cache, 'fails');
  t.is(first.status, 0, first.all);
  t.regex(first.stdout, /^pip: install/m);
  t.regex(first.stdout, /tests that compare with them will be skipped\.$/m);
  const again = pythonForTests(cache, 'works');
  t.is(again.status, 0, again.all);
  t.regex(again.stdout, /^Tests that compare with PyTorch and Pillow will be skipped: .*\/python\.failed /);
  t.notRegex(again.stdout, /pip/);
});

test('a Python that CORNET_PYTHON names is taken as it is', (t) => {
  const { status, stdout } = pythonForTests(temporaryFolder(t), 'fails', { CORNET_PYTHON: '/a/python' });
  t.deepEqual([status, stdout], [0, '']);
});
