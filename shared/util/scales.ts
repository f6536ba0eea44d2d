/** Factors by names of parameters (`isNamedBy`), as text: `V1=0.1,decoder=10`. */
import { isNamedBy } from './parameter-names.ts';

/** Null: the text is none, has a factor that is not a number greater than 0, or a name twice. */
export function readScales(text: string): Map<string, number> | null {
  const scales = new Map<string, number>();
  if (text.trim() === '') return scales;
  for (const part of text.split(',')) {
    const [, name, factor] = /^\s*([\w.*]+)\s*=\s*([\d.]+(?:e[-+]?\d+)?)\s*$/i.exec(part) ?? [];
    const value = Number(factor);
    if (name === undefined || scales.has(name) || !(value > 0 && Number.isFinite(value))) return null;
    scales.set(name, value);
  }
  return scales;
}

/** The same factors in the same text, in the order of their names. */
export function writeScales(scales: ReadonlyMap<string, number>): string {
  const names = [...scales.keys()].sort();
  return names.map((name) => `${name}=${scales.get(name)}`).join(',');
}

/** That of the longest name that a parameter is meant by; 1: there is none. */
export function scaleOf(parameter: string, scales: ReadonlyMap<string, number>): number {
  const names = [...scales.keys()].filter((name) => isNamedBy(name)(parameter));
  const longest = names.reduce((best, name) => (name.length > best.length ? name : best), '');
  return scales.get(longest) ?? 1;
}
