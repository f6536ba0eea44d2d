/** Which parts of a model are left as they are while the others are trained. */
import { CornetError } from '../errors.ts';
import { isNamedBy } from '../util/parameter-names.ts';
import { quoteName } from '../util/printable.ts';
import type { Model, StateEntry } from './model.ts';

/** As options have it, by names of parameters (`isNamedBy`). */
export interface Freezing {
  readonly freeze?: readonly string[];
  /** Everything else is frozen. */
  readonly trainOnly?: readonly string[];
  /** Batch normalisations whose weight and bias are frozen use their running statistics, which stay as they are. */
  readonly freezeNorms?: boolean;
}

/** These options alone, of a configuration. */
export function freezingOf({ freeze, trainOnly, freezeNorms }: Required<Freezing>): Required<Freezing> {
  return { freeze, trainOnly, freezeNorms };
}

/**
 * The model with `frozen` at the entries that a training leaves alone.
 * @throws CornetError OPTION_INVALID for a pattern that names no parameter, when no parameter would be trained, and for
 *   `freezeNorms` without a frozen batch normalisation
 */
export function withFrozen(
  model: Model,
  { freeze = [], trainOnly = [], freezeNorms = false }: Freezing,
): Model {
  if (freeze.length === 0 && trainOnly.length === 0 && !freezeNorms) return model;
  const parameters = parametersOf(model);
  const frozen = new Set(parametersNamed(model, freeze, '--freeze'));
  if (trainOnly.length > 0) {
    const trained = new Set(parametersNamed(model, trainOnly, '--train-only'));
    for (const name of parameters) if (!trained.has(name)) frozen.add(name);
  }
  if (parameters.every((name) => frozen.has(name))) {
    throw new CornetError('OPTION_INVALID', `Every parameter of CORnet-${model.name} would be frozen.`, {
      hint: 'Leave something to train: with --train-only decoder, for instance, all but the decoder is frozen.',
    });
  }
  const norms = freezeNorms ? frozenNorms(model, frozen) : new Set<string>();
  const isFrozen = ({ name, kind }: StateEntry): boolean =>
    kind === 'parameter' ? frozen.has(name) : norms.has(name.slice(0, name.lastIndexOf('.')));
  return {
    ...model,
    entries: model.entries.map((entry) => (isFrozen(entry) ? { ...entry, frozen: true } : entry)),
  };
}

/** Names of batch normalisations that use their running statistics in training, too. */
export function normsAtRest({ entries }: Model): ReadonlySet<string> {
  const statistics = entries.filter(({ kind, frozen }) => kind === 'runningMean' && frozen === true);
  return new Set(statistics.map(({ name }) => name.slice(0, name.lastIndexOf('.'))));
}

/**
 * Names of the parameters that patterns are of (`isNamedBy`).
 * @param flag the option that has them
 * @throws CornetError OPTION_INVALID for a pattern that names none
 */
export function parametersNamed(model: Model, patterns: readonly string[], flag: string): string[] {
  const parameters = parametersOf(model);
  return patterns.flatMap((pattern) => {
    const named = parameters.filter(isNamedBy(pattern));
    if (named.length > 0) return named;
    const layers = new Set(parameters.map((name) => name.slice(0, name.lastIndexOf('.'))));
    const areas = new Set(parameters.map((name) => name.slice(0, name.indexOf('.'))));
    throw new CornetError(
      'OPTION_INVALID',
      `${flag} ${quoteName(pattern)} names no parameter of CORnet-${model.name}.`,
      {
        hint: `Its areas are ${[...areas].join(', ')}; its layers ${[...layers].join(', ')}; a parameter is a layer's weight or bias (${parameters[0]}), and * stands for any characters.`,
      },
    );
  });
}

function parametersOf({ entries }: Model): string[] {
  return entries.filter(({ kind }) => kind === 'parameter').map(({ name }) => name);
}

function frozenNorms(model: Model, frozen: ReadonlySet<string>): ReadonlySet<string> {
  const norms = model.norms.filter((norm) => frozen.has(`${norm}.weight`) && frozen.has(`${norm}.bias`));
  if (norms.length > 0) return new Set(norms);
  const [message, hint] =
    model.norms.length === 0
      ? [
          `CORnet-${model.name} has no batch normalisation: --freeze-norms has nothing to do.`,
          'Leave --freeze-norms out.',
        ]
      : [
          '--freeze-norms is about batch normalisations that are frozen, and none is.',
          "Name them or their areas as well: --freeze V1, or --freeze '*norm*' for all of them.",
        ];
  throw new CornetError('OPTION_INVALID', message!, { hint: hint! });
}
