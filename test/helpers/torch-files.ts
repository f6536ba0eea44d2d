/** Files of torch.save, made by hand so that a test can bend them. */
import { type PythonValue, pickle } from '../../coordinator/weights/pickle-writer.ts';
import { zipPieces } from '../../coordinator/weights/zip-writer.ts';

type Storages = Readonly<Record<string, Uint8Array>>;

/** The ZIP form. `value` may be a pickle already. */
export function zipForm(value: PythonValue | Buffer, storages: Storages): Buffer {
  const entries = Object.entries(storages).map(([key, bytes]) => ({ name: `x/data/${key}`, bytes }));
  const data = { name: 'x/data.pkl', bytes: Buffer.isBuffer(value) ? value : pickle(value) };
  return Buffer.concat(zipPieces([data, ...entries, { name: 'x/version', bytes: Buffer.from('3\n') }]));
}

/** The form before it. @param elementBytes of all storages */
export function legacyForm(value: PythonValue | Buffer, storages: Storages, elementBytes = 4): Buffer {
  const magic = Buffer.from('80028a0a6cfc9c46f9206aa850192e', 'hex');
  const machine = new Map<string, PythonValue>([
    ['protocol_version', 1001],
    ['little_endian', true],
  ]);
  const bodies = Object.values(storages).map((bytes) => {
    const count = Buffer.alloc(8);
    count.writeBigInt64LE(BigInt(bytes.length / elementBytes));
    return Buffer.concat([count, bytes]);
  });
  const data = Buffer.isBuffer(value) ? value : pickle(value);
  return Buffer.concat([
    magic,
    pickle(1001),
    pickle(machine),
    data,
    pickle(Object.keys(storages)),
    ...bodies,
  ]);
}

export const floats = (...values: number[]): Uint8Array => new Uint8Array(Float32Array.from(values).buffer);
