/**
 * A model as data: what the file of a custom model does, recorded once and unrolled over its time steps (`record.ts`). A
 * run's configuration holds it, so workers need no file, run no code of it, and have the same model.
 */
import { createHash } from 'node:crypto';
import { z } from 'zod';
import { canonicalJson } from '../util/canonical-json.ts';
import { batchNorm, conv2d, groupNorm, type Layer, linear, stateEntries } from './layers.ts';
import type { Model } from './model.ts';
import type { Tensor } from './ops.ts';
import type { Pass } from './pass.ts';

const layerName = z
  .string()
  .max(80)
  .regex(/^[A-Za-z]\w*(\.\w+)+$/);
const channels = z
  .int()
  .min(1)
  .max(1 << 16);
const init = z.enum(['pytorch', 'xavier', 'he']);

const layer = z.discriminatedUnion('kind', [
  z.strictObject({
    kind: z.literal('conv2d'),
    name: layerName,
    inChannels: channels,
    outChannels: channels,
    kernel: z.int().min(1).max(99),
    stride: z.int().min(1).max(99),
    bias: z.boolean(),
    init,
  }),
  z.strictObject({ kind: z.literal('batchNorm'), name: layerName, channels }),
  z.strictObject({ kind: z.literal('groupNorm'), name: layerName, channels, groups: channels }),
]);

/** A value: 0 is the images, n the result of node n - 1. */
const value = z.int().min(0);
const place = z.int().min(0);
/** The model's time step; null outside of time. */
const t = z.int().min(0).nullable();

const node = z.discriminatedUnion('op', [
  z.strictObject({ op: z.literal('conv2d'), t, layer: place, x: value, stride: z.int().min(1).max(99) }),
  z.strictObject({ op: z.literal('batchNorm'), t, layer: place, x: value }),
  z.strictObject({ op: z.literal('groupNorm'), t, layer: place, x: value }),
  z.strictObject({ op: z.literal('groupNormRelu'), t, layer: place, x: value, name: layerName }),
  z.strictObject({ op: z.literal('relu'), t, x: value, name: layerName }),
  z.strictObject({ op: z.literal('maxPool'), t, x: value, name: layerName }),
  z.strictObject({ op: z.literal('reluMaxPool'), t, x: value, name: layerName, pool: layerName }),
  z.strictObject({ op: z.literal('add'), t, x: value, y: value }),
  /** As large as the images would be after convolutions with these strides. */
  z.strictObject({ op: z.literal('zeros'), t, channels, stride: z.int().min(1) }),
  /** Shows a value; makes none of its own, but keeps the count. */
  z.strictObject({ op: z.literal('tap'), t, x: value, name: layerName }),
]);
export type GraphNode = z.infer<typeof node>;

export const modelGraph = z
  .strictObject({
    /** Time steps that it is unrolled for. */
    times: z.int().min(1),
    /** In the order of the state dict; the decoder comes last. */
    layers: z.array(layer).max(10_000),
    nodes: z.array(node).max(100_000),
    /** What the decoder reads. */
    output: value,
    decoder: z.strictObject({ inFeatures: channels, init }),
  })
  .check(({ value, issues }) => {
    const fault = faultIn(value);
    if (fault !== null) issues.push({ code: 'custom', input: value, message: fault });
  })
  .readonly();
export type ModelGraph = z.infer<typeof modelGraph>;

/** By which two definitions are told apart: eight digits of a SHA-256. */
export function digestOf(graph: ModelGraph): string {
  return createHash('sha256').update(canonicalJson(graph)).digest('hex').slice(0, 8);
}

/** Operations whose input serves no other one: its memory does. */
const usesUp: ReadonlySet<GraphNode['op']> = new Set([
  'batchNorm',
  'groupNorm',
  'groupNormRelu',
  'relu',
  'reluMaxPool',
]);

/** The values that a node reads. */
export function operandsOf(node: GraphNode): number[] {
  if (node.op === 'zeros') return [];
  return node.op === 'add' ? [node.x, node.y] : [node.x];
}

/** The first thing in a graph that no model can have, and that `record.ts` has not made; null: it is whole. */
function faultIn({
  layers,
  nodes,
  output,
}: {
  layers: readonly unknown[];
  nodes: readonly GraphNode[];
  output: number;
}): string | null {
  const used = new Set<number>();
  for (const [i, node] of nodes.entries()) {
    if ('layer' in node && layers[node.layer] === undefined)
      return `node ${i} names a layer that is not there`;
    for (const x of operandsOf(node)) {
      if (x > i || (x > 0 && nodes[x - 1]!.op === 'tap')) return `node ${i} reads a value that is not there`;
      if (used.has(x)) return `node ${i} reads a value that is used up`;
    }
    if (usesUp.has(node.op)) used.add((node as { x: number }).x);
  }
  if (output > nodes.length || used.has(output) || nodes[output - 1]?.op === 'tap') return 'it has no output';
  return null;
}

/**
 * @param name what the model calls itself
 * @param head outputs of the decoder
 */
export function graphModel(
  name: string,
  { layers, nodes, output, decoder }: ModelGraph,
  head: number,
): Model {
  const made = layers.map(layerOf);
  const last = linear('decoder.linear', decoder.inFeatures, head, decoder.init);
  const all = stretchesOf(nodes, output, () => true);
  const needed = neededOf(nodes, output);
  const unobserved = stretchesOf(nodes, output, (i) => needed.has(i));
  /** @param imagesAt what is to be seen at a time step; null: outside of time */
  function replay<T extends Tensor>(pass: Pass<T>, imagesAt: (t: number | null) => T): T {
    return pass.ops.scope(() => {
      const values = new Map<number, T>();
      for (const stretch of pass.observed ? all : unobserved) {
        values.set(0, imagesAt(stretch.t));
        const compute = () => {
          for (const i of stretch.nodes) run(pass, made, nodes[i]!, i + 1, values);
          return stretch.kept.map((value) => values.get(value)!);
        };
        const { t, kept } = stretch;
        const left = t === null ? pass.ops.scope(compute) : pass.at(t, compute);
        for (const [i, value] of kept.entries()) values.set(value, left[i]!);
      }
      return pass.decoder(last, values.get(output)!);
    });
  }
  return {
    name,
    entries: [...made, last].flatMap(stateEntries),
    norms: made.filter(({ kind }) => kind === 'batchNorm').map((norm) => norm.name),
    forward: (pass, images) => replay(pass, () => images),
    ...(seesInTime(nodes) ? { forwardFrames: (pass, frames) => replay(pass, (t) => frames[t ?? 0]!) } : {}),
  };
}

/** Whether each look at the images is at a time step: then they may change. */
function seesInTime(nodes: readonly GraphNode[]): boolean {
  return nodes.every((node) => node.t !== null || !operandsOf(node).includes(0));
}

/** What is computed where nobody looks at what is in between: what the output needs, and all that has statistics. */
function neededOf(nodes: readonly GraphNode[], output: number): ReadonlySet<number> {
  const values = new Set([output]);
  const needed = new Set<number>();
  for (let i = nodes.length - 1; i >= 0; i--) {
    const node = nodes[i]!;
    if (!values.has(i + 1) && node.op !== 'batchNorm') continue;
    needed.add(i);
    for (const x of operandsOf(node)) values.add(x);
  }
  return needed;
}

/** Nodes of one time step that follow each other: what no later one reads is given back behind them. */
interface Stretch {
  readonly t: number | null;
  readonly nodes: readonly number[];
  /** The values made in it that are read later. */
  readonly kept: readonly number[];
}

function stretchesOf(
  nodes: readonly GraphNode[],
  output: number,
  isWanted: (node: number) => boolean,
): Stretch[] {
  const lastRead = new Map([[output, nodes.length]]);
  for (const [i, node] of nodes.entries()) {
    if (isWanted(i)) for (const x of operandsOf(node)) lastRead.set(x, Math.max(i, lastRead.get(x) ?? 0));
  }
  const stretches: { t: number | null; nodes: number[]; kept: number[] }[] = [];
  for (const [i, { t }] of nodes.entries()) {
    if (!isWanted(i)) continue;
    if (stretches.length === 0 || stretches.at(-1)!.t !== t) stretches.push({ t, nodes: [], kept: [] });
    stretches.at(-1)!.nodes.push(i);
  }
  for (const stretch of stretches) {
    const end = stretch.nodes.at(-1)!;
    stretch.kept = stretch.nodes.map((i) => i + 1).filter((value) => (lastRead.get(value) ?? -1) > end);
  }
  return stretches;
}

function run<T extends Tensor>(
  pass: Pass<T>,
  layers: readonly Layer[],
  node: GraphNode,
  value: number,
  values: Map<number, T>,
): void {
  const at = (x: number): T => values.get(x)!;
  const of = <K extends Layer['kind']>(i: number) => layers[i] as Layer & { kind: K };
  switch (node.op) {
    case 'conv2d':
      values.set(value, pass.conv2d(of<'conv2d'>(node.layer), at(node.x), node.stride));
      return;
    case 'batchNorm':
      values.set(value, pass.batchNorm(of<'batchNorm'>(node.layer), at(node.x)));
      return;
    case 'groupNorm':
      values.set(value, pass.groupNorm(of<'groupNorm'>(node.layer), at(node.x)));
      return;
    case 'groupNormRelu':
      values.set(value, pass.groupNormRelu(of<'groupNorm'>(node.layer), node.name, at(node.x)));
      return;
    case 'relu':
      values.set(value, pass.relu(node.name, at(node.x)));
      return;
    case 'maxPool':
      values.set(value, pass.maxPool(node.name, at(node.x)));
      return;
    case 'reluMaxPool':
      values.set(value, pass.reluMaxPool(node.name, node.pool, at(node.x)));
      return;
    case 'add':
      values.set(value, pass.ops.add(at(node.x), at(node.y)));
      return;
    case 'zeros': {
      const [n = 0, , height = 0, width = 0] = at(0).shape;
      const size = [height, width].map((length) => Math.ceil(length / node.stride));
      values.set(value, pass.ops.zeros([n, node.channels, ...size]));
      return;
    }
    case 'tap':
      pass.tap(node.name, at(node.x));
  }
}

function layerOf(data: ModelGraph['layers'][number]): Layer {
  switch (data.kind) {
    case 'conv2d':
      return conv2d(data.name, data.inChannels, data.outChannels, data.kernel, data);
    case 'batchNorm':
      return batchNorm(data.name, data.channels);
    case 'groupNorm':
      return groupNorm(data.name, data.channels, data.groups);
  }
}
