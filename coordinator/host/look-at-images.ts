/** `worker look-at-images` as a process of its own: images are the worker's. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { availableParallelism } from 'node:os';
import { buffer, text } from 'node:stream/consumers';
import type { DataChoice } from '../../shared/data/data-choice.ts';
import type { SplitName } from '../../shared/data/dataset-index.ts';
import { type ImageFacts, imageFacts } from '../../shared/data/image-facts.ts';
import { exitCodes } from '../../shared/errors.ts';
import { calledAs } from '../../shared/process/own-command.ts';
import { workerEnvironment } from '../../shared/process/worker-environment.ts';
import type { Augmentation } from '../../shared/run-config.ts';
import { workerScript } from './worker-command.ts';

export interface ImagesToLookAt {
  /** The data folder. */
  readonly root: string;
  readonly choice: DataChoice;
  readonly splits: readonly SplitName[];
  readonly decodeThreads: number;
  /** How many images are decoded for their sizes. */
  readonly sample: number;
  readonly duplicates: boolean;
  /** Side in pixels of the images of a contact sheet; null: there is none. */
  readonly sheetOf: number | null;
  readonly augmentation: Augmentation;
}

export interface LookedAt {
  readonly facts: ImageFacts;
  /** The contact sheet, as a PNG file. */
  readonly sheet: Buffer | null;
}

export interface Looking {
  readonly pid: number | undefined;
  /** `answer` is null where the command has failed; `said` is what it wrote to a piped standard error. */
  readonly ended: Promise<{
    answer: LookedAt | null;
    code: number | null;
    signal: NodeJS.Signals | null;
    said: string;
  }>;
  kill(): void;
}

export function startLooking(images: ImagesToLookAt, stderr: 'inherit' | 'pipe'): Looking {
  const { root, choice, splits, decodeThreads, sample, duplicates, sheetOf, augmentation } = images;
  const argv = [
    'look-at-images',
    ...['--data-path', root],
    ...['--choice', JSON.stringify(choice)],
    ...['--workers', String(decodeThreads)],
    ...['--sample', String(sample)],
    ...(duplicates ? ['--duplicates'] : []),
    ...(sheetOf === null ? [] : ['--sheet-of', String(sheetOf)]),
    ...['--augmentation', JSON.stringify(augmentation)],
    ...['--splits', ...splits],
  ];
  const cores = availableParallelism();
  const child = spawn(process.execPath, [workerScript, ...argv], {
    stdio: ['ignore', 'pipe', stderr, 'ipc'], // its end tells the worker command that this process is gone
    env: { ...workerEnvironment(process.env, { threads: 1, workers: 1, cores, decodeThreads }), ...calledAs },
  });
  const ended = Promise.all([
    buffer(child.stdout!),
    child.stderr === null ? '' : text(child.stderr),
    once(child, 'exit') as Promise<[number | null, NodeJS.Signals | null]>,
  ]).then(([bytes, said, [code, signal]]) => ({
    answer: code === exitCodes.complete ? read(bytes) : null,
    code,
    signal,
    said,
  }));
  return { pid: child.pid, ended, kill: () => void child.kill('SIGKILL') };
}

/** A line of JSON, and the bytes of the contact sheet behind it. */
function read(bytes: Buffer): LookedAt {
  const end = bytes.indexOf('\n') + 1;
  const facts = imageFacts.parse(JSON.parse(bytes.toString('utf8', 0, end)));
  return { facts, sheet: facts.contactSheet === null ? null : bytes.subarray(end) };
}
