/** A plug-in of Brain-Score: a folder for `brainscore_vision/models/` of its repository, named as the model. */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { basename, join, resolve } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { imageNetNames } from '../../shared/data/imagenet-classes.ts';
import { CornetError } from '../../shared/errors.ts';
import { tapsOf } from '../../shared/formats/feature-rows.ts';
import { imageNetClasses } from '../../shared/models/family.ts';
import { outputsOfHead } from '../../shared/models/model.ts';
import type { Notices } from '../../shared/process/notices.ts';
import { packageRoot } from '../../shared/process/package-root.ts';
import { version } from '../../shared/process/version.ts';
import { quoteName } from '../../shared/util/printable.ts';
import { count } from '../view/format.ts';
import { torchPieces } from '../weights/write-weights.ts';
import { pluginMetadata } from './brain-score-metadata.ts';
import { type ExportSource, namedNetwork } from './source.ts';
import type { TrainingFacts } from './training-facts.ts';

/** Python that is the same in every plug-in: what differs is in settings.py. */
const written = { 'model.py': 'model.py', 'network.py': 'network.py', 'test.py': 'checks.py' };
const folderOfWritten = join(packageRoot, 'coordinator/export/brain-score');

/** Of Python and of pip: the versions are those of Brain-Score's environment. */
const requirements = 'numpy\ntorch\ntorchvision\n';

/** Folders that Brain-Score imports, and names that its tools take into names of environments and of files. */
const possibleName = /^[A-Za-z0-9][A-Za-z0-9_-]*$/;
/** The folder of Brain-Score's plug-in of the published CORnet-S, and the name it registers. */
const takenNames: readonly string[] = ['cornet_s', 'cornet-s'];

/**
 * The name under which Brain-Score knows the model: that of its folder.
 * @throws CornetError OPTION_INVALID for one that cannot be a plug-in's
 */
export function pluginName(folder: string): string {
  const name = basename(resolve(folder));
  const hint = 'Give the folder another name, such as cornet_rt_mylab.';
  if (!possibleName.test(name)) {
    throw new CornetError(
      'OPTION_INVALID',
      `A plug-in of Brain-Score is named as its folder, and ${quoteName(name)} cannot be its name: only letters, digits, _ and -, with a letter or digit first.`,
      { hint },
    );
  }
  if (takenNames.includes(name.toLowerCase())) {
    throw new CornetError(
      'OPTION_INVALID',
      `A plug-in of Brain-Score is named as its folder, and ${quoteName(name)} is that of the published CORnet-S.`,
      { hint },
    );
  }
  return name;
}

/**
 * The folder's files by name: equal weights of equal trainings give equal ones under an equal name.
 * @param training null: it is not known
 * @throws CornetError OPTION_INVALID for a network that Brain-Score could not record from
 */
export function brainScoreFiles(
  name: string,
  source: ExportSource,
  training: TrainingFacts | null,
  { note }: Pick<Notices, 'note'>,
): Record<string, readonly Uint8Array[]> {
  refuseCustom(source);
  const bins = timeBins(source);
  for (const sentence of notesOnOutputs(source)) note(sentence);
  const weights = torchPieces(namedNetwork(source), source.body);
  const text = (content: string) => [Buffer.from(content)];
  return {
    '__init__.py': text(registration(name)),
    'settings.py': text(settings(name, source, { bins, weights })),
    ...Object.fromEntries(
      Object.entries(written).map(([file, from]) => [file, [readFileSync(join(folderOfWritten, from))]]),
    ),
    'requirements.txt': text(requirements),
    'metadata.yml': text(pluginMetadata(name, source, training, sha('sha256', weights))),
    'weights.pth': weights,
  };
}

function refuseCustom({ network: { custom, model } }: ExportSource): void {
  if (custom === undefined) return;
  throw new CornetError(
    'OPTION_INVALID',
    `${quoteName(model)} is a custom model: there is no PyTorch class for it, which a plug-in of Brain-Score needs.`,
    { hint: 'Give weights of CORnet-Z, R, RT or S; --onnx exports custom models.' },
  );
}

/** What Brain-Score's label tasks make of the outputs. */
function notesOnOutputs({ network: { names }, model }: ExportSource): string[] {
  const outputs = outputsOfHead(model);
  if (outputs !== imageNetClasses) {
    return [
      `The network has ${count(outputs, 'output', 'outputs')}: Brain-Score's tasks with labels of ImageNet need ${imageNetClasses.toLocaleString('en')}, and fail; the others do not read them.`,
    ];
  }
  if (isDeepStrictEqual(names?.names, imageNetNames)) return [];
  return [
    "Brain-Score's tasks with labels of ImageNet take the outputs for its classes, in their order; these are not known to be.",
  ];
}

type Area = 'V1' | 'V2' | 'V4' | 'IT';
/** By area and time step: beginning and end in ms after an image appears. */
type TimeBins = ReadonlyMap<Area, ReadonlyMap<number, readonly [number, number]>>;

/** When an area begins to answer, in ms after an image appears: as Brain-Score's plug-in of CORnet-S has it. */
const onsets: Readonly<Record<Area, number>> = { V1: 50, V2: 70, V4: 90, IT: 100 };
const areas = Object.keys(onsets) as Area[];

/**
 * Length of a time step in ms. S: as Brain-Score's plug-in of CORnet-S. Nobody has measured it for R and RT: R as most
 * steps of the lab's earlier plug-in of CORnet-R; RT, in which an image goes up one area with each step, as most onsets
 * are apart.
 */
const stepLengths: Readonly<Record<'R' | 'RT' | 'S', Readonly<Record<Area, number>>>> = {
  R: { V1: 30, V2: 30, V4: 30, IT: 30 },
  RT: { V1: 20, V2: 20, V4: 20, IT: 20 },
  S: { V1: 100, V2: 100, V4: 50, IT: 100 },
};

/**
 * Of the steps at which an area has seen the image; null: the model has no time.
 * @throws CornetError OPTION_INVALID where there is none
 */
function timeBins({ network, model }: ExportSource): TimeBins | null {
  const lengths = stepLengths[model.name as keyof typeof stepLengths];
  if (lengths === undefined) return null;
  const seen = tapsOf(model, network.imageSize).filter((tap) => tap.seesImage);
  const bins = areas.map((area) => {
    // The first area of S is outside of time: its one output counts as the first.
    const steps = seen.filter(({ name }) => name === `${area}.output`).map(({ timeStep }) => timeStep ?? 0);
    const start = (nth: number) => onsets[area] + nth * lengths[area];
    return [area, new Map(steps.map((step, nth) => [step, [start(nth), start(nth + 1)] as const]))] as const;
  });
  const blind = bins.find(([, steps]) => steps.size === 0);
  if (blind !== undefined) {
    throw new CornetError(
      'OPTION_INVALID',
      `With ${count(network.times, 'time step', 'time steps')} the image does not reach ${blind[0]} of CORnet-${model.name}: Brain-Score could not record from there.`,
      { hint: 'Give weights of a network with more time steps, or more --times where they do not say it.' },
    );
  }
  return new Map(bins);
}

/** Brain-Score looks for this line as text: nothing in it may be computed. */
function registration(name: string): string {
  return `from brainscore_vision import model_registry

from .model import get_brain_model

model_registry['${name}'] = lambda: get_brain_model('${name}')
`;
}

function settings(
  name: string,
  { network, model, sha256 }: ExportSource,
  { bins, weights }: { bins: TimeBins | null; weights: readonly Uint8Array[] },
): string {
  const { times, imageSize, normalize } = network;
  const tuple = (values: readonly number[]) => `(${values.join(', ')})`;
  const rows = [...(bins ?? [])].map(([area, steps]) => {
    const entries = [...steps].map(([step, bin]) => `${step}: ${tuple(bin)}`);
    return `    "${area}": {${entries.join(', ')}},\n`;
  });
  return `"""Which network this is: written by cornet-ts ${version}. SHA-256 of the tensors' bytes: ${sha256}."""

IDENTIFIER = "${name}"
MODEL = "${model.name}"
# Time steps to unroll R and RT for; Z and S have their own.
TIMES = ${times}
OUTPUTS = ${outputsOfHead(model)}

# Pixels of a side; mean and standard deviation of each channel (RGB from 0 to 1).
IMAGE_SIZE = ${imageSize}
MEAN = ${tuple(normalize.mean)}
STD = ${tuple(normalize.std)}

# By area and time step: beginning and end in ms after an image appears. Steps without a bin are not recorded: the image
# has not arrived there. None: the model has no time.
TIME_BINS = ${bins === null ? 'None' : `{\n${rows.join('')}}`}

# Brain-Score keeps big files out of its repository: without weights.pth beside model.py they come from its storage. Put
# here what you were told when you uploaded them.
STORED_WEIGHTS = {
    "bucket": "brainscore-storage",
    "folder_name": "brainscore-vision/models",
    "relative_path": "${name}/weights.pth",
    "version_id": "null",
    "sha1": "${sha('sha1', weights)}",
}
`;
}

function sha(algorithm: 'sha1' | 'sha256', pieces: readonly Uint8Array[]): string {
  const hash = createHash(algorithm);
  for (const piece of pieces) hash.update(piece);
  return hash.digest('hex');
}
