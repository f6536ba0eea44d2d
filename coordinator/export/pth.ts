/** A checkpoint of ours as the original's run.py would have saved it. */
import { z } from 'zod';
import { learningRate } from '../../shared/data/learning-rate.ts';
import { scheduleOf } from '../../shared/data/schedule.ts';
import { adamwEpsilon } from '../../shared/defaults.ts';
import { CornetError } from '../../shared/errors.ts';
import {
  bufferName,
  optimizerBuffers,
  type StateSlot,
  stateLayout,
} from '../../shared/formats/state-layout.ts';
import { modelOf } from '../../shared/models/family.ts';
import { resultOptions } from '../../shared/run-config.ts';
import { quoteName } from '../../shared/util/printable.ts';
import { type Checkpoint, readCheckpoint } from '../checkpoints/checkpoint-file.ts';
import { recordBeside } from '../checkpoints/checkpoint-records.ts';
import { checkpointOfRun } from '../checkpoints/run-checkpoint.ts';
import { exists } from '../disk/durable-file.ts';
import { refuseOtherKinds } from '../weights/checkpoint-kind.ts';
import {
  OrderedDict,
  PythonFloat,
  type PythonValue,
  type TensorReference,
} from '../weights/pickle-writer.ts';
import { besideFlags, dict, flags, TorchArchive } from '../weights/torch-archive.ts';
import { refuseExisting, writeFileAt } from './target.ts';

/**
 * Writes `{flags, epoch, state_dict, optimizer}` so that torch.load (PyTorch 1.6 or later) and the original read it:
 * names with `module.`, the state of torch.optim.SGD. Equal checkpoints give equal files.
 * @param source a file, or a checkpoint of a run (`checkpointOfRun`)
 * @param force whether a target that exists is replaced
 * @returns the checkpoint's path
 * @throws CornetError OUTPUT_EXISTS, WEIGHTS_MISSING, WEIGHTS_INVALID, CHECKPOINT_DAMAGED; DISK_FULL,
 *   FOLDER_NOT_WRITABLE: nothing is left behind
 */
export async function exportCheckpoint(source: string, target: string, force = false): Promise<string> {
  if (!force) await refuseExisting(target);
  const path = (await checkpointOfRun(source))?.path ?? source;
  if (!(await exists(path))) {
    throw new CornetError('WEIGHTS_MISSING', `${quoteName(path)} does not exist.`, {
      hint: 'Check the path: export takes a checkpoint, the folder of a run, RUN:best or RUN@0.5.',
    });
  }
  await refuseOtherKinds(
    path,
    () =>
      new CornetError(
        'WEIGHTS_INVALID',
        `${quoteName(path)} is a file of PyTorch already: nothing is left to export.`,
        {
          hint: 'Read it with torch.load, or export a checkpoint of cornet-ts: the folder of a run, RUN:best, or one of its .safetensors files.',
        },
      ),
  );
  const checkpoint = await readCheckpoint(
    path,
    (identity) => stateLayout(modelOf(resultOf(identity, path))).slots,
    await recordBeside(path),
  );
  await writeFileAt(target, originalPieces(checkpoint));
  return path;
}

function originalPieces({ path, step, epoch, identity, body }: Checkpoint): Uint8Array[] {
  const result = resultOf(identity, path);
  const model = modelOf(result);
  const slots = new Map(stateLayout(model).slots.map((slot) => [slot.name, slot]));
  const archive = new TorchArchive();
  const tensor = (name: string): TensorReference => {
    const { dtype, shape, offset, bytes } = slots.get(name) as StateSlot;
    return archive.tensor(body.subarray(offset, offset + bytes), dtype, shape);
  };
  const stateDict = model.entries.map(({ name }) => [`module.${name}`, tensor(name)] as const);
  const parameters = model.entries.filter(({ kind }) => kind === 'parameter');
  // One group of all parameters, as run.py makes it: what is frozen has no state in it.
  const kept = [...parameters.entries()].flatMap(([i, { name, frozen = false }]) => {
    if (frozen) return [];
    const buffers = optimizerBuffers[result.optimizer].map(
      (buffer) => [buffer, tensor(bufferName(buffer, name))] as const,
    );
    const updates = new Uint8Array(Float32Array.of(step).buffer);
    const counted =
      result.optimizer === 'adamw' ? [['step', archive.tensor(updates, 'F32', [])] as const] : [];
    return [[i, dict(Object.fromEntries([...counted, ...buffers]))] as const];
  });
  const saved = dict({
    flags: flagsOf(result),
    epoch,
    ...besideFlags(result.classNames, result.normalize),
    state_dict: new OrderedDict(stateDict),
    optimizer: dict({
      state: new Map(kept),
      param_groups: [parameterGroup(result, step, parameters.length)],
    }),
  });
  return archive.pieces(saved);
}

function flagsOf(result: Exported): PythonValue {
  return flags({
    model: result.model,
    times: result.times,
    ngpus: result.lanes,
    batch_size: result.batchSize,
    lr: new PythonFloat(result.learningRate),
    step_size: result.stepSize,
    momentum: new PythonFloat(result.momentum),
    weight_decay: new PythonFloat(result.weightDecay),
    imsize: result.imageSize,
  });
}

/** As torch.optim and the learning rate schedule leave it after the last step that was done. */
function parameterGroup(result: Exported, step: number, parameters: number): PythonValue {
  const { learningRate: initial, momentum, weightDecay, nesterov, optimizer, betas } = result;
  const { stepsPerEpoch } = scheduleOf(result);
  const own: Record<string, PythonValue> =
    optimizer === 'adamw'
      ? {
          betas: betas.map((beta) => new PythonFloat(beta)),
          eps: new PythonFloat(adamwEpsilon),
          amsgrad: false,
        }
      : { momentum: new PythonFloat(momentum), dampening: 0, nesterov };
  return dict({
    lr: new PythonFloat(learningRate(Math.max(0, step - 1), stepsPerEpoch, result)),
    ...own,
    weight_decay: new PythonFloat(weightDecay),
    initial_lr: new PythonFloat(initial),
    params: Array.from({ length: parameters }, (_, i) => i),
  });
}

/** What goes into the file: checkpoints of every release say it alike. */
const identitySchema = z.object({
  result: z.object(
    resultOptions.pick({
      model: true,
      custom: true,
      times: true,
      head: true,
      classNames: true,
      freeze: true,
      trainOnly: true,
      freezeNorms: true,
      lanes: true,
      seed: true,
      batchSize: true,
      learningRate: true,
      stepSize: true,
      momentum: true,
      weightDecay: true,
      optimizer: true,
      betas: true,
      schedule: true,
      scheduleEpochs: true,
      warmupEpochs: true,
      minLr: true,
      nesterov: true,
      trainImages: true,
      imageSize: true,
      normalize: true,
    }).shape,
  ),
});
type Exported = z.infer<typeof identitySchema>['result'];

function resultOf(identity: string, path: string): Exported {
  const parsed = identitySchema.safeParse(JSON.parse(identity));
  if (parsed.success) return parsed.data.result;
  throw new CornetError(
    'CHECKPOINT_DAMAGED',
    `The checkpoint ${path} cannot be used: it does not say which run it is of.`,
  );
}
