import { spawnSync } from 'node:child_process';
import { resolve } from 'node:path';

/** Where deploy/setup.sh --tests makes one; Python is no dependency of the project. */
const made = resolve('.cache/python/bin/python');

/** A Python with these modules: CORNET_PYTHON, the one that set-up made for the tests, or python3; null: none has them. */
export function pythonWith(modules: string): string | null {
  const commands = [process.env.CORNET_PYTHON, made, 'python3'];
  return (
    commands.find(
      (command) => command !== undefined && spawnSync(command, ['-c', `import ${modules}`]).status === 0,
    ) ?? null
  );
}

/** The modules of a test, with the reason where it is skipped. */
export const torchModules = {
  modules: 'torch, safetensors.torch, numpy',
  missing:
    'no Python with torch, safetensors and numpy (deploy/setup.sh --tests makes one, CORNET_PYTHON names another)',
};
export const pillowModules = {
  modules: 'PIL.Image, numpy',
  missing: 'no Python with Pillow and numpy (deploy/setup.sh --tests makes one, CORNET_PYTHON names another)',
};
export const analysisModules = {
  modules: 'torch, numpy, xarray, pandas, matplotlib, PIL.Image',
  missing:
    'no Python with torch, xarray, pandas and matplotlib (deploy/setup.sh --tests makes one, CORNET_PYTHON names another)',
};
export const tensorboardModules = {
  modules: 'tensorboard.backend.event_processing.event_accumulator',
  missing: 'no Python with TensorBoard (deploy/setup.sh --tests makes one, CORNET_PYTHON names another)',
};
