/** What a file is that was named as weights and holds none: recognised by its content, with what to do about it. */
import type { FileHandle } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { CornetError } from '../../shared/errors.ts';

/** A file that is of another kind. */
export class WrongKind extends Error {
  override readonly name = 'WrongKind';
  /** What to do. */
  readonly hint: string;

  /** @param what ends a sentence that begins with the file's name: `it is a web page` */
  constructor(what: string, hint: string) {
    super(what);
    this.hint = hint;
  }

  /** The user's error. */
  asError(path: string): CornetError {
    return new CornetError('WEIGHTS_INVALID', `${path} holds no weights: ${this.message}.`, {
      hint: this.hint,
      cause: this,
    });
  }
}

/** Bytes of a file's beginning that are looked at: tar has its magic at 257, web pages and errors say early what they are. */
const looked = 4096;
const again = 'Download it again, and look at what arrives: it should be as large as its page says.';

/** By first bytes: what it is, and what to do (`FILE` stands for the path). */
const magics: readonly [bytes: string, what: string, hint: string][] = [
  ['1f8b', 'it is compressed with gzip', 'Unpack it: gunzip < FILE > weights.pth'],
  ['425a68', 'it is compressed with bzip2', 'Unpack it: bunzip2 < FILE > weights.pth'],
  ['fd377a585a00', 'it is compressed with xz', 'Unpack it: unxz < FILE > weights.pth'],
  ['28b52ffd', 'it is compressed with Zstandard', 'Unpack it: zstd -d < FILE > weights.pth'],
  ['04224d18', 'it is compressed with LZ4', 'Unpack it: lz4 -d FILE weights.pth'],
  ['377abcaf271c', 'it is a 7z archive', 'Unpack it: 7z x FILE, and name the file inside.'],
  ['526172211a07', 'it is a RAR archive', 'Unpack it: unrar x FILE, and name the file inside.'],
  ['504b0506', 'it is an empty ZIP archive', again],
  [
    '894844460d0a1a0a',
    'it is an HDF5 file, as Keras and TensorFlow write',
    'Give the file that torch.save wrote of the model.',
  ],
  ['934e554d5059', 'it is an array of NumPy (.npy)', 'Give the file that torch.save wrote of the model.'],
  ['47475546', 'it is a GGUF file', 'Give the file that torch.save wrote of the model.'],
  ['89504e47', 'it is a PNG image', 'Images go to --data-path.'],
  ['ffd8ff', 'it is a JPEG image', 'Images go to --data-path.'],
  ['25504446', 'it is a PDF', again],
  ['7f454c46', 'it is a program or library (ELF)', again],
];

/**
 * Recognises a file that neither is of torch.save nor begins as safetensors do.
 * @returns null when it is of no kind that is known
 */
export async function otherKind(file: FileHandle, path: string): Promise<WrongKind | null> {
  const { size } = await file.stat();
  if (size === 0) return new WrongKind('it is empty', again);
  const buffer = Buffer.alloc(Math.min(looked, size));
  const { bytesRead } = await file.read(buffer, 0, buffer.length, 0);
  const head = buffer.subarray(0, bytesRead);
  const magic = magics.find(([bytes]) => head.toString('hex', 0, bytes.length / 2) === bytes);
  if (magic !== undefined) return new WrongKind(magic[1], magic[2].replaceAll('FILE', path));
  if (head.toString('latin1', 257, 262) === 'ustar') return tarKind(head, path);
  if (head[0] === 0x80 && head[1]! >= 2 && head[1]! <= 5) {
    return new WrongKind(
      'it is a pickle of Python that torch.save has not written',
      'Load it in Python and save its state dict with torch.save: torch.save(state_dict, "weights.pth").',
    );
  }
  if (head.every((byte) => byte === 0)) {
    return new WrongKind(
      `its first ${head.length} bytes are zero, as of a download that never arrived`,
      again,
    );
  }
  return textKind(head, path);
}

/** Before its old form torch.save wrote tar archives of `sys_info`, `pickle`, `tensors` and `storages`. */
function tarKind(head: Buffer, path: string): WrongKind {
  const first = head.toString('utf8', 0, 100).replace(/\0.*$/s, '');
  const old = ['sys_info', 'pickle', 'tensors', 'storages'].includes(first);
  if (!old) {
    return new WrongKind(
      `it is a tar archive that begins with ${shown(first)}`,
      `A .pth.tar of torch.save is none. Unpack it: tar -xf ${path}, and name the file inside.`,
    );
  }
  return new WrongKind(
    'it is a file of torch.save from before PyTorch 0.1.12, a tar archive',
    'Load it in Python and save it again: torch.save(torch.load(FILE, weights_only=False), "weights.pth").'.replace(
      'FILE',
      JSON.stringify(path),
    ),
  );
}

function textKind(head: Buffer, path: string): WrongKind | null {
  const text = decoded(head)?.trimStart();
  if (text === undefined) return null;
  if (text.startsWith('version https://git-lfs.github.com/spec/')) {
    return new WrongKind(
      'it is a pointer of Git LFS, which stands for the file until that is fetched',
      'In its repository: git lfs install && git lfs pull',
    );
  }
  if (/^(<!--.*?-->\s*)*<(!doctype html|html|head|body|meta|script|title)\b/is.test(text)) {
    const title = /<title[^>]*>([^<]*)<\/title>/i.exec(text)?.[1]?.trim();
    return new WrongKind(
      `it is a web page${title ? ` (${shown(title)})` : ''}, as a server sends instead of a file`,
      'Download the file itself: sign in where the page asks for it, or take the link behind its button.',
    );
  }
  if (/^<(\?xml|error)\b/i.test(text)) {
    const [code, message] = ['Code', 'Message'].map(
      (tag) => new RegExp(`<${tag}>([^<]*)</${tag}>`).exec(text)?.[1],
    );
    const said = [code, message]
      .filter((part) => part !== undefined)
      .map(shown)
      .join(': ');
    return new WrongKind(`it is XML${said ? `, a server's error (${said})` : ''}`, again);
  }
  if (/^[{[]/.test(text)) {
    const record = recordKind(text, path);
    if (record !== null) return record;
    if (!text.includes('"weight_map"')) return new WrongKind(`it is JSON: ${shown(text)}`, again);
    return new WrongKind(
      'it is the index of weights that are in several files',
      'Put them into one: load them in Python and save the state dict with torch.save.',
    );
  }
  return new WrongKind(`it is text: ${shown(text)}`, again);
}

/** `latest.json` or `best.json` of a run, which only name a checkpoint; null for other JSON. */
function recordKind(text: string, path: string): WrongKind | null {
  const file = /"file":\s*"(step-\d+\.safetensors)"/.exec(text)?.[1];
  if (file === undefined || !text.includes('"sha256"')) return null;
  const which = text.includes('"earlier"') ? 'latest' : 'best';
  return new WrongKind(
    `it is the note of a run that its ${which} checkpoint is ${file}`,
    `Name the run, ${join(dirname(path), '..')}:${which}, or that file, ${join(dirname(path), file)}`,
  );
}

/** Null for anything but text in UTF-8. Its end may be in the middle of a character. */
function decoded(head: Buffer): string | undefined {
  const text = new TextDecoder('utf-8').decode(head, { stream: true });
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these tell text from other bytes
  return /[\0-\x08\x0e-\x1a\ufffd]/.test(text) ? undefined : text;
}

/** A short piece of what a file says, on one line. */
function shown(text: string): string {
  const line = text.replace(/\s+/g, ' ').trim();
  return line.length > 80 ? `${line.slice(0, 80)}…` : line;
}

/**
 * Recognises a ZIP archive that is not of torch.save.
 * @param names of its entries
 * @returns null for those of torch.save
 */
export function otherArchive(names: readonly string[], path: string): WrongKind | null {
  const some = (pattern: RegExp) => names.some((name) => pattern.test(name));
  if (some(/^[^/]+\/constants\.pkl$/) && some(/^[^/]+\/code\//)) {
    return new WrongKind(
      'it is a TorchScript archive, a program with its weights',
      `In Python: torch.save(torch.jit.load(${JSON.stringify(path)}).state_dict(), "weights.pth")`,
    );
  }
  if (some(/(^|\/)(archive_format|serialized_exported_program\.json|models\/[^/]+\.json)$/)) {
    return new WrongKind(
      'it is a program of torch.export',
      `In Python: torch.save(torch.export.load(${JSON.stringify(path)}).state_dict, "weights.pth")`,
    );
  }
  if (names.filter((name) => /^[^/]+\/data\.pkl$/.test(name)).length === 1) return null;
  const elsewhere = 'Give the file that torch.save wrote of the model.';
  if (names.length > 0 && names.every((name) => name.endsWith('.npy'))) {
    return new WrongKind('it is an archive of NumPy arrays (.npz)', elsewhere);
  }
  if (some(/(^|\/)model\.weights\.h5$/)) return new WrongKind('it is a model of Keras', elsewhere);
  const inside = names.find((name) => /\.(pth|pt|tar|ckpt|bin|safetensors)$/.test(name));
  if (inside !== undefined) {
    return new WrongKind(
      `it is a ZIP archive with ${shown(inside)} in it`,
      `Unpack it: unzip ${path}, and name the file inside.`,
    );
  }
  const list = names.slice(0, 3).map(shown).join(', ');
  return new WrongKind(
    `it is a ZIP archive, but not one of torch.save: it holds ${list || 'nothing'}`,
    again,
  );
}
