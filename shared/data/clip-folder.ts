/** The clips of a plain folder: each of its subfolders is one, and the images in it are its frames. */
import assert from 'node:assert/strict';
import { basename, dirname, join, resolve } from 'node:path';
import { CornetError } from '../errors.ts';
import type { ProgressOutput } from '../process/progress-line.ts';
import { compareCodePoints } from '../util/code-points.ts';
import { quoteName } from '../util/printable.ts';

import type { FileList } from './file-list.ts';
import { type IgnoredFiles, Ignoring, listEntries, withSizes } from './image-folder.ts';
import { type IndexProgress, withProgress } from './index-progress.ts';
import { refuseForeignNames } from './listing.ts';

export interface ClipFolder {
  /** Absolute path. */
  readonly root: string;
  /** The frames that are used: of each clip the first `times`, one clip after the other. */
  readonly files: FileList;
  readonly clips: Clips;
  /** SHA-256 (hex) over the names and sizes of these frames. */
  readonly fingerprint: string;
  /** Files that are no images by their extension. */
  readonly others: IgnoredFiles;
  /** Images that lie beside the clips. */
  readonly loose: IgnoredFiles;
  /** Clips with frames that are not used. */
  readonly longer: readonly Clip[];
}

interface Clip {
  readonly name: string;
  /** How many it has. */
  readonly frames: number;
}

/** The clips by their position, with the frames of each that are used. */
export class Clips {
  readonly #frames: FileList;
  readonly #times: number;

  /** @param frames `times` of each clip, one clip after the other */
  constructor(frames: FileList, times: number) {
    assert.equal(frames.size % times, 0, 'a clip has a frame for each time step');
    this.#frames = frames;
    this.#times = times;
  }

  get size(): number {
    return this.#frames.size / this.#times;
  }

  /** The name of the clip's folder. */
  path(clip: number): string {
    return dirname(this.#frames.path(clip * this.#times));
  }

  /** Names of the files, in the order of the time steps. */
  frames(clip: number): string[] {
    return Array.from({ length: this.#times }, (_, t) => basename(this.#frames.path(clip * this.#times + t)));
  }
}

/**
 * Lists the clips of a folder. Both they and the frames of each come in the order in which Python's `sorted` puts their
 * names; names that begin with a dot are left out, and links to folders are followed.
 * @param times frames that are used of each clip
 * @param output says how far it is, if that takes long
 * @throws CornetError DATA_MISSING, DATA_INVALID, naming the folder, the clip or the file
 */
export function listClipFolder(root: string, times: number, output?: ProgressOutput): Promise<ClipFolder> {
  const absolute = resolve(root);
  return withProgress(absolute, output, (progress) => listClips(absolute, times, progress));
}

async function listClips(
  root: string,
  times: number,
  progress: IndexProgress | undefined,
): Promise<ClipFolder> {
  const top = await listEntries(root);
  if (top.folders.length === 0) throw noClips(root);
  await refuseForeignNames(root, top.folders);
  const [others, loose] = [new Ignoring(top.others), new Ignoring(top.images)];
  const clips: Clip[] = [];
  const names: string[] = [];
  for (const name of top.folders.sort(compareCodePoints)) {
    const entries = await listEntries(join(root, name));
    for (const other of entries.others) others.add(`${name}/${other}`);
    if (entries.images.length === 0) throw emptyClip(join(root, name), entries);
    await refuseForeignNames(join(root, name), entries.images);
    clips.push({ name, frames: entries.images.length });
    const used = entries.images.sort(compareCodePoints).slice(0, times);
    for (const frame of used) names.push(`${name}/${frame}`);
  }
  refuseShort(root, clips, times);
  const { files, fingerprint } = await withSizes(root, names, progress);
  return {
    root,
    files,
    clips: new Clips(files, times),
    fingerprint,
    others: others.told,
    loose: loose.told,
    longer: clips.filter(({ frames }) => frames > times),
  };
}

function noClips(root: string): CornetError {
  return new CornetError(
    'DATA_MISSING',
    `The folder ${quoteName(root)} holds no clips: it has no subfolders.`,
    {
      hint: 'With --frames each folder in --data-path is a clip, and the images in it are its frames. For features of single images omit --frames.',
    },
  );
}

function emptyClip(
  clip: string,
  { folders, others }: { folders: readonly string[]; others: readonly string[] },
): CornetError {
  const seen = others.length === 0 ? '' : ', only files without an image extension';
  return new CornetError('DATA_INVALID', `The clip ${quoteName(clip)} holds no images${seen}.`, {
    hint:
      folders.length === 0
        ? 'Each folder in --data-path is a clip: fill it with frames, or move it away.'
        : 'It has subfolders: give --data-path the folder in which the clips are.',
  });
}

/** A network sees a frame at each of its time steps. */
function refuseShort(root: string, clips: readonly Clip[], times: number): void {
  const short = clips.filter(({ frames }) => frames < times);
  const [first] = short;
  if (first === undefined) return;
  const others = short.length === 1 ? '' : ` (and ${short.length - 1} more have too few)`;
  const fewest = Math.min(...short.map(({ frames }) => frames));
  const [has, steps] = [first.frames === 1 ? '1 frame' : `${first.frames} frames`, `${times} time steps`];
  throw new CornetError(
    'DATA_INVALID',
    `The clip ${quoteName(join(root, first.name))} has ${has}, and the network sees one at each of its ${steps}${others}.`,
    { hint: `Give --times ${fewest} to compute as many steps as every clip has frames, or add frames.` },
  );
}
