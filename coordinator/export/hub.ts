/** A model as Hugging Face's hub has one: a folder of weights, configuration, preprocessing and a model card. */
import { shortSideOf } from '../../shared/data/image-net.ts';
import { outputsOfHead } from '../../shared/models/model.ts';
import { version } from '../../shared/process/version.ts';
import { safetensorsPieces } from '../weights/write-weights.ts';
import { classOf, modelCard } from './model-card.ts';
import { chosenTimes, type ExportSource, namedNetwork } from './source.ts';
import type { TrainingFacts } from './training-facts.ts';

/** PIL.Image.Resampling.BILINEAR */
const bilinear = 2;

/**
 * The folder's files by name: equal weights of equal trainings give equal ones.
 * @param training null: it is not known
 */
export function hubFiles(
  source: ExportSource,
  training: TrainingFacts | null,
): Record<string, readonly Uint8Array[]> {
  return {
    'model.safetensors': safetensorsPieces(namedNetwork(source), source.body),
    'config.json': json(configuration(source)),
    'preprocessor_config.json': json(preprocessing(source)),
    'README.md': [Buffer.from(modelCard(source, training))],
  };
}

/** With the keys that transformers has for a classifier of images, and ours. */
function configuration({ network, model, sha256 }: ExportSource): object {
  const { imageSize, normalize, names } = network;
  const outputs = outputsOfHead(model);
  const times = chosenTimes(network);
  // Outputs beyond the names have none yet: the hub calls them so.
  const labels = Array.from({ length: outputs }, (_, i) => names?.names[i] ?? `LABEL_${i}`);
  return {
    architectures: [classOf(model.name)],
    model_type: `cornet-${model.name.toLowerCase()}`,
    ...(times === null ? {} : { times }),
    image_size: imageSize,
    num_channels: 3,
    num_labels: outputs,
    ...(names === null
      ? {}
      : {
          id2label: Object.fromEntries(labels.entries()),
          label2id: Object.fromEntries(labels.map((label, i) => [label, i])),
        }),
    image_mean: normalize.mean,
    image_std: normalize.std,
    torch_dtype: 'float32',
    cornet_ts_version: version,
    weights_sha256: sha256,
  };
}

/** As a validation cuts images, in the words of transformers' BitImageProcessor. */
function preprocessing({ network: { imageSize, normalize } }: ExportSource): object {
  return {
    image_processor_type: 'BitImageProcessor',
    do_convert_rgb: true,
    do_resize: true,
    size: { shortest_edge: shortSideOf(imageSize) },
    resample: bilinear,
    do_center_crop: true,
    crop_size: { height: imageSize, width: imageSize },
    do_rescale: true,
    rescale_factor: 1 / 255,
    do_normalize: true,
    image_mean: normalize.mean,
    image_std: normalize.std,
  };
}

function json(value: object): Uint8Array[] {
  return [Buffer.from(`${JSON.stringify(value, null, 2)}\n`)];
}
