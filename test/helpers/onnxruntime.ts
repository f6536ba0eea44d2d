/** ONNX Runtime, which is no dependency of the project: `deploy/setup.sh --tests` installs it. */
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { resolve } from 'node:path';
import type { ExecutionContext } from 'ava';

const manifest = resolve('test/onnxruntime/package.json');

/** Whether it is there, with the reason where it is not. */
export const onnxRuntime = {
  there: existsSync(resolve('test/onnxruntime/node_modules/onnxruntime-node')),
  missing: 'ONNX Runtime is not installed (deploy/setup.sh --tests does it)',
};

export interface RunTensor {
  readonly data: Float32Array;
  readonly dims: readonly number[];
}

/** As much of its API as tests need (https://onnxruntime.ai/docs/api/js/). */
interface Runtime {
  readonly InferenceSession: {
    create(path: string, options: object): Promise<RunSession>;
  };
  readonly Tensor: new (type: 'float32', data: Float32Array, dims: readonly number[]) => RunTensor;
}

interface RunSession {
  readonly inputNames: readonly string[];
  readonly outputNames: readonly string[];
  run(feeds: Readonly<Record<string, RunTensor>>): Promise<Record<string, RunTensor>>;
  release(): Promise<void>;
}

export interface OpenGraph {
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  /** @param images normalised, [n, 3, size, size] */
  run(images: Float32Array, size: number): Promise<Record<string, RunTensor>>;
}

/** Opens a graph on the CPU until the test ends. */
export async function openGraph(t: ExecutionContext, path: string, threads: number): Promise<OpenGraph> {
  const runtime = createRequire(manifest)('onnxruntime-node') as Runtime;
  const options = { intraOpNumThreads: threads, executionProviders: ['cpu'] };
  const session = await runtime.InferenceSession.create(path, options);
  t.teardown(() => session.release());
  return {
    inputs: session.inputNames,
    outputs: session.outputNames,
    run: (images, size) => {
      const dims = [images.length / (3 * size * size), 3, size, size];
      return session.run({ images: new runtime.Tensor('float32', images, dims) });
    },
  };
}
