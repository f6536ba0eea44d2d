/** Words that users know from elsewhere: from run.py of the reference implementation, or from `cornet` and `coordinator`. */
import { CornetError } from '../../shared/errors.ts';
import { modelNames } from '../../shared/models/model.ts';
import { editDistance } from '../../shared/util/nearest-names.ts';

/** Commands with one meaning. */
const synonyms: readonly (readonly string[])[] = [
  ['start', 'train'],
  ['test', 'features', 'extract'],
];

/** Options of run.py without a counterpart, and why none is needed. */
const needless: Readonly<Record<string, string>> = {
  '--save-train-epochs': 'metrics.jsonl has the loss and the accuracy of every training step',
};

/** What other programs call it, which the spelling alone would not lead to. */
export const elsewhere: Readonly<Record<string, string>> = {
  '--arch': '--model',
  '--network': '--model',
  '--data': '--data-path',
  '--data-dir': '--data-path',
  '--dataset': '--data-path',
  '--out': '--output-path',
  '--output': '--output-path',
  '--output-dir': '--output-path',
  '--run-dir': '--output-path',
  '--bs': '--batch-size',
  '--batch': '--batch-size',
  '--gpus': '--ngpus',
  '--num-gpus': '--ngpus',
  '--devices': '--ngpus',
  '--nproc-per-node': '--ngpus',
  '--num-workers': '--workers',
  '--max-epochs': '--epochs',
  '--num-epochs': '--epochs',
  '--lr-step': '--step-size',
  '--lr-step-size': '--step-size',
  '--wd': '--weight-decay',
  '--img-size': '--image-size',
  '--input-size': '--image-size',
  '--resolution': '--image-size',
  '--amp': '--precision bf16',
  '--bf16': '--precision bf16',
  '--fp16': '--precision bf16',
  '--pretrained': '--weights pretrained',
  '--checkpoint': '--weights',
  '--ckpt': '--weights',
  '--layers': '--tap',
  '--timesteps': '--times',
  run: 'start',
  fit: 'start',
  resume: 'start --resume',
  eval: 'validate',
  evaluate: 'validate',
  val: 'validate',
  embed: 'test',
  infer: 'predict',
  inference: 'predict',
  classify: 'predict',
  plot: 'report',
  curves: 'report',
  ls: 'list',
  ps: 'list',
  info: 'status',
  kill: 'stop',
  convert: 'export',
  check: 'doctor',
  dashboard: 'view',
};

/**
 * What a word that is not understood may mean, if it has another name here.
 * @param known the options or commands that there are
 */
export function meantBy(word: string, known: readonly string[]): string | null {
  const bare = word.replace(/=.*/s, '');
  return translated(bare, known) ?? likeOneFromElsewhere(bare, known);
}

function translated(word: string, known: readonly string[]): string | null {
  const meant = elsewhere[word]?.split(' ');
  if (meant === undefined) return null;
  const own = inOwnWords(meant, known);
  return known.includes(own[0]!) ? own.join(' ') : null;
}

/** For a misspelt word from elsewhere that no word of ours is as near to: what it means, or itself where it is taken. */
function likeOneFromElsewhere(word: string, known: readonly string[]): string | null {
  const taken = synonyms.flat().filter((name) => known.includes(inOwnWords([name], known)[0]!));
  let best = {
    distance: Math.min(...known.map((name) => misspelt(name, word))),
    meant: null as string | null,
  };
  for (const name of [...taken, ...Object.keys(elsewhere)]) {
    const distance = misspelt(name, word);
    const meant = taken.includes(name) ? name : translated(name, known);
    if (meant !== null && distance < best.distance) best = { distance, meant };
  }
  return best.meant;
}

/** Wrong letters; infinite: too many, by commander's own measure, or the one is an option and the other is not. */
function misspelt(name: string, word: string): number {
  const dashes = /^-*/.exec(word)![0].length;
  if (dashes !== /^-*/.exec(name)![0].length) return Number.POSITIVE_INFINITY;
  const distance = editDistance(name, word);
  const longest = Math.max(name.length, word.length) - dashes;
  return distance <= 3 && distance < 0.6 * longest ? distance : Number.POSITIVE_INFINITY;
}

/**
 * A command line with the command's name as the program knows it.
 * @param commands the names of the program's commands
 * @throws CornetError OPTION_INVALID for an option of run.py that does not exist here
 */
export function inOwnWords(argv: readonly string[], commands: readonly string[]): string[] {
  for (const argument of argv) {
    const option = argument.replace(/=.*/s, '').replaceAll('_', '-');
    const why = needless[option];
    if (why === undefined) continue;
    throw new CornetError('OPTION_INVALID', `There is no ${option}: ${why}.`, { hint: `Omit ${option}.` });
  }
  const [command, ...rest] = argv;
  if (command === undefined || commands.includes(command)) return [...argv];
  const meant = synonyms.find((words) => words.includes(command)) ?? [];
  return [commands.find((name) => meant.includes(name)) ?? command, ...rest];
}

/** `s`, `CORnet-S` and `cornet_s` (as the reference implementation's Python names it) all mean `S`. */
export function readModelName(text: string): string {
  const name = text.replace(/^cornet[-_]?/i, '').toUpperCase();
  return modelNames.find((known) => known === name) ?? text;
}
