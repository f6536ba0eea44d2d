/** metadata.yml of a plug-in of Brain-Score, in its schema 2.0.0: what is not known is left out, as that wants it. */
import { stringify } from 'yaml';
import { elementCount, outputsOfHead } from '../../shared/models/model.ts';
import { version } from '../../shared/process/version.ts';
import { count } from '../view/format.ts';
import { optimizerWords, scheduleWords } from '../view/recipe-words.ts';
import { chosenTimes, type ExportSource } from './source.ts';
import type { TrainingFacts } from './training-facts.ts';

const schema = '2.0.0';
const schemaUrl =
  'https://raw.githubusercontent.com/brain-score/vision/master/docs/model_metadata/model-metadata-v2.schema.json';

/** Default of Brain-Score's commitments. */
const visualDegrees = 8;

/**
 * @param training null: it is not known
 * @param sha256 of weights.pth
 */
export function pluginMetadata(
  name: string,
  { network, model }: ExportSource,
  training: TrainingFacts | null,
  sha256: string,
): string {
  const { imageSize: height, imageSize: width, normalize } = network;
  const times = chosenTimes(network);
  const recurrent = model.name !== 'Z';
  const unrolled = times === null ? '' : `, unrolled for ${count(times, 'time step', 'time steps')}`;
  const parameters = model.entries
    .filter(({ kind }) => kind === 'parameter')
    .reduce((sum, { shape }) => sum + elementCount(shape), 0);
  const metadata = {
    schema_version: schema,
    schema_url: schemaUrl,
    model: { identifier: name, display_name: name, domain: 'vision' },
    architecture: {
      family: recurrent ? 'recurrent_convolutional_neural_network' : 'convolutional_neural_network',
      description: `CORnet-${model.name}${unrolled}: four areas (V1, V2, V4, IT) and a linear decoder`,
      parameter_count: { value: parameters, exact: true },
      recurrent,
    },
    interface: {
      inputs: [{ modality: 'image', shape: { channels: 3, height, width } }],
      outputs: [{ name: 'logits', description: count(outputsOfHead(model), 'output', 'outputs') }],
      visual_degrees: visualDegrees,
    },
    preprocessing: {
      resize: { height, width },
      interpolation: 'bilinear',
      normalization: { mean: normalize.mean, standard_deviation: normalize.std },
    },
    training: training === null ? {} : trainingOf(training),
    artifacts: [{ role: 'weights', identifier: 'weights.pth', sha256 }],
    provenance: {
      sources: { export: { type: 'checkpoint', title: `cornet-ts ${version}` } },
      assertions: [],
    },
  };
  return stringify(metadata, { lineWidth: 0, defaultStringType: 'QUOTE_DOUBLE', defaultKeyType: 'PLAIN' });
}

function trainingOf({ result, step, epochs }: TrainingFacts): object {
  const { trainImages, classes, learningRate, batchSize } = result;
  const optimizer = result.optimizer === 'sgd' ? 'SGD, ' : '';
  return {
    process: `${count(step, 'step', 'steps')} (${Number(epochs.toFixed(4))} epochs), ${optimizer}${optimizerWords(result)}`,
    dataset_summary: `${count(trainImages, 'image', 'images')} of ${count(classes, 'class', 'classes')}`,
    supervision: { type: 'supervised', description: 'labels of images' },
    objectives: [
      { type: 'classification', description: `${count(classes, 'class', 'classes')}, cross-entropy` },
    ],
    hyperparameters: {
      learning_rate: { value: learningRate, description: scheduleWords(result) },
      batch_size: { value: batchSize },
    },
  };
}
