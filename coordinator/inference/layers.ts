/** `coordinator layers`: every place in a model whose output can be read, with its shape and when it fires. */
import { CornetError } from '../../shared/errors.ts';
import { imageNetClasses, modelOf, type NetworkOptions } from '../../shared/models/family.ts';
import { type Tap, traceModel } from '../../shared/models/trace.ts';
import { say } from '../../shared/process/say.ts';
import { chooseNetwork } from './choose-network.ts';

export interface LayersOptions {
  /** A run or a file that says which network it is of. */
  weights?: string;
  /** What is not given is that of `weights`. */
  model?: string;
  times?: number;
  /** Pixels, square. */
  imageSize?: number;
  json: boolean;
}

export interface LayerRow {
  readonly name: string;
  /** For one image. */
  readonly shape: readonly number[];
  /** The model's time steps at which it fires with this shape; null outside the recurrent areas. */
  readonly timeSteps: readonly number[] | null;
}

/** Batch of the traced pass: the smallest that every batch normalisation accepts. */
const batch = 2;

/** The taps in the order of the model, one row for each shape that a tap has. */
export function layerRows(network: NetworkOptions, imageSize: number): LayerRow[] {
  const { taps } = traceModel(modelOf(network), batch, imageSize);
  return inModelOrder(taps).flatMap((name) => {
    const rows = new Map<string, { name: string; shape: readonly number[]; timeSteps: number[] | null }>();
    for (const tap of taps.filter((tap) => tap.name === name)) {
      const [, ...shape] = tap.shape;
      const row = rows.get(String(shape)) ?? { name, shape, timeSteps: tap.timeStep === null ? null : [] };
      if (tap.timeStep !== null) row.timeSteps?.push(tap.timeStep);
      rows.set(String(shape), row);
    }
    return [...rows.values()];
  });
}

/** Names of all taps, area by area. */
function inModelOrder(taps: readonly Tap[]): string[] {
  const areaOf = ({ name }: Tap) => name.slice(0, name.indexOf('.'));
  const areas = [...new Set(taps.map(areaOf))];
  return areas.flatMap((area) => inAreaOrder(taps.filter((tap) => areaOf(tap) === area)));
}

/**
 * Not all taps of an area fire at every time step, so the steps' orders are merged: a name that is new in a step goes
 * before the next one that is known.
 */
function inAreaOrder(taps: readonly Tap[]): string[] {
  const order: string[] = [];
  for (const step of new Set(taps.map(({ timeStep }) => timeStep))) {
    let next = order.length;
    for (const { name } of taps.filter(({ timeStep }) => timeStep === step).reverse()) {
      const known = order.indexOf(name);
      if (known === -1) order.splice(next, 0, name);
      else next = known;
    }
  }
  return order;
}

/** @throws CornetError OPTION_INVALID when nothing says which model it is; as `chooseNetwork` */
export async function printLayers({ weights, json, ...asked }: LayersOptions): Promise<void> {
  if (weights === undefined && asked.model === undefined) {
    const hint = 'Use --model Z, R, RT or S, or --weights with a run.';
    throw new CornetError('OPTION_INVALID', 'No model is named.', { hint });
  }
  const network = await chooseNetwork({ ...asked, weights: weights ?? 'untrained' });
  for (const warning of network.warnings) say(`warning: ${warning}`);
  const { model, custom, times, imageSize, head } = network;
  const rows = layerRows({ model, custom, times, head: head ?? imageNetClasses }, imageSize);
  if (json) {
    process.stdout.write(`${JSON.stringify(rows, null, 2)}\n`);
    return;
  }
  const cells = rows.map(
    ({ name, shape, timeSteps }) => [name, shape.join(' × '), ranges(timeSteps)] as const,
  );
  const table = [['tap', 'shape per image', 'time steps'] as const, ...cells];
  const widths = [0, 1].map((column) => Math.max(...table.map((row) => row[column]!.length)));
  for (const [name, shape, steps] of table) {
    process.stdout.write(`${name.padEnd(widths[0]!)}  ${shape.padEnd(widths[1]!)}  ${steps}\n`);
  }
}

/** `0–4`, `0, 2–3`, or `-` outside of time. */
function ranges(steps: readonly number[] | null): string {
  if (steps === null) return '-';
  const runs: { first: number; last: number }[] = [];
  for (const step of steps) {
    const run = runs.at(-1);
    if (run?.last === step - 1) run.last = step;
    else runs.push({ first: step, last: step });
  }
  return runs.map(({ first, last }) => (first === last ? `${first}` : `${first}–${last}`)).join(', ');
}
