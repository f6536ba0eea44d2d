/** What a resume would change although the result depends on it. */
import type { Normalization } from '../../shared/defaults.ts';
import { digestOf, type ModelGraph } from '../../shared/models/graph.ts';
import { describeStartingWeights, type RunConfig } from '../../shared/run-config.ts';
import { canonicalJson } from '../../shared/util/canonical-json.ts';
import { quoteName, shortened } from '../../shared/util/printable.ts';
import { chooseNormalization, normalizationWords } from './normalization.ts';
import { nameOfSetting, optionRows, type StartOptions } from './table.ts';

export type Settings = Readonly<Record<string, unknown>>;

/** Nobody passes a fingerprint. */
const otherImages =
  'The images of --data-path are not those that the run began with: one was added, removed or renamed, or has another size.';

/** What settings without an option of the same name are called. */
const otherNames: Record<string, string> = {
  taps: '--layer, --sublayer, --tap or --time-step',
  topK: '--top-k',
  classNames: 'what the outputs of the weights stand for',
  custom: '--model (what its file defines)',
};

/** Where a value alone would not be understood. */
const tell: Record<string, (value: unknown) => string> = {
  deterministic: (value) => (value === true ? 'deterministic kernels' : 'any kernels'),
  flip: (value) => (value === true ? 'flips' : 'no flips'),
  normalize: (value) => normalizationWords(value as Normalization),
  custom: (value) => (value === undefined ? 'one of the four models' : digestOf(value as ModelGraph)),
};

/**
 * @param run by its names in config.json, what the run was started with
 * @param passed the same, of this command; what is undefined was not passed
 * @returns one sentence for each that differs
 */
export function changedSettings(run: Settings, passed: Settings): string[] {
  return differences(run, passed).map(({ key, name, was, now }) =>
    key === 'fingerprint'
      ? otherImages
      : `${name} cannot change on resume: the run uses ${was}, you passed ${now}.`,
  );
}

/**
 * How results that are there were made otherwise than they would be now.
 * @returns a part of a sentence for each setting that differs
 */
export function otherSettings(former: Settings, now: Settings): string[] {
  return differences(former, now).map((setting) =>
    setting.key === 'fingerprint'
      ? 'the images of --data-path were others'
      : `${setting.name} was ${setting.was} and is now ${setting.now}`,
  );
}

/** What differs, in words. */
function differences(
  former: Settings,
  now: Settings,
): { key: string; name: string; was: string; now: string }[] {
  return Object.keys(now)
    .filter((key) => now[key] !== undefined && canonicalJson(now[key]) !== canonicalJson(former[key] ?? null))
    .map((key) => {
      const inWords = tell[key] ?? told;
      const name = otherNames[key] ?? nameOfSetting(key) ?? key;
      return { key, name, was: inWords(former[key]), now: inWords(now[key]) };
    });
}

/** Options of `coordinator start --resume` that are not the run's. */
export function changedOptions(
  options: StartOptions,
  { result, backend, threads }: Pick<RunConfig, 'result' | 'backend' | 'threads'>,
): string[] {
  const rows = optionRows.filter(({ kind, commands }) => kind === 'result' && commands.includes('start'));
  const passed = Object.fromEntries(
    rows.map(({ attribute, setting }) => [setting ?? attribute, options[attribute as keyof StartOptions]]),
  );
  // Without --no-deterministic and --no-flip commander says true, which therefore is not something that was passed.
  if (passed.deterministic === true) passed.deterministic = undefined;
  if (passed.flip === true) passed.flip = undefined;
  const { mean: _, std: __, ...rest } = passed;
  const others = { ...rest, custom: options.own?.graph };
  const start = describeStartingWeights(result.startingWeights);
  const origin = result.startingWeights.from === 'seed' ? 'kept' : result.startingWeights.head;
  const weights = { weights: start, weightsKey: start };
  const head = { newHead: origin === 'new', extendHead: origin === 'extended' };
  const normalize = chooseNormalization(options, result.normalize);
  return changedSettings({ ...result, backend, threads, ...weights, ...head }, { ...others, normalize });
}

/** Characters of a list: a thousand classes would flood a terminal. */
const longestList = 120;

function told(value: unknown): string {
  if (typeof value === 'string') return quoteName(value);
  if (typeof value === 'boolean') return value ? 'on' : 'off';
  if (Array.isArray(value)) return value.length === 0 ? 'none' : shortened(value.join(', '), longestList);
  return String(value);
}
