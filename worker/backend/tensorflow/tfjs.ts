/** TensorFlow.js as the backend sees it: where the package is found, and the little of it that is used. */
import { existsSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { isMainThread } from 'node:worker_threads';
import { CornetError } from '../../../shared/errors.ts';
import { setUpCaches } from '../../../shared/process/addon-file.ts';
import { tensorflowEnvironment } from '../../../shared/process/worker-environment.ts';

/** A tensor of TensorFlow.js: never changes, and lives until it is disposed of. Shape and order are TensorFlow's. */
export interface Native {
  readonly shape: readonly number[];
  dataSync(): Float32Array | Int32Array | Uint8Array;
  dispose(): void;
}

/** The types of TensorFlow, and of the attributes of its operations, by their numbers in its C API. */
interface Codes {
  readonly TF_FLOAT: number;
  readonly TF_UINT8: number;
  readonly TF_ATTR_STRING: number;
  readonly TF_ATTR_INT: number;
  readonly TF_ATTR_FLOAT: number;
  readonly TF_ATTR_BOOL: number;
  readonly TF_ATTR_TYPE: number;
}

export interface OpAttribute {
  readonly name: string;
  readonly type: number;
  readonly value: string | number | boolean | readonly number[];
}

/** `NodeJSKernelBackend` of @tensorflow/tfjs-node-gpu. */
export interface NodeBackend {
  readonly binding: Codes & { readonly TF_Version: string; isUsingGpuDevice(): boolean };
  /** Runs any operation that TensorFlow has; types of inputs need no attribute. */
  executeMultipleOutputs(
    name: string,
    attributes: readonly OpAttribute[],
    inputs: readonly Native[],
    outputs: number,
  ): Native[];
}

/** The package's exports. */
export interface Tfjs {
  backend(): NodeBackend;
  tensor(
    values: Float32Array | Int32Array | readonly Uint8Array[],
    shape: readonly number[],
    dtype: string,
  ): Native;
  memory(): { readonly numTensors: number; readonly numBytes: number };
  keep(tensor: Native): Native;
  tidy<R>(body: () => R): R;
}

const packageName = '@tensorflow/tfjs-node-gpu';
const hint = 'Run `coordinator setup --backend tensorflow`, which fetches TensorFlow and builds the addon.';

let loaded: { readonly tfjs: Tfjs; readonly threads: number } | null = null;

/**
 * Loads TensorFlow, once per process: its pool of threads cannot be changed afterwards.
 * @throws CornetError BACKEND_UNAVAILABLE saying what was looked for
 */
export function loadTfjs(threads: number): Tfjs {
  if (loaded !== null) {
    if (loaded.threads === threads) return loaded.tfjs;
    const message = `TensorFlow computes with ${loaded.threads} threads in this process, and not with ${threads}, too.`;
    throw new CornetError('BACKEND_UNAVAILABLE', message, { hint: 'Use another process.' });
  }
  // A worker process is started with these; other programs are given them here, before the library reads them.
  if (isMainThread) Object.assign(process.env, tensorflowEnvironment(threads));
  const folder = tensorflowFolder();
  try {
    const tfjs: Tfjs = createRequire(join(folder, 'package.json'))(packageName);
    loaded = { tfjs, threads };
    return tfjs;
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new CornetError(
      'BACKEND_UNAVAILABLE',
      `The tensorflow backend cannot be loaded from ${folder}: ${reason}`,
      { hint, cause },
    );
  }
}

/** The first bytes of the SHA-256 (hex) of the library: two builds of one version do not compute the same bits. */
export function libraryFingerprint(): string {
  const current = readFileSync(join(tensorflowFolder(), 'addon', 'current'), 'utf8');
  return current.split('-')[0]!;
}

/** Where set-up has put the package; null: it was not asked to. */
export function findTfjs(): string | null {
  return folders().find((folder) => existsSync(join(folder, 'addon', 'current'))) ?? null;
}

function tensorflowFolder(): string {
  const found = findTfjs();
  if (found !== null) return found;
  throw new CornetError(
    'BACKEND_UNAVAILABLE',
    `The tensorflow backend has not been set up: there is no addon in ${folders().join(' or ')}.`,
    { hint },
  );
}

const folders = (): string[] => setUpCaches().map((cache) => join(cache, 'tensorflow'));
