/** Which build of libtorch set-up fetches, and from which wheels. */
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { nvidiaSmi } from '../helpers/cards.ts';
import { possible } from '../helpers/possible.ts';
import { temporaryFolder } from '../helpers/temporary.ts';

/** Runs lines of shell with what deploy/setup.sh defines for deploy/torch.sh. */
function shell(env: NodeJS.ProcessEnv, lines: string) {
  const script = `set -euo pipefail
choice=\${choice:-auto} torch_version=2.13.0 pillow_version=12.3.0 torch_index=https://example.org/whl python=python3
fail() { echo "$*"; exit 1; }
source deploy/torch.sh
${lines}`;
  const { status, stdout, stderr } = spawnSync('bash', ['-c', script], { env, encoding: 'utf8' });
  return { status, stdout: stdout.trim(), all: stdout + stderr };
}

// --- The build ---------------------------------------------------------------------------------------------------------

interface Machine {
  driver: string;
  /** Null: the table is not printed. */
  heading: string | null;
  capabilities: string[];
  /** Printed before the cards, with a failure. */
  sentence?: string;
}

const headings: Record<string, string> = {
  470: 'Driver Version: 470.256.02   CUDA Version: 11.4    ',
  535: 'Driver Version: 535.183.01   CUDA Version: 12.2    ',
  550: 'Driver Version: 550.54.15      CUDA Version: 12.4    ',
  570: 'Driver Version: 570.86.10      CUDA Version: 12.8    ',
  580: 'Driver Version: 580.65.06      CUDA Version: 13.0    ',
  610: 'KMD Version: 610.57.04     CUDA UMD Version: 13.3    ',
};

/** Below the cards, the table lists their parts. */
const parts = `${headings[580]} |\n| MIG devices:   |\n|  0    1   0   0  |   44MiB / 40192MiB    | 60      0`;

const machine = (branch: number, ...capabilities: string[]): Machine => ({
  driver: /Version: (\S+)/.exec(headings[branch]!)![1]!,
  heading: headings[branch]!,
  capabilities,
});

/** nvidia-smi on that machine; a driver before 510 does not know the field compute_cap. */
function standIn(t: ExecutionContext, { driver, heading, capabilities, sentence }: Machine) {
  const cards = capabilities.map((capability) => `echo '${driver}, ${capability}'`).join('; ') || ':';
  const unknown = 'Field "compute_cap" is not a valid field to query.';
  const end = sentence === undefined ? 'exit 0' : `echo '${sentence}'; exit 15`;
  const table = heading === null ? ':' : `echo '| NVIDIA-SMI ${driver}    ${heading} |'`;
  return nvidiaSmi(
    t,
    `case "$*" in
*compute_cap*) ${driver < '510' ? `echo '${unknown}'; exit 2` : cards} ;;
--*) exit 2 ;;
*) ${table} ;;
esac
${end}`,
  );
}

const chosen = (env: NodeJS.ProcessEnv) =>
  shell(env, 'choose_cuda_build; echo "$cuda_build|$no_cuda_build|$cuda_note"').stdout.split('|') as [
    string,
    string,
    string,
  ];

test('the build is that for CUDA 13 where the driver and every card can use it, else that for CUDA 12.6', (t) => {
  const builds: [string, Machine, string][] = [
    ['Ampere, driver 535', machine(535, '8.0'), 'cu126'],
    ['Ampere and Ada, driver 550', machine(550, '8.6', '8.9'), 'cu126'],
    ['Pascal, driver 535', machine(535, '6.1'), 'cu126'],
    ['Pascal, driver 580', machine(580, '6.1'), 'cu126'],
    ['Volta, driver 580', machine(580, '7.0'), 'cu126'],
    ['Turing, driver 580', machine(580, '7.5'), 'cu130'],
    ['Ampere, driver 580', machine(580, '8.0', '8.6'), 'cu130'],
    ['Hopper, driver 580', machine(580, '9.0'), 'cu130'],
    ['parts of a card (MIG), driver 580', { ...machine(580, '9.0'), heading: parts }, 'cu130'],
    ['Blackwell, driver 580', machine(580, '10.0'), 'cu130'],
    ['Blackwell for desktops, driver 610', machine(610, '12.0'), 'cu130'],
    ['Pascal beside Ampere, driver 580', machine(580, '8.6', '6.1'), 'cu126'],
    ['a card that does not tell what it is', machine(580, '[N/A]'), 'cu130'],
    ['and an older driver', machine(550, '[N/A]'), 'cu126'],
  ];
  for (const [what, machine, build] of builds) {
    t.deepEqual(chosen(standIn(t, machine)), [build, 'nvidia-smi shows no card', ''], what);
  }
});

test("a real card's words, of an H200 with driver 580, lead to the build for CUDA 13", (t) => {
  const table = resolve('test/fixtures/nvidia-smi/h200-driver-580.txt');
  const env = nvidiaSmi(t, `case "$*" in *compute_cap*) echo '580.159.04, 9.0' ;; *) cat '${table}' ;; esac`);
  t.deepEqual(chosen(env), ['cu130', 'nvidia-smi shows no card', '']);
});

test('a driver that no build works with is named, with the one to install', (t) => {
  t.deepEqual(chosen(standIn(t, machine(470, '8.6'))), [
    '',
    'driver 470.256.02 is too old for CUDA 12: install 525 or newer',
    '',
  ]);
  const [build, reason] = chosen(standIn(t, machine(570, '12.0')));
  t.is(build, '');
  t.regex(
    reason,
    /^driver 570\.86\.10 is too old for CUDA 13, which .*\(Blackwell\) need: install 580 or newer$/,
  );
});

test('cards that the build of the others leaves unused are named', (t) => {
  const [older, , olderNote] = chosen(standIn(t, machine(570, '8.0', '12.0')));
  t.is(older, 'cu126');
  t.regex(olderNote, /\(Blackwell\) stay unused: they need driver 580 or newer, and this is 570\.86\.10/);
  const [newer, , newerNote] = chosen(standIn(t, machine(580, '6.1', '12.0')));
  t.is(newer, 'cu130');
  t.regex(newerNote, /below 7\.5 stay unused/);
});

test('a card that has fallen off the bus does not hide the others, or the driver', (t) => {
  const sentence = 'Unable to determine the device handle for GPU0000:01:00.0: Unknown Error';
  const others = (branch: number, ...capabilities: string[]) =>
    chosen(standIn(t, { ...machine(branch, ...capabilities), heading: null, sentence }))[0];
  t.is(others(580, '8.0'), 'cu130');
  t.is(others(580, '7.0'), 'cu126');
  t.is(others(535, '8.0'), 'cu126');
  t.is(others(580), '', 'none is left');
});

test('libraries of a newer CUDA over an older driver count, as in some containers', (t) => {
  const container = {
    ...machine(535, '9.0'),
    heading: 'Driver Version: 535.183.01   CUDA Version: 13.0    ',
  };
  t.is(chosen(standIn(t, container))[0], 'cu130');
  const silent = { ...machine(535, '9.0'), heading: 'Driver Version: 535.183.01   CUDA Version: N/A     ' };
  t.is(chosen(standIn(t, silent))[0], 'cu126');
});

test('without nvidia-smi, or a card, or an answer, there is no build and no complaint', (t) => {
  const words = "NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver.";
  for (const script of ['echo "No devices were found"; exit 6', `echo "${words}"; exit 9`, 'exit 127']) {
    t.is(shell(nvidiaSmi(t, script), 'choose_cuda_build; echo "$cuda_build$driver"').stdout, '', script);
  }
});

test('a build that is asked for by name is taken without a card', (t) => {
  const none = nvidiaSmi(t, 'exit 9');
  t.is(chosen({ ...none, choice: 'cuda' })[0], 'cu130');
  t.is(chosen({ ...none, choice: 'cu126' })[0], 'cu126');
});

test('where the driver is too old, set-up says so and takes the CPU wheel', (t) => {
  const { stdout } = shell(
    standIn(t, machine(470, '8.6')),
    `choose_cuda_build; sources=(cuda_wheel cpu_wheel)
from_cpu_wheel() { libtorch=/nowhere; }
addon_for_libtorch() { echo "the addon for $libtorch"; }
torch_backend`,
  );
  t.deepEqual(stdout.split('\n'), [
    'libtorch: driver 470.256.02 is too old for CUDA 12: install 525 or newer.',
    'the addon for /nowhere',
    'This libtorch has no CUDA, and none would work: driver 470.256.02 is too old for CUDA 12: install 525 or newer.',
  ]);
});

// --- The wheels --------------------------------------------------------------------------------------------------------

/** What a wheel holds, with what it requires. */
interface Wheel {
  files: string[];
  requires?: string[];
}

const writeWheels = `
import json, sys, zipfile
for name, wheel in json.loads(sys.argv[2]).items():
    project, version = name.split("-")[:2]
    info = project + "-" + version + ".dist-info/"
    metadata = ["Metadata-Version: 2.1", "Name: " + project, "Version: " + version]
    metadata += ["Requires-Dist: " + requirement for requirement in wheel.get("requires", [])]
    with zipfile.ZipFile(sys.argv[1] + "/" + name + ".whl", "w") as archive:
        archive.writestr(info + "METADATA", "\\n".join(metadata) + "\\n")
        archive.writestr(info + "WHEEL", "Wheel-Version: 1.0\\n")
        archive.writestr(info + "RECORD", "")
        for file in wheel["files"]:
            archive.writestr(file, name)
`;

/** This environment without pip's settings. */
const withoutPip = (): NodeJS.ProcessEnv =>
  Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('PIP_')));

/** pip's settings where these wheels are all that there is. */
function offline(t: ExecutionContext, wheels: Record<string, Wheel>): NodeJS.ProcessEnv {
  const folder = temporaryFolder(t);
  execFileSync('python3', ['-c', writeWheels, folder, JSON.stringify(wheels)]);
  return {
    ...withoutPip(),
    ...{ PIP_CONFIG_FILE: '/dev/null', PIP_NO_INDEX: '1', PIP_FIND_LINKS: folder },
  };
}

function fetched(t: ExecutionContext, env: NodeJS.ProcessEnv, build: 'cu130' | 'cu126' | 'cpu') {
  const folder = join(temporaryFolder(t), 'part');
  mkdirSync(folder);
  const command = build === 'cpu' ? 'unpack_cpu_wheel' : `cuda_build=${build}; unpack_cuda_wheel`;
  const { status, all } = shell(env, `${command} '${folder}'`);
  const read = (path: string) =>
    existsSync(join(folder, path)) ? readFileSync(join(folder, path), 'utf8').trim() : null;
  return { status, all, read };
}

const havePip = spawnSync('python3', ['-m', 'pip', '--version']).status === 0;
const withPip = possible(havePip, 'python3 has no pip') ? test : test.skip;
const cpu: Wheel = {
  files: ['torch/lib/libtorch_cpu.so', 'torch/include/torch/script.h', 'torch/nn/__init__.py'],
};
const cuda: Wheel = { files: [...cpu.files, 'torch/lib/libtorch_cuda.so'] };
const linux = 'platform_system == "Linux"';

withPip('a wheel for the CPU is never taken for CUDA, wherever pip has it from', (t) => {
  const env = offline(t, { 'torch-2.13.0+cpu-py3-none-any': cpu });
  for (const build of ['cu130', 'cu126'] as const) {
    const { status, read } = fetched(t, env, build);
    t.is(status, 1);
    t.is(read('torch/lib/libtorch_cpu.so'), null);
  }
  const { status, read } = fetched(t, env, 'cpu');
  t.is(status, 0);
  t.is(read('torch/lib/libtorch_cpu.so'), 'torch-2.13.0+cpu-py3-none-any');
  t.is(read('torch/nn/__init__.py'), null);
});

withPip(
  'a wheel without CUDA under the name of PyPI gives way to the one with the name of the build',
  (t) => {
    const plain = { 'torch-2.13.0-py3-none-any': cpu };
    const alone = fetched(t, offline(t, plain), 'cu130');
    t.is(alone.status, 1);
    t.regex(alone.read('reason')!, /^the pip wheel of torch 2\.13\.0 for \S+ holds no CUDA$/);
    const both = fetched(t, offline(t, { ...plain, 'torch-2.13.0+cu130-py3-none-any': cuda }), 'cu130');
    t.is(both.status, 0);
    t.is(both.read('torch/lib/libtorch_cuda.so'), 'torch-2.13.0+cu130-py3-none-any');
  },
);

withPip("NVIDIA's wheels are fetched as the wheel of torch names them, and nothing else is needed", (t) => {
  const requires = [
    'sympy>=1.13.3',
    `nvidia-cublas-cu12==12.6.4.1; ${linux}`,
    `nvidia-nccl-cu12==2.27; ${linux} and platform_machine == "vax"`,
    `triton==3.6.0; ${linux}`,
    'nvidia-never; extra == "never"',
  ];
  const { status, read, all } = fetched(
    t,
    offline(t, {
      'torch-2.13.0+cu126-py3-none-any': { ...cuda, requires },
      'nvidia_cublas_cu12-12.6.4.1-py3-none-any': {
        files: ['nvidia/cublas/lib/libcublas.so.12', 'nvidia/cublas/include/cublas.h'],
      },
      'nvidia_cublas_cu12-12.9.0.0-py3-none-any': { files: ['nvidia/cublas/lib/libcublas.so.12'] },
    }),
    'cu126',
  );
  t.is(status, 0, all);
  t.is(read('nvidia/cublas/lib/libcublas.so.12'), 'nvidia_cublas_cu12-12.6.4.1-py3-none-any');
  t.is(read('nvidia/cublas/include/cublas.h'), null);
  t.is(read('wheels'), null);
});

withPip('those that are extras of cuda-toolkit are fetched as that names them', (t) => {
  const { status, read, all } = fetched(
    t,
    offline(t, {
      'torch-2.13.0-py3-none-any': {
        ...cuda,
        requires: [`cuda-toolkit[cublas,cudart]==13.0.3; ${linux}`, `cuda-bindings<14; ${linux}`],
      },
      'cuda_toolkit-13.0.3.0-py3-none-any': {
        files: [],
        requires: [
          ...["nvidia-cublas==13.1.*; (sys_platform == 'linux') and extra == 'cublas'"],
          ...["nvidia-cuda-runtime<14,>=13.0.9; extra == 'cudart'", "nvidia-npp==13.0; extra == 'npp'"],
        ],
      },
      'nvidia_cublas-13.1.1-py3-none-any': { files: ['nvidia/cu13/lib/libcublas.so.13'] },
      'nvidia_cuda_runtime-13.0.96-py3-none-any': { files: ['nvidia/cu13/lib/libcudart.so.13'] },
    }),
    'cu130',
  );
  t.is(status, 0, all);
  t.is(read('nvidia/cu13/lib/libcublas.so.13'), 'nvidia_cublas-13.1.1-py3-none-any');
  t.is(read('nvidia/cu13/lib/libcudart.so.13'), 'nvidia_cuda_runtime-13.0.96-py3-none-any');
});

withPip('the wheel of another Python will do', (t) => {
  const machine = execFileSync('uname', ['-m'], { encoding: 'utf8' }).trim();
  const name = `torch-2.13.0+cpu-cp312-cp312-manylinux_2_28_${machine}`;
  const { status, read, all } = fetched(t, offline(t, { [name]: cpu }), 'cpu');
  t.is(status, 0, all);
  t.is(read('torch/lib/libtorch_cpu.so'), name);
});

test('each build is asked for by its name, from the index that has it', (t) => {
  const folder = temporaryFolder(t);
  execFileSync('python3', ['-m', 'venv', '--without-pip', folder]);
  const bin = join(folder, 'bin');
  const asksForPackages = "import sysconfig; print(sysconfig.get_path('purelib'))";
  const packages = execFileSync(join(bin, 'python3'), ['-c', asksForPackages], { encoding: 'utf8' }).trim();
  mkdirSync(join(packages, 'pip'));
  const said = join(folder, 'said');
  const record = `import sys
if sys.argv[1] != "config":
    open(${JSON.stringify(said)}, "a").write(" ".join(sys.argv[1:]) + "\\n")
sys.exit(1)
`;
  writeFileSync(join(packages, 'pip/__init__.py'), '');
  writeFileSync(join(packages, 'pip/__main__.py'), record);
  const asked = (build: 'cu130' | 'cu126' | 'cpu') => {
    writeFileSync(said, '');
    t.is(fetched(t, { ...process.env, PATH: `${bin}:${process.env.PATH}` }, build).status, 1);
    const lines = readFileSync(said, 'utf8').trim().split('\n');
    t.true(lines.every((line) => line.includes(' --no-deps ')));
    return [...new Set(lines.map((line) => line.replace(/.*?((--extra-index-url \S+ )?torch\S+)$/, '$1')))];
  };
  const index = '--extra-index-url https://example.org/whl';
  t.deepEqual(asked('cu130'), ['torch===2.13.0', `${index}/cu130 torch===2.13.0+cu130`]);
  t.deepEqual(asked('cu126'), [`${index}/cu126 torch===2.13.0+cu126`]);
  t.deepEqual(asked('cpu'), [`${index}/cpu torch===2.13.0+cpu`]);
});

// --- The user's settings of pip ------------------------------------------------------------------------------------------

/** Each makes pip refuse, fetch something else, put it elsewhere or keep silent; in the environment as in pip.conf. */
const foreign: Record<string, string> = {
  ...{ 'require-virtualenv': 'true', user: 'true', target: '/nowhere', prefix: '/nowhere', root: '/nowhere' },
  ...{ 'no-binary': ':all:', 'only-binary': ':none:', 'require-hashes': 'true', 'dry-run': 'true' },
  ...{ platform: 'win_amd64', 'python-version': '2.7', implementation: 'pp', abi: 'cp27' },
  ...{ constraint: '/nowhere/constraints.txt', python: '/nowhere/python', quiet: '3', src: '/nowhere' },
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
    ...{ 'index-url': 'https://a.example/simple', 'extra-index-url': 'https://b.example/simple' },
    ...{ 'trusted-host': 'a.example', cert: '/cert.pem', 'client-cert': '/client.pem', proxy: 'http://p:1' },
    ...{ timeout: '7', 'cache-dir': '/cache', 'use-feature': 'truststore' },
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
  const script = `cd '${folder}' && python3 -E '${resolve('deploy/clean_pip.py')}' download x`;
  const { status, stdout, stderr } = spawnSync('bash', ['-c', script], {
    env: { ...env, PYTHONUNBUFFERED: '1', PYTHONPATH: '/nowhere' },
    encoding: 'utf8',
  });
  t.is(status, 0, stderr);
  t.deepEqual(JSON.parse(stdout), {
    ...variables({ ...kept, 'disable-pip-version-check': '1', 'no-input': '1' }),
    ...{ PIP_CONFIG_FILE: '/dev/null', PYTHONUNBUFFERED: '1' },
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
    `log=/dev/null
since() { echo '1 s'; }
quietly() { "$@"; }
get_pip() { echo 'pip is looked for'; }
source deploy/python.sh
clean_pip() {
  echo "pip: $*"
  ${pip === 'fails' ? 'return 1' : ''}
  mkdir -p "$packages"/{torch,safetensors,numpy,PIL}
  touch "$packages"/{torch,safetensors,numpy,PIL}/__init__.py "$packages"/PIL/Image.py "$packages"/safetensors/torch.py
}
python_for_tests`,
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
  t.regex(first.stdout, /tests that compare with them will be skipped\.$/);
  const again = pythonForTests(cache, 'works');
  t.is(again.status, 0, again.all);
  t.regex(again.stdout, /^Tests that compare with PyTorch and Pillow will be skipped: .*\/python\.failed /);
  t.notRegex(again.stdout, /pip/);
});

test('a Python that CORNET_PYTHON names is taken as it is', (t) => {
  const { status, stdout } = pythonForTests(temporaryFolder(t), 'fails', { CORNET_PYTHON: '/a/python' });
  t.deepEqual([status, stdout], [0, '']);
});
