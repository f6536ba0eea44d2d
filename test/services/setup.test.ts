/** Which build of libtorch set-up fetches, and from which wheels. */
import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { nvidiaSmi } from '../helpers/gpus.ts';
import { possible } from '../helpers/possible.ts';
import { cpu, fetched, havePip, offline, shell, type Wheel } from '../helpers/set-up-shell.ts';
import { temporaryFolder } from '../helpers/temporary.ts';
import { thorough } from '../helpers/thorough.ts';

// --- The build ---------------------------------------------------------------------------------------------------------

interface Machine {
  driver: string;
  /** Null: the table is not printed. */
  heading: string | null;
  capabilities: string[];
  /** Printed before the GPUs, with a failure. */
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

/** Below the GPUs, the table lists their parts. */
const parts = `${headings[580]} |\n| MIG devices:   |\n|  0    1   0   0  |   44MiB / 40192MiB    | 60      0`;

const machine = (branch: number, ...capabilities: string[]): Machine => ({
  driver: /Version: (\S+)/.exec(headings[branch]!)![1]!,
  heading: headings[branch]!,
  capabilities,
});

/** nvidia-smi on that machine; a driver before 510 does not know the field compute_cap. */
function standIn(t: ExecutionContext, { driver, heading, capabilities, sentence }: Machine) {
  const gpus = capabilities.map((capability) => `echo '${driver}, ${capability}'`).join('; ') || ':';
  const unknown = 'Field "compute_cap" is not a valid field to query.';
  const end = sentence === undefined ? 'exit 0' : `echo '${sentence}'; exit 15`;
  const table = heading === null ? ':' : `echo '| NVIDIA-SMI ${driver}    ${heading} |'`;
  return nvidiaSmi(
    t,
    `case "$*" in
*compute_cap*) ${driver < '510' ? `echo '${unknown}'; exit 2` : gpus} ;;
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

test('the build is that for CUDA 13 where the driver and every GPU can use it, else that for CUDA 12.6', (t) => {
  const builds: [string, Machine, string][] = [
    ['Ampere, driver 535', machine(535, '8.0'), 'cu126'],
    ['Ampere and Ada, driver 550', machine(550, '8.6', '8.9'), 'cu126'],
    ['Pascal, driver 535', machine(535, '6.1'), 'cu126'],
    ['Pascal, driver 580', machine(580, '6.1'), 'cu126'],
    ['Volta, driver 580', machine(580, '7.0'), 'cu126'],
    ['Turing, driver 580', machine(580, '7.5'), 'cu130'],
    ['Ampere, driver 580', machine(580, '8.0', '8.6'), 'cu130'],
    ['Hopper, driver 580', machine(580, '9.0'), 'cu130'],
    ['parts of a GPU (MIG), driver 580', { ...machine(580, '9.0'), heading: parts }, 'cu130'],
    ['Blackwell, driver 580', machine(580, '10.0'), 'cu130'],
    ['Blackwell for desktops, driver 610', machine(610, '12.0'), 'cu130'],
    ['Pascal beside Ampere, driver 580', machine(580, '8.6', '6.1'), 'cu126'],
    ['a GPU that does not tell what it is', machine(580, '[N/A]'), 'cu130'],
    ['and an older driver', machine(550, '[N/A]'), 'cu126'],
  ];
  for (const [what, machine, build] of builds) {
    t.deepEqual(chosen(standIn(t, machine)), [build, 'nvidia-smi shows no GPU', ''], what);
  }
});

test("a real GPU's words, of an H200 with driver 580, lead to the build for CUDA 13", (t) => {
  const table = resolve('test/fixtures/nvidia-smi/h200-driver-580.txt');
  const env = nvidiaSmi(t, `case "$*" in *compute_cap*) echo '580.159.04, 9.0' ;; *) cat '${table}' ;; esac`);
  t.deepEqual(chosen(env), ['cu130', 'nvidia-smi shows no GPU', '']);
});

thorough('a driver that no build works with is named, with the one to install', (t) => {
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

thorough('GPUs that the build of the others leaves unused are named', (t) => {
  const [older, , olderNote] = chosen(standIn(t, machine(570, '8.0', '12.0')));
  t.is(older, 'cu126');
  t.regex(olderNote, /\(Blackwell\) stay unused: they need driver 580 or newer, and this is 570\.86\.10/);
  const [newer, , newerNote] = chosen(standIn(t, machine(580, '6.1', '12.0')));
  t.is(newer, 'cu130');
  t.regex(newerNote, /below 7\.5 stay unused/);
});

thorough('a GPU that has fallen off the bus does not hide the others, or the driver', (t) => {
  const sentence = 'Unable to determine the device handle for GPU0000:01:00.0: Unknown Error';
  const others = (branch: number, ...capabilities: string[]) =>
    chosen(standIn(t, { ...machine(branch, ...capabilities), heading: null, sentence }))[0];
  t.is(others(580, '8.0'), 'cu130');
  t.is(others(580, '7.0'), 'cu126');
  t.is(others(535, '8.0'), 'cu126');
  t.is(others(580), '', 'none is left');
});

thorough('libraries of a newer CUDA over an older driver count, as in some containers', (t) => {
  const container = {
    ...machine(535, '9.0'),
    heading: 'Driver Version: 535.183.01   CUDA Version: 13.0    ',
  };
  t.is(chosen(standIn(t, container))[0], 'cu130');
  const silent = { ...machine(535, '9.0'), heading: 'Driver Version: 535.183.01   CUDA Version: N/A     ' };
  t.is(chosen(standIn(t, silent))[0], 'cu126');
});

test('without nvidia-smi, or a GPU, or an answer, there is no build and no complaint', (t) => {
  const words = "NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver.";
  for (const script of ['echo "No devices were found"; exit 6', `echo "${words}"; exit 9`, 'exit 127']) {
    t.is(shell(nvidiaSmi(t, script), 'choose_cuda_build; echo "$cuda_build$driver"').stdout, '', script);
  }
});

thorough('a build that is asked for by name is taken without a GPU', (t) => {
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

const withPip = possible(havePip, 'python3 has no pip') ? test : test.skip;
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
