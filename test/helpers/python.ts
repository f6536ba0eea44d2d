import { spawnSync } from 'node:child_process';

/** What the tests against the original need; Python is no dependency of the project. */
const modules = 'import torch, safetensors.torch';

/** A Python with torch and safetensors: CORNET_PYTHON, or python3 where it has them; null where there is none. */
export const python: string | null =
  [process.env.CORNET_PYTHON, 'python3'].find(
    (command) => command !== undefined && spawnSync(command, ['-c', modules]).status === 0,
  ) ?? null;
