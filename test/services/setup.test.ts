import { execFileSync } from 'node:child_process';
import test from 'ava';
import { nvidiaSmi } from '../helpers/cards.ts';

const build = (env: NodeJS.ProcessEnv) =>
  execFileSync('bash', ['-c', 'choice=auto; source deploy/torch.sh; cuda_build'], {
    env,
    encoding: 'utf8',
  }).trim();

const heading = (words: string) => `echo '| NVIDIA-SMI 610.57.04    ${words} |'`;

test('set-up reads the CUDA version of a driver in the old and in the new heading of nvidia-smi', (t) => {
  const builds = {
    'Driver Version: 550.54.15   CUDA Version: 12.4    ': 'cu126',
    'Driver Version: 580.65.06   CUDA Version: 13.0    ': 'cuda',
    'KMD Version: 610.57.04  CUDA UMD Version: 13.3    ': 'cuda',
    'no version at all': 'cu126',
  };
  for (const [words, expected] of Object.entries(builds)) {
    t.is(build(nvidiaSmi(t, heading(words))), expected, words);
  }
});
