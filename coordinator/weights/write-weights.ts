/** Writes weights of a network as a file that says which network it is. */
import { extname } from 'node:path';
import type { Normalization } from '../../shared/defaults.ts';
import { CornetError } from '../../shared/errors.ts';
import { encodeHeader } from '../../shared/formats/safetensors.ts';
import { stateLayout } from '../../shared/formats/state-layout.ts';
import type { ModelGraph } from '../../shared/models/graph.ts';
import type { Model } from '../../shared/models/model.ts';
import { canonicalJson } from '../../shared/util/canonical-json.ts';
import { quoteName } from '../../shared/util/printable.ts';
import { checkValues } from '../checkpoints/check-values.ts';
import { exists, writeDurably } from '../disk/durable-file.ts';
import { OrderedDict } from './pickle-writer.ts';
import { besideFlags, dict, flags, TorchArchive } from './torch-archive.ts';

export interface NamedNetwork {
  readonly model: Model;
  /** What a custom one computes. */
  readonly custom?: ModelGraph | undefined;
  /** Time steps. */
  readonly times: number;
  /** Pixels of a side. */
  readonly imageSize: number;
  readonly normalize: Normalization;
  /** What the outputs of the decoder stand for; null: that is not known. */
  readonly classNames: readonly string[] | null;
}

/**
 * Writes a safetensors file, or one as torch.save writes a state dict with run.py's `flags` beside it.
 * @param path its ending says which: .safetensors; .pth, .pt or .tar
 * @param body a snapshot body for inference (`stateLayout`)
 * @param force whether a file that exists is replaced
 * @throws CornetError OPTION_INVALID, OUTPUT_EXISTS, WEIGHTS_NOT_FINITE, DISK_FULL, FOLDER_NOT_WRITABLE: nothing is left
 *   behind
 */
export async function writeWeights(
  path: string,
  network: NamedNetwork,
  body: Uint8Array<ArrayBuffer>,
  force: boolean,
): Promise<void> {
  const write = writers[extname(path)];
  if (write === undefined) {
    throw new CornetError('OPTION_INVALID', `${quoteName(path)} has no ending that says what to write.`, {
      hint: 'Give a name that ends with .safetensors, .pth, .pt or .pth.tar.',
    });
  }
  if (!force && (await exists(path))) {
    throw new CornetError('OUTPUT_EXISTS', `${quoteName(path)} is there already.`, {
      hint: 'Give another file name, or force: true to replace it.',
    });
  }
  refuseNotFinite(network.model, body);
  await writeDurably(path, write(network, body));
}

/** @throws CornetError WEIGHTS_NOT_FINITE */
function refuseNotFinite(model: Model, body: Uint8Array): void {
  try {
    checkValues(stateLayout(model, 'inference').slots, body, 'What is to be written');
  } catch (error) {
    if (!(error instanceof CornetError)) throw error;
    throw new CornetError(error.code, error.message, {
      hint: 'Look at what has changed the tensors that are named.',
    });
  }
}

type Writer = (network: NamedNetwork, body: Uint8Array<ArrayBuffer>) => Uint8Array[];

const writers: Readonly<Record<string, Writer>> = {
  '.safetensors': safetensorsPieces,
  '.pth': torchPieces,
  '.pt': torchPieces,
  '.tar': torchPieces,
};

/** A file that says of which network it is, by PyTorch's names. @param body as for `writeWeights` */
export function safetensorsPieces(
  { model, custom, times, imageSize, normalize, classNames }: NamedNetwork,
  body: Uint8Array,
): Uint8Array[] {
  const { slots } = stateLayout(model, 'inference');
  const known = {
    ...(custom === undefined ? {} : { custom }),
    ...(classNames === null ? {} : { classNames }),
  };
  const result = { model: model.name, times, imageSize, normalize, ...known };
  // As PyTorch's own tools mark it, and as a checkpoint says of which network it is (`saidByIdentity`).
  return [encodeHeader(slots, { format: 'pt', identity: canonicalJson({ result }) }), body];
}

/** A file as torch.save writes a state dict, with run.py's `flags` beside it. @param body as for `writeWeights` */
export function torchPieces(
  { model, times, imageSize, normalize, classNames }: NamedNetwork,
  body: Uint8Array,
): Uint8Array[] {
  const archive = new TorchArchive();
  const slots = new Map(stateLayout(model, 'inference').slots.map((slot) => [slot.name, slot]));
  const stateDict = model.entries.map(({ name }) => {
    const { dtype, shape, offset, bytes } = slots.get(name)!;
    return [`module.${name}`, archive.tensor(body.subarray(offset, offset + bytes), dtype, shape)] as const;
  });
  return archive.pieces(
    dict({
      flags: flags({ model: model.name, times, imsize: imageSize }),
      // Without a word about it a thousand outputs are taken for the classes of ImageNet.
      ...(classNames === null ? { classes: [] } : {}),
      ...besideFlags(classNames ?? [], normalize),
      state_dict: new OrderedDict(stateDict),
    }),
  );
}
