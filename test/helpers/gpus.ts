/** A stand-in for nvidia-smi, on a machine that has no GPUs. */
import { chmodSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { ExecutionContext } from 'ava';
import { temporaryFolder } from './temporary.ts';

/** An environment whose `nvidia-smi` is this shell script. */
export function nvidiaSmi(t: Pick<ExecutionContext, 'teardown'>, script: string): NodeJS.ProcessEnv {
  const folder = temporaryFolder(t);
  const path = join(folder, 'nvidia-smi');
  writeFileSync(path, `#!/bin/sh\n${script}\n`);
  chmodSync(path, 0o755);
  return { PATH: `${folder}:${process.env.PATH}` };
}

/** An environment whose `nvidia-smi` lists these GPUs, in the lines that the real one writes. */
export function listing(t: Pick<ExecutionContext, 'teardown'>, gpus: readonly string[]): NodeJS.ProcessEnv {
  return nvidiaSmi(t, `cat <<'CARDS'\n${gpus.join('\n')}\nCARDS`);
}

/** A GPU that nvidia-smi lists, and no library sees. */
export const imaginaryGpu =
  '0, GPU-11111111-aaaa-bbbb-cccc-000000000000, 24564, 23999, 580.159.04, NVIDIA Imaginary';
