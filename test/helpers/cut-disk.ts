/**
 * A disk in a model: what a power cut may leave of recorded operations. Of a file, all that was synced, and of what was
 * written since nothing, all, a part, or zeros; of a folder, all names of its last sync, and of the changes since (a new
 * file, a rename, a link, a deletion) any (POSIX promises no more). A rename is whole or not at all.
 */
import { createHash } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { basename, dirname, join, relative } from 'node:path';
import type { Draws } from '../../shared/random.ts';
import type { DiskOperation } from './disk-recorder.ts';

type Change =
  | { type: 'add'; name: string; node: Node }
  | { type: 'rename'; from: string; to: string; node: Node }
  | { type: 'remove'; name: string };

class Folder {
  readonly durable = new Map<string, Node>();
  pending: Change[] = [];

  names(survives: () => boolean): Map<string, Node> {
    const names = new Map(this.durable);
    for (const change of this.pending) if (survives()) apply(names, change);
    return names;
  }

  sync(): void {
    for (const change of this.pending) apply(this.durable, change);
    this.pending = [];
  }
}

function apply(names: Map<string, Node>, change: Change): void {
  if (change.type === 'remove') names.delete(change.name);
  else if (change.type === 'add') names.set(change.name, change.node);
  else {
    if (names.get(change.from) === change.node) names.delete(change.from);
    names.set(change.to, change.node);
  }
}

class File {
  durable = Buffer.alloc(0);
  now = Buffer.alloc(0);

  sync(): void {
    this.durable = this.now;
  }
}

type Node = Folder | File;

/** How a power cut treats what was not synced. */
export type Cut = 'everything' | 'nothing' | Draws;

/** Content by path; null: a folder. */
export type Tree = Map<string, Buffer | null>;

export class CutDisk {
  readonly #top: string;
  readonly #root = new Folder();
  readonly #handles = new Map<number, Node>();

  /** @param top the folder that the paths of the record begin with; it survives */
  constructor(top: string) {
    this.#top = top;
  }

  apply(operation: DiskOperation): void {
    switch (operation.type) {
      case 'open': {
        const { path, handle, isNew } = operation;
        if (isNew) this.#add(path, new File());
        this.#handles.set(handle, this.#find(path));
        return;
      }
      case 'write': {
        const file = this.#handles.get(operation.handle) as File;
        const bytes = Buffer.from(operation.bytes, 'base64');
        file.now = Buffer.concat([file.now.subarray(0, operation.at), bytes]);
        return;
      }
      case 'truncate': {
        const file = this.#handles.get(operation.handle) as File;
        file.now = file.now.subarray(0, operation.length);
        return;
      }
      case 'sync':
        return this.#handles.get(operation.handle)!.sync();
      case 'mkdir':
        return this.#add(operation.path, new Folder());
      case 'link':
        return this.#add(operation.to, this.#find(operation.from));
      case 'rename': {
        const { from, to } = operation;
        const node = this.#find(from);
        this.#folderOf(to).pending.push({ type: 'rename', from: basename(from), to: basename(to), node });
        return;
      }
      case 'unlink':
        this.#folderOf(operation.path).pending.push({ type: 'remove', name: basename(operation.path) });
    }
  }

  /** What is found after a power cut now. */
  after(cut: Cut): Tree {
    const tree: Tree = new Map();
    const visit = (folder: Folder, path: string): void => {
      const survives = () => (typeof cut === 'string' ? cut === 'everything' : cut.uniform() < 0.5);
      for (const [name, node] of folder.names(survives)) {
        tree.set(join(path, name), node instanceof Folder ? null : contentAfter(node, cut));
        if (node instanceof Folder) visit(node, join(path, name));
      }
    };
    visit(this.#root, '');
    return tree;
  }

  #find(path: string): Node {
    const parts = relative(this.#top, path).split('/').filter(Boolean);
    return parts.reduce<Node>((node, name) => {
      const found = (node as Folder).names(() => true).get(name);
      if (found === undefined) throw new Error(`nothing recorded made ${path}`);
      return found;
    }, this.#root);
  }

  #folderOf(path: string): Folder {
    return this.#find(dirname(path)) as Folder;
  }

  #add(path: string, node: Node): void {
    this.#folderOf(path).pending.push({ type: 'add', name: basename(path), node });
  }
}

function contentAfter({ durable, now }: File, cut: Cut): Buffer {
  if (cut === 'everything') return now;
  if (cut === 'nothing' || now === durable) return durable;
  const [kept, length] = [Math.min(durable.length, now.length), now.length];
  const end = kept + cut.integer(length - kept + 1);
  const torn = now.subarray(0, end);
  const zeros = Buffer.alloc(length - kept);
  switch (cut.integer(5)) {
    case 0:
      return durable;
    case 1:
      return torn;
    case 2:
      return Buffer.concat([torn, Buffer.alloc(length - end)]);
    case 3: // the length alone
      return Buffer.concat([now.subarray(0, kept), zeros]);
    default: // the end, and not what is before it
      return Buffer.concat([now.subarray(0, kept), zeros.subarray(0, end - kept), now.subarray(end)]);
  }
}

export function fingerprintOf(tree: Tree): string {
  const hash = createHash('sha256');
  for (const [path, content] of [...tree].sort(([a], [b]) => (a < b ? -1 : 1))) {
    hash.update(`${path}\0${content?.length ?? 'folder'}\0`).update(content ?? '');
  }
  return hash.digest('hex');
}

export function writeTree(tree: Tree, folder: string): void {
  mkdirSync(folder, { recursive: true });
  for (const [path, content] of tree) {
    if (content === null) mkdirSync(join(folder, path));
    else writeFileSync(join(folder, path), content);
  }
}
