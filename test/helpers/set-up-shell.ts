import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { ExecutionContext } from 'ava';
import { temporaryFolder } from './temporary.ts';

/** Runs lines of shell with what deploy/setup.sh defines for deploy/setup/torch.sh. */
export function shell(env: NodeJS.ProcessEnv, lines: string) {
  const script = `set -euo pipefail
choice=\${choice:-auto} torch_version=2.13.0 pillow_version=12.3.0 torch_index=https://example.org/whl python=python3
fail() { echo "$*"; exit 1; }
source deploy/setup/torch.sh
${lines}`;
  const { status, stdout, stderr } = spawnSync('bash', ['-c', script], { env, encoding: 'utf8' });
  return { status, stdout: stdout.trim(), all: stdout + stderr };
}

/** What a wheel holds, with what it requires. */
export interface Wheel {
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
export const withoutPip = (): NodeJS.ProcessEnv =>
  Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('PIP_')));

/** pip's settings where these wheels are all that there is. */
export function offline(t: ExecutionContext, wheels: Record<string, Wheel>): NodeJS.ProcessEnv {
  const folder = temporaryFolder(t);
  execFileSync('python3', ['-c', writeWheels, folder, JSON.stringify(wheels)]);
  return {
    ...withoutPip(),
    PIP_CONFIG_FILE: '/dev/null',
    PIP_NO_INDEX: '1',
    PIP_FIND_LINKS: folder,
  };
}

export function fetched(t: ExecutionContext, env: NodeJS.ProcessEnv, build: 'cu130' | 'cu126' | 'cpu') {
  const folder = join(temporaryFolder(t), 'part');
  mkdirSync(folder);
  const command = build === 'cpu' ? 'unpack_cpu_wheel' : `cuda_build=${build}; unpack_cuda_wheel`;
  const { status, all } = shell(env, `${command} '${folder}'`);
  const read = (path: string) =>
    existsSync(join(folder, path)) ? readFileSync(join(folder, path), 'utf8').trim() : null;
  return { status, all, read };
}

export const havePip = spawnSync('python3', ['-m', 'pip', '--version']).status === 0;
export const cpu: Wheel = {
  files: ['torch/lib/libtorch_cpu.so', 'torch/include/torch/script.h', 'torch/nn/__init__.py'],
};
