/** Which outputs of a model are meant by `--layer/--sublayer`, `--tap` and `--time-step`. */
import { CornetError } from '../../shared/errors.ts';
import { tapsOf } from '../../shared/formats/feature-rows.ts';
import type { Model } from '../../shared/models/model.ts';
import { type Tap, tapName } from '../../shared/models/trace.ts';
import { nearestNames } from '../../shared/util/nearest-names.ts';
import { quoteName } from '../../shared/util/printable.ts';
import { shellWords } from '../../shared/util/shell-words.ts';

/** `last` and `all`, or the number of a module's call, as the original counts. */
type TimeStep = 'last' | 'all' | number;

export interface TapRequest {
  layer?: string;
  sublayer?: string;
  /** `all`, `everything`, or names with commas between, each with or without its time step. */
  tap?: string;
  timeStep?: TimeStep;
}

export interface ChosenTap {
  /** `V4.output-t3`. */
  readonly tap: string;
  /** The number of the module's call, from 0, as the original's --time-step counts. */
  readonly call: number;
  /** What files are called after: `V4_output`, or `V4_output_t3` where several steps of it are wanted. */
  readonly fileName: string;
  /** Of one image. */
  readonly shape: readonly number[];
}

export interface TapChoice {
  /** In the order in which they fire. */
  readonly taps: readonly ChosenTap[];
  /** Sentences about what the user may not expect. */
  readonly warnings: readonly string[];
}

/** As the original's. */
const defaultLayer = 'decoder';
const defaultSublayer = (layer: string) => (layer === defaultLayer ? 'avgpool' : 'output');
const stepSuffix = /-t\d+$/;

/** @throws CornetError OPTION_INVALID, with the nearest names */
export function chooseTaps(model: Model, imageSize: number, request: TapRequest): TapChoice {
  const known = tapsOf(model, imageSize);
  const chosen = new Set(requested(model, known, request));
  const taps = known.filter((tap) => chosen.has(tap));
  if (taps.length === 0) {
    throw new CornetError(
      'OPTION_INVALID',
      `No output of CORnet-${model.name} is computed ${Number(request.timeStep) + 1} times or more (--time-step ${request.timeStep}).`,
      { hint: 'Steps are counted from 0; omit --time-step to have all of them.' },
    );
  }
  const severalSteps = (name: string) => taps.filter((tap) => tap.name === name).length > 1;
  return {
    taps: taps.map((tap) => ({
      tap: tapName(tap),
      call: known.filter(({ name }) => name === tap.name).indexOf(tap),
      fileName: tap.name.replace('.', '_') + (severalSteps(tap.name) ? `_t${tap.timeStep}` : ''),
      shape: tap.shape,
    })),
    warnings: taps.filter(({ seesImage }) => !seesImage).map((tap) => blindness(model, known, tap)),
  };
}

function requested(model: Model, known: readonly Tap[], request: TapRequest): Tap[] {
  const { layer, sublayer, tap, timeStep } = request;
  if (tap !== undefined && (layer !== undefined || sublayer !== undefined)) {
    throw new CornetError(
      'OPTION_INVALID',
      'What is to be read is named by --layer and --sublayer, or by --tap, not by both.',
    );
  }
  if (tap === 'everything' || tap === 'all') {
    const names = new Set(known.map(({ name }) => name));
    const wanted = [...names].filter((name) => tap === 'everything' || isMain(name));
    return wanted.flatMap((name) => {
      const calls = known.filter((other) => other.name === name);
      return typeof timeStep === 'number' && timeStep >= calls.length
        ? []
        : callsAt(model, calls, timeStep ?? 'all');
    });
  }
  if (layer !== undefined && /[.,]/.test(layer)) throw manyAreas(known, layer, sublayer);
  const names = tap?.split(',').map((name) => withArea(known, name.trim())) ?? [
    outputOf(known, layer ?? defaultLayer, sublayer),
  ];
  return names.flatMap((name) => named(model, known, { name, timeStep }));
}

function outputOf(known: readonly Tap[], layer: string, sublayer: string | undefined): string {
  const area = withArea(known, layer);
  return `${area}.${sublayer ?? defaultSublayer(area)}`;
}

/** A name with its area as the model spells it: `it.output` means `IT.output`. */
function withArea(known: readonly Tap[], name: string): string {
  const [given] = name.split('.');
  const areas = known.map((tap) => tap.name.split('.')[0]!);
  const area = areas.find((one) => one.toLowerCase() === given!.toLowerCase());
  return (area ?? given) + name.slice(given!.length);
}

/** A `--layer` that is not an area, and the `--tap` that it may mean. */
function manyAreas(known: readonly Tap[], layer: string, sublayer: string | undefined): CornetError {
  const parts = layer
    .split(',')
    .map((part) => part.trim())
    .filter((part) => part !== '');
  const names = parts.map((part) =>
    part.includes('.') ? withArea(known, part) : outputOf(known, part, sublayer),
  );
  return new CornetError('OPTION_INVALID', `--layer takes one area, such as V4, not ${quoteName(layer)}.`, {
    hint: `Full names, and several of them, go with --tap: --tap ${shellWords([names.join(',')])}`,
  });
}

/** The outputs of the areas, and what the decoder reads of the last one. */
function isMain(name: string): boolean {
  const [area, sublayer] = name.split('.');
  return area === defaultLayer ? sublayer === 'avgpool' : sublayer === 'output';
}

function named(
  model: Model,
  known: readonly Tap[],
  { name, timeStep }: { name: string; timeStep: TimeStep | undefined },
): Tap[] {
  const calls = known.filter((tap) => tap.name === name);
  if (calls.length > 0) return callsAt(model, calls, timeStep ?? 'last');
  const exact = known.find((tap) => tapName(tap) === name);
  if (exact !== undefined && timeStep !== undefined) {
    throw new CornetError('OPTION_INVALID', `${name} names its time step, and so does --time-step.`);
  }
  if (exact !== undefined) return [exact];
  const others = known.filter((tap) => tap.name === name.replace(stepSuffix, ''));
  const candidates = others.length > 0 ? others.map(tapName) : [...new Set(known.map((tap) => tap.name))];
  const [area] = name.split('.');
  const everywhere = area === 'all' || area === 'everything' ? `All areas at once: --tap ${area}. ` : '';
  throw new CornetError('OPTION_INVALID', `CORnet-${model.name} has no output ${name}.`, {
    hint: `${everywhere}Nearest names: ${nearestNames(name, candidates).join(', ')}. All: \`coordinator layers --model ${model.name}\``,
  });
}

function callsAt(model: Model, calls: readonly Tap[], timeStep: TimeStep): Tap[] {
  if (timeStep === 'all') return [...calls];
  const call = timeStep === 'last' ? calls.at(-1) : calls[timeStep];
  if (call !== undefined) return [call];
  const often = calls.length === 1 ? 'once' : `${calls.length} times`;
  throw new CornetError(
    'OPTION_INVALID',
    `CORnet-${model.name} computes ${calls[0]!.name} ${often} for an image: there is no --time-step ${timeStep}.`,
    { hint: `Steps are counted from 0: give last, all, or a number up to ${calls.length - 1}.` },
  );
}

function blindness(model: Model, known: readonly Tap[], tap: Tap): string {
  const first = known.find(({ name, seesImage }) => name === tap.name && seesImage);
  const when =
    first === undefined ? 'with so few --times it never does' : `it does from ${tapName(first)} on`;
  return `The image has not reached ${tapName(tap)} of CORnet-${model.name}: its features are the same for every image (${when}).`;
}
