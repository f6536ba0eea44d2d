import { exportWeights } from '../../coordinator/export/export.ts';
import type { ExportOptions } from '../../coordinator/options/table.ts';

const flags = { onnx: false, hub: false, brainScore: false, force: false };

/** `coordinator export` with these options. @param told is given what it says meanwhile */
export function exported(
  source: string,
  target: string,
  options: Partial<ExportOptions> = {},
  told: string[] = [],
): Promise<string> {
  const tell = (line: string) => told.push(line);
  return exportWeights(source, target, { ...flags, ...options }, { note: tell, warn: tell });
}
