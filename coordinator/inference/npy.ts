/** The header of an .npy file (NumPy's format version 1.0). */
import type { FeatureType } from '../../shared/formats/feature-rows.ts';

/** numpy wants the data to begin at a multiple of this. */
const alignment = 64;
const magic = Buffer.from('\x93NUMPY\x01\x00', 'latin1');

/** What stands before the rows in a `.npy` file of two dimensions, in C order (NEP 1, version 1.0). */
export function npyHeader(rows: number, width: number, type: FeatureType): Buffer {
  const descr = type === 'float32' ? '<f4' : '<f2';
  const text = `{'descr': '${descr}', 'fortran_order': False, 'shape': (${rows}, ${width}), }`;
  const before = magic.length + 2;
  const length = Math.ceil((before + text.length + 1) / alignment) * alignment - before;
  const head = Buffer.alloc(2);
  head.writeUInt16LE(length);
  return Buffer.concat([magic, head, Buffer.from(`${text.padEnd(length - 1)}\n`, 'latin1')]);
}
