/** A file as torch.save writes it: a pickle, with the tensors that it refers to beside it. */
import { isDeepStrictEqual } from 'node:util';
import { type Normalization, normalizations } from '../../shared/defaults.ts';
import { PythonFloat, type PythonValue, pickle, TensorReference } from './pickle-writer.ts';
import { type ZipPart, zipPieces } from './zip-writer.ts';

/** The folder inside the archive; torch.save takes the file's name, so that a renamed file has any. */
const archive = 'archive';

export class TorchArchive {
  readonly #storages: ZipPart[] = [];

  /** @param bytes little endian, row-major; they are not copied */
  tensor(bytes: Uint8Array, dtype: 'I64' | 'F32', shape: readonly number[]): TensorReference {
    const key = String(this.#storages.length);
    this.#storages.push({ name: `${archive}/data/${key}`, bytes });
    return new TensorReference(key, dtype === 'I64' ? 'LongStorage' : 'FloatStorage', shape);
  }

  /** @returns the pieces of the file, for torch.load (PyTorch 1.6 or later) */
  pieces(saved: PythonValue): Uint8Array[] {
    return zipPieces([
      { name: `${archive}/data.pkl`, bytes: pickle(saved) },
      { name: `${archive}/byteorder`, bytes: Buffer.from('little') },
      ...this.#storages,
      { name: `${archive}/version`, bytes: Buffer.from('3\n') },
    ]);
  }
}

export function dict(entries: Record<string, PythonValue>): ReadonlyMap<string, PythonValue> {
  return new Map(Object.entries(entries));
}

/** run.py's options by its names: null where a file does not depend on them and so does not know; and the image size. */
const flagNames = [
  'data_path',
  'output_path',
  'model',
  'times',
  'ngpus',
  'workers',
  'epochs',
  'batch_size',
  'lr',
  'step_size',
  'momentum',
  'weight_decay',
  'imsize',
] as const;

export function flags(known: Partial<Record<(typeof flagNames)[number], PythonValue>>): PythonValue {
  return dict(Object.fromEntries(flagNames.map((name) => [name, known[name] ?? null])));
}

/** What we say beside the reference implementation's flags (`saidByFlags`): only what is not as everybody takes it. */
export function besideFlags(
  classNames: readonly string[],
  normalize: Normalization,
): Record<string, PythonValue> {
  const { mean, std } = normalize;
  const floats = (values: readonly number[]) => values.map((value) => new PythonFloat(value));
  return {
    ...(classNames.length === 0 ? {} : { classes: classNames }),
    ...(isDeepStrictEqual(normalize, normalizations.imagenet)
      ? {}
      : { normalize: dict({ mean: floats(mean), std: floats(std) }) }),
  };
}
