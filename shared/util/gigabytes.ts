/** With two significant digits where it is less than a tenth. */
export function gigabytes(bytes: number): string {
  const value = bytes / 1e9;
  return `${value >= 0.1 || value === 0 ? value.toFixed(1) : value.toPrecision(2)} GB`;
}
