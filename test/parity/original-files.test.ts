import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import test from 'ava';
import { Checkpoints } from '../../coordinator/checkpoints/checkpoints.ts';
import { exportCheckpoint } from '../../coordinator/export/pth.ts';
import { readOriginal } from '../../coordinator/weights/original-checkpoint.ts';
import { readWeights } from '../../coordinator/weights/read-weights.ts';
import { CornetError } from '../../shared/errors.ts';
import { stateLayout } from '../../shared/formats/state-layout.ts';
import { buildModel } from '../../shared/models/family.ts';
import type { Model, ModelName } from '../../shared/models/model.ts';
import { possible } from '../helpers/possible.ts';
import { pythonWith, torchModules } from '../helpers/python.ts';
import { patternedState, resultOf } from '../helpers/state.ts';
import { temporaryFolder } from '../helpers/temporary.ts';

const script = 'test/parity/original_files.py';
const python = pythonWith(torchModules.modules);
const parity = possible(python !== null, torchModules.missing) ? test.serial : test.skip;
const run = (...argv: string[]) =>
  execFileSync(python!, [script, ...argv], { stdio: ['ignore', 'ignore', 'inherit'] });

async function checkpointOf(folder: string, model: Model): Promise<{ path: string; body: Buffer }> {
  const checkpoints = await Checkpoints.open(folder, stateLayout(model).slots, 3);
  const body = patternedState(model);
  const identity = { result: resultOf(model), numerics: null };
  const step = { step: 19, epoch: 1, body, identity, keepForEver: false, validation: null };
  const { file } = await checkpoints.write(step);
  return { path: join(folder, file), body: Buffer.from(body.buffer) };
}

for (const name of ['Z', 'R', 'RT', 'S'] as ModelName[]) {
  parity(`PyTorch loads a checkpoint of CORnet-${name}, exported and as it is`, async (t) => {
    const folder = temporaryFolder(t);
    const { path } = await checkpointOf(folder, buildModel(name, 5));
    const exported = join(folder, 'exported.pth.tar');
    await exportCheckpoint(path, exported);
    t.notThrows(() => run('read', exported, path));
  });
}

parity('whatever form torch.save has had, the same state comes back', async (t) => {
  const model = buildModel('RT', 5);
  const folder = temporaryFolder(t);
  const { path, body } = await checkpointOf(folder, model);
  run('write', path, folder, model.entries.map(({ name }) => name).join(','));

  for (const file of ['zip', 'legacy', 'protocol5', 'addresses']) {
    const original = await readOriginal(join(folder, `${file}.pth.tar`), model);
    t.is(original.epoch, 3);
    t.true(body.equals(original.body), file);
  }

  const weights = Buffer.from(await readWeights(path, model));
  for (const file of ['float64', 'channels_last', 'shared', 'company_True', 'company_False', 'tagged']) {
    t.true(weights.equals(await readWeights(join(folder, `${file}.pth`), model)), file);
  }
  const exact = new Float32Array(weights.buffer, weights.byteOffset, weights.length / 4);
  for (const [file, bits] of [
    ['float16', 11],
    ['bfloat16', 8],
  ] as const) {
    const rounded = new Float32Array((await readWeights(join(folder, `${file}.pth`), model)).buffer);
    const error = exact.map((value, i) => (value === 0 ? rounded[i]! : Math.abs(rounded[i]! / value - 1)));
    const worst = error.reduce((a, b) => Math.max(a, b), 0);
    t.true(worst > 0 && worst <= 2 ** -bits, `${file}: relative error ${worst}`);
  }

  const error = await t.throwsAsync(readWeights(join(folder, 'module.pth'), model), {
    instanceOf: CornetError,
  });
  t.is(error?.code, 'WEIGHTS_FORBIDDEN');
});
