/** The native memory addon as TypeScript sees it. */
import { addonCaches, loadAddon } from '../../shared/process/addon-file.ts';

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
}

/** The addon that set-up has built, or the reason why there is none. */
export function loadMemoryAddon(caches = addonCaches('memory')): MemoryAddon | { missing: string } {
  return loadAddon('memory', caches);
}
