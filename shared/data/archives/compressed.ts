/** Archives of which no byte can be read without those before it, or that are no tar: by their first bytes. */
import { CornetError } from '../../errors.ts';

const kinds: readonly { begins: string; what: string; way: string }[] = [
  { begins: '\x1f\x8b', what: 'compressed with gzip', way: 'gunzip' },
  { begins: 'BZh', what: 'compressed with bzip2', way: 'bunzip2' },
  { begins: '\xfd7zXZ\0', what: 'compressed with xz', way: 'unxz' },
  { begins: '\x28\xb5\x2f\xfd', what: 'compressed with Zstandard', way: 'zstd -d' },
  { begins: '\x04\x22\x4d\x18', what: 'compressed with LZ4', way: 'lz4 -d' },
  { begins: '\x1f\x9d', what: 'compressed with compress', way: 'uncompress' },
  { begins: 'PK\x03\x04', what: 'a ZIP archive', way: 'unzip' },
  { begins: 'PK\x05\x06', what: 'a ZIP archive', way: 'unzip' },
  { begins: '7z\xbc\xaf\x27\x1c', what: 'a 7z archive', way: '7z x' },
];

/**
 * @param title what sentences call the archive
 * @param first its first bytes
 * @returns what to say of it, or null
 */
export function compressedArchive(title: string, first: Buffer): CornetError | null {
  const kind = kinds.find(({ begins }) => first.toString('latin1', 0, begins.length) === begins);
  if (kind === undefined) return null;
  const message = `The archive ${title} is ${kind.what}: an image in its middle cannot be read without all that lies before it.`;
  const hint = kind.what.startsWith('a ')
    ? `Unpack it once into a folder (${kind.way}), and give that.`
    : `Decompress it once (${kind.way}), and give the tar archive that results.`;
  return new CornetError('DATA_INVALID', message, { hint });
}
