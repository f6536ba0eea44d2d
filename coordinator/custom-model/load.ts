/**
 * `--model my-model.ts`: lets the file say what its model does. It runs in a process of its own, once, here: what it does
 * is recorded, and everybody else gets that.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { stat } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { text } from 'node:stream/consumers';
import { pathToFileURL } from 'node:url';
import { timeouts } from '../../shared/defaults.ts';
import { CornetError } from '../../shared/errors.ts';
import { networkOf } from '../../shared/models/family.ts';
import { type ModelGraph, modelGraph } from '../../shared/models/graph.ts';
import { isPublished } from '../../shared/models/model.ts';
import type { Recorded } from '../../shared/models/record.ts';
import { traceModel } from '../../shared/models/trace.ts';
import { packageRoot } from '../../shared/process/package-root.ts';
import { quoteName } from '../../shared/util/printable.ts';

const script = join(packageRoot, 'dist', 'coordinator', 'custom-model', 'record-process.js');

/** What the process answers: the recording, or why there is none. */
export type Answer = { recorded: Recorded } | { why: string; hint?: string };

/** Options with what the file of a custom model says, if `model` is one. */
export interface WithOwnModel {
  readonly model?: string | undefined;
  readonly own?: Recorded | undefined;
}

/**
 * The same options, with the model's name in the place of its file.
 * @param times time steps to unroll it for
 * @throws CornetError MODEL_INVALID, OPTION_INVALID
 */
export async function withOwnModel<O extends WithOwnModel>(options: O, times: number): Promise<O> {
  const { model, own } = options;
  if (model === undefined) return options;
  if (isPublished(model)) return own === undefined ? options : { ...options, own: undefined };
  if (own?.name === model) {
    refuseOtherTimes(own.name, own.graph, times);
    return options;
  }
  const recorded = await loadModel(model, times);
  return { ...options, model: recorded.name, own: recorded };
}

/** @throws CornetError OPTION_INVALID: a custom model was unrolled when its file was read */
export function refuseOtherTimes(name: string, graph: ModelGraph, times: number): void {
  if (graph.times === times) return;
  throw new CornetError(
    'OPTION_INVALID',
    `CORnet-${name} is unrolled for ${graph.times} time steps, not for ${times}.`,
    { hint: 'Give the file of the model, too: --model; or omit --times.' },
  );
}

async function loadModel(path: string, times: number): Promise<Recorded> {
  const file = resolve(path);
  const found = await stat(file).catch(() => null);
  if (found?.isFile() !== true) {
    throw new CornetError('MODEL_INVALID', `There is no file ${quoteName(path)} that defines a model.`, {
      hint: 'Use --model Z, R, RT or S, or the path of a file of your own (docs/custom-models.md).',
    });
  }
  const answer = await ask(file, times);
  if ('why' in answer) {
    const more = answer.hint === undefined ? {} : { hint: answer.hint };
    throw new CornetError(
      'MODEL_INVALID',
      `The model in ${quoteName(path)} cannot be used: ${answer.why}`,
      more,
    );
  }
  return checked(answer.recorded, path);
}

/** Runs the file and waits for what it says. */
async function ask(file: string, times: number): Promise<Answer> {
  const child = spawn(process.execPath, [script, pathToFileURL(file).href, String(times)], {
    stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
  });
  const said = text(child.stderr!);
  const late = setTimeout(() => child.kill('SIGKILL'), timeouts.customModel);
  let answer: Answer | null = null;
  child.on('message', (message: Answer) => {
    answer = message;
  });
  const [code, signal] = (await once(child, 'close')) as [number | null, NodeJS.Signals | null];
  clearTimeout(late);
  if (answer !== null) return answer;
  if (signal === 'SIGKILL')
    return { why: `it has not said within ${timeouts.customModel / 1000} s what it does.` };
  const words = (await said).trim().split('\n').at(-1) ?? '';
  return { why: words === '' ? `its process ended with ${signal ?? code}.` : `its process ended: ${words}` };
}

/** Whatever the process answers, no graph leaves here that no model has. */
function checked(recorded: Recorded, path: string): Recorded {
  const refuse = (why: string) =>
    new CornetError('MODEL_INVALID', `The model in ${quoteName(path)} cannot be used: ${why}`);
  const { success, data: graph, error } = modelGraph.safeParse(recorded.graph);
  if (!success) {
    const [issue] = error.issues;
    throw refuse(`${[...(issue?.path ?? []), issue?.message].join(': ')}.`);
  }
  const { seesImage } = traceModel(
    networkOf({ model: recorded.name, custom: graph, times: graph.times, head: 2 }),
    traced.batch,
    traced.imageSize,
  );
  if (!seesImage) throw refuse(`with ${graph.times} time steps no image reaches its decoder.`);
  return { ...recorded, graph };
}

/** Of the traced pass: large enough for every reasonable model. */
const traced = { batch: 2, imageSize: 224 };
