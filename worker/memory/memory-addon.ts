/** The native memory addon as TypeScript sees it. */
import { addonCaches, loadAddon } from '../../shared/process/addon-file.ts';
import { type Checksum, plainChecksum } from '../../shared/wire/checksum.ts';

/** What the system refuses is an Error with `errno`. */
export interface MemoryAddon {
  /** Makes an anonymous file with all its pages, which never shrinks. @returns a descriptor, to be closed */
  create(name: string, bytes: number): number;
  /** A file's first bytes, shared; the descriptor may be closed. Mapped until `unmap`, or until it is collected. */
  map(descriptor: number, bytes: number, writable: boolean): ArrayBuffer;
  /** The buffer is empty from now on. */
  unmap(buffer: ArrayBuffer): void;
  /** Tells bytes from others that should be the same: 16 hexadecimal digits, alike on every machine. */
  digest(bytes: Uint8Array): string;
  /** Bytes of the state of a digest under way, all zero at first. */
  readonly digestState: number;
  /** Bytes that are added to one at a time. */
  readonly digestRow: number;
  /** @param bytes a multiple of `digestRow` */
  addToDigest(state: Uint8Array, bytes: Uint8Array): void;
  /** @param bytes the last ones, fewer than `digestRow` */
  endDigest(state: Uint8Array, bytes: Uint8Array): string;
}

/** The addon that set-up has built, or the reason why there is none. */
export function loadMemoryAddon(caches = addonCaches('memory')): MemoryAddon | { missing: string } {
  return loadAddon('memory', caches);
}

/** For blobs that travel: the addon's own takes a fraction of the time. */
export function quickestChecksum(): Checksum {
  const addon = loadMemoryAddon();
  if ('missing' in addon) return plainChecksum;
  const { digestRow, digestState } = addon;
  return {
    kind: 'sums',
    row: digestRow,
    begin: () => {
      const state = new Uint8Array(digestState);
      return {
        add: (bytes) => addon.addToDigest(state, bytes),
        end: (bytes) => BigInt(`0x${addon.endDigest(state, bytes)}`),
      };
    },
  };
}
