import { writeFileSync } from 'node:fs';
import { encodeHeader, type TensorEntry } from '../../shared/formats/safetensors.ts';
import { formulaEntry } from '../../shared/models/closed-formula.ts';
import type { Model } from '../../shared/models/model.ts';

/** The weights of the golden fixtures as a safetensors file; the counters of the norms are left away. */
export function writeFormulaWeights(path: string, model: Model): void {
  const entries: TensorEntry[] = [];
  const parts: Uint8Array[] = [];
  let offset = 0;
  for (const entry of model.entries) {
    if (entry.kind === 'numBatchesTracked') continue;
    const values = new Uint8Array(formulaEntry(entry).buffer);
    const { name, shape } = entry;
    entries.push({ name, dtype: 'F32', shape, offset, bytes: values.length });
    parts.push(values);
    offset += values.length;
  }
  writeFileSync(path, Buffer.concat([encodeHeader(entries, {}), ...parts]));
}
