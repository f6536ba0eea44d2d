/** Float16 as IEEE 754 has it. Node 20 has no Float16Array. */

const bits32 = new Uint32Array(1);
const float32 = new Float32Array(bits32.buffer);

/** The 16 bits of the nearest float16, ties to even; what is too large becomes infinity. */
export function toHalf(value: number): number {
  float32[0] = value;
  const bits = bits32[0]!;
  const sign = (bits >>> 16) & 0x8000;
  const rest = bits & 0x7fff_ffff;
  if (rest > 0x7f80_0000) return sign | 0x7e00; // not a number
  if (rest >= 0x477f_f000) return sign | 0x7c00; // rounds to 65536 or more
  if (rest < 0x3880_0000) {
    // below 2^-14: a whole number of 2^-24
    return sign | roundHalfToEven(Math.abs(value) * 2 ** 24);
  }
  // The exponent's bias is 127 in float32 and 15 in float16; a carry out of the fraction goes into the exponent.
  const rebiased = rest - ((127 - 15) << 23);
  const odd = (rebiased >>> 13) & 1;
  return sign | ((rebiased + 0xfff + odd) >>> 13);
}

function roundHalfToEven(value: number): number {
  const floor = Math.floor(value);
  const above = value - floor;
  if (above !== 0.5) return above > 0.5 ? floor + 1 : floor;
  return floor + (floor & 1);
}
