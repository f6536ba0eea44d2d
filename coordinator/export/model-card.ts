/** The README.md of a model on Hugging Face's hub (https://huggingface.co/docs/hub/model-cards), as far as it is known. */
import { stringify } from 'yaml';
import { shortSideOf } from '../../shared/data/image-net.ts';
import { imageNetClasses } from '../../shared/models/family.ts';
import { outputsOfHead } from '../../shared/models/model.ts';
import { describeStartingWeights } from '../../shared/run-config.ts';
import { augmentationWords } from '../view/augmentation-words.ts';
import { count } from '../view/format.ts';
import { freezingWords, optimizerWords, scheduleWords } from '../view/recipe-words.ts';
import { chosenTimes, type ExportSource } from './source.ts';
import type { TrainingFacts } from './training-facts.ts';

/** The class of the reference implementation, in its module `cornet.cornet_z`, …. */
export const classOf = (model: string): string => `CORnet_${model}`;

/** @param training null: it is not known */
export function modelCard(source: ExportSource, training: TrainingFacts | null): string {
  const title = `CORnet-${source.model.name}`;
  return `---
# license: of these weights and of the data behind them; yours to fill in (https://huggingface.co/docs/hub/repositories-licenses)
${stringify(frontMatter(source, training), { lineWidth: 0 }).trimEnd()}
---

# ${title}

${sections(source, training).join('\n\n')}
`;
}

function frontMatter({ model }: ExportSource, training: TrainingFacts | null): object {
  const name = `CORnet-${model.name}`;
  return {
    library_name: 'cornet-ts',
    pipeline_tag: 'image-classification',
    tags: [
      'cornet',
      `cornet-${model.name.toLowerCase()}`,
      'vision',
      'neuroscience',
      'pytorch',
      'safetensors',
    ],
    ...(training?.validation == null ? {} : { 'model-index': [{ name, results: [result(training)] }] }),
  };
}

function result({ result: { classes, valImages }, validation }: TrainingFacts): object {
  return {
    task: { type: 'image-classification' },
    dataset: {
      type: 'imagefolder',
      name: `${count(valImages, 'image', 'images')} of ${count(classes, 'class', 'classes')}`,
      split: 'validation',
    },
    metrics: [
      { type: 'accuracy', name: 'top-1 accuracy', value: validation!.top1 },
      ...(Number.isFinite(validation!.loss)
        ? [{ type: 'loss', name: 'cross-entropy', value: validation!.loss }]
        : []),
    ],
  };
}

function sections(source: ExportSource, training: TrainingFacts | null): string[] {
  return [
    introduction(source),
    ...(training === null
      ? ['These weights do not say how they were trained: fill in what you know of it.']
      : [...measured(training), '## Training', table(recipe(training))]),
    '## Use in Python',
    ...(source.network.custom === undefined
      ? [
          'With the [reference implementation](https://github.com/dicarlolab/CORnet) ' +
            '(`pip install git+https://github.com/dicarlolab/CORnet safetensors`):',
          `\`\`\`python\n${snippet(source)}\n\`\`\``,
        ]
      : [
          'This model is none of the reference implementation: `model.safetensors` has its state dict. What computes with it in Python is the graph that `coordinator export --onnx` writes.',
        ]),
    preprocessing(source),
    '## Validate',
    'With [cornet-ts](https://www.npmjs.com/package/cornet-ts), in this folder:',
    '    coordinator validate --weights model.safetensors --data-path DATA',
    'DATA has the validation images in `val/<class>/`.',
  ];
}

function introduction({ network, model, sha256 }: ExportSource): string {
  const { imageSize, names } = network;
  const times = chosenTimes(network);
  const named =
    names === null
      ? 'what they stand for is not known'
      : names.assumed
        ? 'taken for the classes of ImageNet (`config.json`)'
        : 'named in `config.json`';
  const unrolled = times === null ? '' : `, unrolled for ${count(times, 'time step', 'time steps')}`;
  const outputs = count(outputsOfHead(model), 'output', 'outputs');
  return `A network of the CORnet family, which models the ventral visual stream (V1, V2, V4, IT)${unrolled}: images of ${imageSize} × ${imageSize} pixels, ${outputs}, ${named}. Exported by cornet-ts; SHA-256 of the tensors' bytes: \`${sha256}\`.`;
}

function measured({ validation, result: { valImages, classes } }: TrainingFacts): string[] {
  if (validation === null) return [];
  const { top1, loss } = validation;
  return [
    '## Results',
    `On ${count(valImages, 'validation image', 'validation images')} of ${count(classes, 'class', 'classes')}: top-1 ${(100 * top1).toFixed(2)} %, loss ${loss.toFixed(4)}.`,
  ];
}

function recipe({ result, step, epochs }: TrainingFacts): [string, string][] {
  const { optimizer, trainImages, classes, batchSize, lanes, seed, precision, startingWeights } = result;
  const augmentation = augmentationWords(result);
  return [
    ['data', `${count(trainImages, 'image', 'images')} of ${count(classes, 'class', 'classes')}`],
    ['began with', describeStartingWeights(startingWeights)],
    ['optimizer', `${optimizer === 'sgd' ? 'SGD, ' : ''}${optimizerWords(result)}`],
    ['learning rate', scheduleWords(result)],
    ['trained for', `${count(step, 'step', 'steps')} (${Number(epochs.toFixed(4))} epochs)`],
    ['batch size', `${batchSize}, in ${count(lanes, 'lane', 'lanes')}`],
    ['frozen', freezingWords(result)],
    ['augmentation', augmentation === '' ? 'random resized crops and flips' : augmentation],
    ['precision', precision],
    ['seed', String(seed)],
  ];
}

/** In a cell a bar would begin another one. */
function table(rows: readonly [string, string][]): string {
  const lines = rows.map(([name, value]) => `| ${name} | ${value.replaceAll('|', '\\|')} |`);
  return ['| | |', '|---|---|', ...lines].join('\n');
}

function snippet({ network, model }: ExportSource): string {
  const { imageSize, normalize } = network;
  const [name, outputs, times] = [model.name, outputsOfHead(model), chosenTimes(network)];
  const made = `${classOf(name)}(${times === null ? '' : `times=${times}`})`;
  const [mean, std] = [normalize.mean.join(', '), normalize.std.join(', ')];
  return [
    'import torch',
    `from cornet.cornet_${name.toLowerCase()} import ${classOf(name)}`,
    'from safetensors.torch import load_file',
    '',
    `model = ${made}`,
    ...(outputs === imageNetClasses ? [] : [`model.decoder.linear = torch.nn.Linear(512, ${outputs})`]),
    "model.load_state_dict(load_file('model.safetensors'))",
    'model.eval()',
    '',
    `images = torch.rand(1, 3, ${imageSize}, ${imageSize})  # RGB, 0 to 1`,
    `mean = torch.tensor([${mean}]).view(3, 1, 1)`,
    `std = torch.tensor([${std}]).view(3, 1, 1)`,
    'with torch.no_grad():',
    '    logits = model((images - mean) / std)',
    'print(logits.argmax(1))',
  ].join('\n');
}

function preprocessing({ network: { imageSize } }: ExportSource): string {
  return `Images are resized to a short side of ${shortSideOf(imageSize)} pixels (bilinear, antialiased), and their centre of ${imageSize} × ${imageSize} is cut out (\`preprocessor_config.json\`).`;
}
