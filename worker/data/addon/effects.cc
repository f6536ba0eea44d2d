#include "effects.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#if defined(__x86_64__)
#define HAS_AVX2_KERNELS
#include <immintrin.h>
#endif

namespace cornet {
namespace {

// As `kinds` in effects.ts.
enum Kind { rotation, brightness, contrast, saturation, hue, greyscale, blurring, kinds };

// Every kernel is inlined into its callers and compiled twice, for every machine and for AVX2, where the compiler makes
// vectors of the loops. What is not on integers is done operation by operation, without fused multiply-add: the bits
// are the same.
#define INLINED __attribute__((always_inline))
#define KERNEL static inline INLINED

// Pixels that are taken apart into three arrays at once.
constexpr int block = 256;

struct Block {
  alignas(32) uint8_t red[block], green[block], blue[block];
};

// Calls `change(pixels, n)` with all pixels of an image, block by block, and writes them back where it says so.
template <bool writes, class Change>
KERNEL void blockwise(uint8_t* image, int pixels, const Change& change) {
  Block b;
  for (int begin = 0; begin < pixels; begin += block) {
    const int n = std::min(block, pixels - begin);
    uint8_t* const rgb = image + static_cast<size_t>(begin) * 3;
    for (int i = 0; i < n; i++) {
      b.red[i] = rgb[3 * i];
      b.green[i] = rgb[3 * i + 1];
      b.blue[i] = rgb[3 * i + 2];
    }
    change(b, n);
    if (!writes) continue;
    for (int i = 0; i < n; i++) {
      rgb[3 * i] = b.red[i];
      rgb[3 * i + 1] = b.green[i];
      rgb[3 * i + 2] = b.blue[i];
    }
  }
}

KERNEL int grey(int red, int green, int blue) { return (red * 19595 + green * 38470 + blue * 7471 + 0x8000) >> 16; }

KERNEL uint8_t blended(int from, int value, float factor) {
  const float mixed = static_cast<float>(from) + factor * static_cast<float>(value - from);
  return static_cast<uint8_t>(std::min(255.0f, std::max(0.0f, mixed)));
}

KERNEL void blend(uint8_t* image, int pixels, int from, float factor) {
  for (int i = 0; i < 3 * pixels; i++) image[i] = blended(from, image[i], factor);
}

KERNEL int meanGrey(uint8_t* image, int pixels) {
  int64_t sum = 0;
  blockwise<false>(image, pixels, [&](Block& b, int n) INLINED {
    int part = 0;
    for (int i = 0; i < n; i++) part += grey(b.red[i], b.green[i], b.blue[i]);
    sum += part;
  });
  return static_cast<int>(static_cast<double>(sum) / pixels + 0.5);
}

KERNEL void saturate(uint8_t* image, int pixels, float factor) {
  blockwise<true>(image, pixels, [&](Block& b, int n) INLINED {
    for (int i = 0; i < n; i++) {
      const int from = grey(b.red[i], b.green[i], b.blue[i]);
      b.red[i] = blended(from, b.red[i], factor);
      b.green[i] = blended(from, b.green[i], factor);
      b.blue[i] = blended(from, b.blue[i], factor);
    }
  });
}

KERNEL void makeGrey(uint8_t* image, int pixels) {
  blockwise<true>(image, pixels, [](Block& b, int n) INLINED {
    for (int i = 0; i < n; i++) {
      b.red[i] = b.green[i] = b.blue[i] = static_cast<uint8_t>(grey(b.red[i], b.green[i], b.blue[i]));
    }
  });
}

// C's `round`, of what is not negative.
KERNEL int rounded(double x) {
  const int whole = static_cast<int>(x);
  return whole + static_cast<int>((x - whole) * 2.0);
}

// `a` where the condition is 1, `b` where it is 0, without the branch that keeps a loop from being made of vectors.
KERNEL int pick(int condition, int a, int b) { return b ^ ((a ^ b) & -condition); }

// Without branches, and with every choice among integers, as the vector units can do it: all that a pixel might need is
// computed, and what it does need is chosen.
KERNEL void shiftHue(uint8_t* image, int pixels, int shift) {
  blockwise<true>(image, pixels, [&](Block& b, int n) INLINED {
    for (int i = 0; i < n; i++) {
      const int red = b.red[i], green = b.green[i], blue = b.blue[i];
      const int value = std::max(red, std::max(green, blue));
      const int range = value - std::min(red, std::min(green, blue));
      const int mostRed = red == value, mostGreen = (green == value) & (1 - mostRed);
      const int plus = value - pick(mostRed, blue, pick(mostGreen, red, green));
      const int minus = value - pick(mostRed, green, pick(mostGreen, blue, red));
      const int first = 4 - 4 * mostRed - 2 * mostGreen;
      const float divisor = static_cast<float>(std::max(range, 1));
      const double added = static_cast<double>(static_cast<float>(plus) / divisor);
      const double taken = static_cast<double>(static_cast<float>(minus) / divisor);
      const float sixths = static_cast<float>(first + added - taken);
      const double turns = sixths / 6.0 + 1.0;
      const float turn = static_cast<float>(turns - static_cast<int>(turns));
      const float share = static_cast<float>(range) / static_cast<float>(std::max(value, 1));
      const int saturation8 = static_cast<int>(share * 255.0);
      const int hue8 = (static_cast<int>(turn * 255.0) + shift) & 0xff;

      const double place = static_cast<double>(hue8) * 6.0 / 255.0;
      const int sector = static_cast<int>(place);
      const float f = static_cast<float>(place - sector);
      const float s = static_cast<float>(static_cast<double>(saturation8) / 255.0);
      const double v = value;
      const int p = rounded(v * (1.0 - static_cast<double>(s)));
      const float sf = s * f;
      const int q = rounded(v * (1.0 - static_cast<double>(sf)));
      const int t = rounded(v * (1.0 - static_cast<double>(s) * (1.0 - static_cast<double>(f))));
      const int six = sector - 6 * (sector == 6);
      const int r = pick((six == 0) | (six == 5), value, pick(six == 1, q, pick(six == 4, t, p)));
      const int g = pick((six == 1) | (six == 2), value, pick(six == 0, t, pick(six == 3, q, p)));
      const int bl = pick((six == 3) | (six == 4), value, pick(six == 2, t, pick(six == 5, q, p)));
      const int isGrey = saturation8 == 0;
      b.red[i] = static_cast<uint8_t>(pick(isGrey, value, r));
      b.green[i] = static_cast<uint8_t>(pick(isGrey, value, g));
      b.blue[i] = static_cast<uint8_t>(pick(isGrey, value, bl));
    }
  });
}

KERNEL int lowerWhole(double x) {
  const int whole = static_cast<int>(x);
  return whole - (x < whole ? 1 : 0);
}

KERNEL double mixed(double a, double b, double share) { return a + (b - a) * share; }

// Over a copy of four bytes a pixel, of which one can be loaded at once.
template <class Kernels>
KERNEL void rotate(uint8_t* image, int size, const double* map, std::vector<uint8_t>& source) {
  const size_t pixels = static_cast<size_t>(size) * size;
  source.resize(pixels * 4);
  for (size_t i = 0; i < pixels; i++) std::copy_n(image + 3 * i, 3, &source[4 * i]);
  const double a = map[0], b = map[1], c = map[2], d = map[3], e = map[4], f = map[5];
  uint8_t* to = image;
  for (int y = 0; y < size; y++) {
    for (int x = 0; x < size; x++, to += 3) {
      const double across = a * (x + 0.5) + b * (y + 0.5) + c;
      const double down = d * (x + 0.5) + e * (y + 0.5) + f;
      if (!(across >= 0 && across < size && down >= 0 && down < size)) {
        to[0] = to[1] = to[2] = 0;
        continue;
      }
      const int left = lowerWhole(across - 0.5), top = lowerWhole(down - 0.5);
      const double dx = across - 0.5 - left, dy = down - 0.5 - top;
      const int x0 = std::max(left, 0), x1 = std::min(left + 1, size - 1);
      const size_t row = static_cast<size_t>(std::max(top, 0)) * size;
      const size_t below = top + 1 < size ? static_cast<size_t>(top + 1) * size : row;
      const uint8_t *p00 = &source[(row + x0) * 4], *p01 = &source[(row + x1) * 4];
      const uint8_t *p10 = &source[(below + x0) * 4], *p11 = &source[(below + x1) * 4];
      Kernels::mixFour(p00, p01, p10, p11, dx, dy, to);
    }
  }
}

// Bits after the point: of a weight, and of the values between the two passes. So the sum of two values fits into 16
// bits, and that of all products into 32.
constexpr int weightBits = 15, betweenBits = 6;

// out[i] = the sum of weights[k] * (in[i - k * step] + in[i + k * step]), the centre once.
template <int shift, class Out>
KERNEL void mixNeighbours(const int16_t* in, ptrdiff_t step, const int16_t* weights, int taps, size_t n, Out* out) {
  for (size_t i = 0; i < n; i++) {
    const int16_t* const at = in + i;
    int sum = (1 << (shift - 1)) + *at * weights[0];
    for (int k = 1; k < taps; k++) sum += (at[-k * step] + at[k * step]) * weights[k];
    out[i] = static_cast<Out>(sum >> shift);
  }
}

// What exists twice, with and without intrinsics.
struct Portable {
  // Of three channels, the bilinear mean of four pixels.
  KERNEL void mixFour(const uint8_t* p00, const uint8_t* p01, const uint8_t* p10, const uint8_t* p11, double dx,
                      double dy, uint8_t* out) {
    for (int i = 0; i < 3; i++) {
      const double upper = mixed(p00[i], p01[i], dx), lower = mixed(p10[i], p11[i], dx);
      out[i] = static_cast<uint8_t>(mixed(upper, lower, dy));
    }
  }

  template <int shift, class Out>
  KERNEL void mix(const int16_t* in, ptrdiff_t step, const int16_t* weights, int taps, size_t n, Out* out) {
    mixNeighbours<shift>(in, step, weights, taps, n, out);
  }
};

// Both axes are one kernel over lines with mirrored ends: across, a neighbour is three values away, down it is a line.
template <class Kernels>
KERNEL void blur(uint8_t* image, int size, const double* numbers, int taps, Effects& memory) {
  memory.weights.assign(static_cast<size_t>(taps) + 1, 0);  // one that is zero: they are taken in pairs
  for (int k = 0; k < taps; k++) memory.weights[k] = static_cast<int16_t>(numbers[k]);
  const int margin = taps;  // one more than there are neighbours, for the weight that is zero
  const size_t bytes = static_cast<size_t>(size) * 3, padded = bytes + 6 * static_cast<size_t>(margin);
  memory.lines.resize(padded + (size + 2 * static_cast<size_t>(margin)) * bytes);
  int16_t* const line = memory.lines.data();
  int16_t* const first = line + padded + margin * bytes;
  const int last = size - 1;
  const auto mirrored = [last](int i) { return std::max(0, std::min(last, i < 0 ? -i : i > last ? 2 * last - i : i)); };
  for (int y = 0; y < size; y++) {
    const uint8_t* const row = image + y * bytes;
    for (size_t i = 0; i < bytes; i++) line[3 * margin + i] = row[i];
    for (int k = 1; k <= margin; k++) {
      std::copy_n(line + 3 * (margin + mirrored(-k)), 3, line + 3 * (margin - k));
      std::copy_n(line + 3 * (margin + mirrored(last + k)), 3, line + 3 * (margin + last + k));
    }
    Kernels::template mix<weightBits - betweenBits>(line + 3 * margin, 3, memory.weights.data(), taps, bytes,
                                                    first + y * bytes);
  }
  for (int k = 1; k <= margin; k++) {
    std::copy_n(first + mirrored(-k) * bytes, bytes, first - k * bytes);
    std::copy_n(first + mirrored(last + k) * bytes, bytes, first + (last + k) * bytes);
  }
  for (int y = 0; y < size; y++) {
    Kernels::template mix<weightBits + betweenBits>(first + y * bytes, bytes, memory.weights.data(), taps, bytes,
                                                    image + y * bytes);
  }
}

template <class Kernels>
KERNEL void applyAll(const EffectNumbers& effects, int size, uint8_t* image, Effects& memory) {
  const int pixels = size * size;
  for (size_t at = 0; at < effects.size(); at += 2 + static_cast<size_t>(effects[at + 1])) {
    const double* const numbers = effects.data() + at + 2;
    switch (static_cast<Kind>(effects[at])) {
      case rotation: rotate<Kernels>(image, size, numbers, memory.source); break;
      case brightness: blend(image, pixels, 0, static_cast<float>(numbers[0])); break;
      case contrast: blend(image, pixels, meanGrey(image, pixels), static_cast<float>(numbers[0])); break;
      case saturation: saturate(image, pixels, static_cast<float>(numbers[0])); break;
      case hue: shiftHue(image, pixels, static_cast<int>(numbers[0])); break;
      case greyscale: makeGrey(image, pixels); break;
      case blurring: blur<Kernels>(image, size, numbers, static_cast<int>(effects[at + 1]), memory); break;
      case kinds: break;
    }
  }
}

void applyPortable(const EffectNumbers& effects, int size, uint8_t* image, Effects& memory) {
  applyAll<Portable>(effects, size, image, memory);
}

#ifdef HAS_AVX2_KERNELS

__attribute__((target("avx2"))) inline __m256i load(const int16_t* from) {
  return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from));
}

__attribute__((target("avx2"))) inline __m256d doubles(const uint8_t* rgbx) {
  int32_t pixel;
  std::memcpy(&pixel, rgbx, sizeof pixel);
  return _mm256_cvtepi32_pd(_mm_cvtepu8_epi32(_mm_cvtsi32_si128(pixel)));
}

__attribute__((target("avx2"))) inline __m256d mixed(__m256d a, __m256d b, __m256d share) {
  return _mm256_add_pd(a, _mm256_mul_pd(_mm256_sub_pd(b, a), share));
}

struct Avx2 {
  // A pixel at a time; its fourth byte has no meaning.
  __attribute__((target("avx2"))) static void mixFour(const uint8_t* p00, const uint8_t* p01, const uint8_t* p10,
                                                      const uint8_t* p11, double dx, double dy, uint8_t* out) {
    const __m256d across = _mm256_set1_pd(dx);
    const __m256d upper = mixed(doubles(p00), doubles(p01), across), lower = mixed(doubles(p10), doubles(p11), across);
    const __m128i whole = _mm256_cvttpd_epi32(mixed(upper, lower, _mm256_set1_pd(dy)));
    const __m128i words = _mm_packus_epi32(whole, whole);
    const int32_t pixel = _mm_cvtsi128_si32(_mm_packus_epi16(words, words));
    std::memcpy(out, &pixel, 3);
  }

  // Sixteen values, and two weights, at a time.
  template <int shift, class Out>
  __attribute__((target("avx2"))) static void mix(const int16_t* in, ptrdiff_t step, const int16_t* weights, int taps,
                                                  size_t n, Out* out) {
    const __m256i half = _mm256_set1_epi32(1 << (shift - 1));
    size_t i = 0;
    for (; i + 16 <= n; i += 16) {
      __m256i low = half, high = half;
      for (int k = 0; k < taps; k += 2) {
        int32_t both;
        std::memcpy(&both, weights + k, sizeof both);
        const __m256i pair = _mm256_set1_epi32(both);
        const int16_t* const at = in + i;
        const __m256i even = k == 0 ? load(at) : _mm256_add_epi16(load(at - k * step), load(at + k * step));
        const __m256i odd = _mm256_add_epi16(load(at - (k + 1) * step), load(at + (k + 1) * step));
        low = _mm256_add_epi32(low, _mm256_madd_epi16(_mm256_unpacklo_epi16(even, odd), pair));
        high = _mm256_add_epi32(high, _mm256_madd_epi16(_mm256_unpackhi_epi16(even, odd), pair));
      }
      const __m256i words = _mm256_packus_epi32(_mm256_srai_epi32(low, shift), _mm256_srai_epi32(high, shift));
      if constexpr (sizeof(Out) == 2) {
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(out + i), words);
      } else {
        const __m128i bytes = _mm_packus_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1));
        _mm_storeu_si128(reinterpret_cast<__m128i*>(out + i), bytes);
      }
    }
    mixNeighbours<shift>(in + i, step, weights, taps, n - i, out + i);
  }
};

__attribute__((target("avx2"))) void applyAvx2(const EffectNumbers& effects, int size, uint8_t* image,
                                               Effects& memory) {
  applyAll<Avx2>(effects, size, image, memory);
}

#endif

bool fitsBlur(const double* weights, size_t taps, int size) {
  if (taps < 1 || taps > static_cast<size_t>(size)) return false;
  double sum = weights[0];
  for (size_t k = 0; k < taps; k++) {
    if (!(weights[k] >= 0 && weights[k] < (1 << weightBits))) return false;
    if (k > 0) sum += 2 * weights[k];
  }
  return sum <= (1 << weightBits);
}

}  // namespace

bool fitEffects(const EffectNumbers& effects, int size) {
  constexpr size_t numbersOf[kinds] = {6, 1, 1, 1, 1, 0, 0};
  for (size_t at = 0; at < effects.size();) {
    if (effects.size() - at < 2) return false;
    const double kind = effects[at], numbers = effects[at + 1];
    at += 2;
    if (!(kind >= 0 && kind < kinds && numbers >= 0 && numbers <= static_cast<double>(effects.size() - at))) return false;
    const double* const begin = effects.data() + at;
    const size_t count = static_cast<size_t>(numbers);
    if (!std::all_of(begin, begin + count, [](double x) { return std::isfinite(x); })) return false;
    const Kind which = static_cast<Kind>(kind);
    if (which == blurring ? !fitsBlur(begin, count, size) : count != numbersOf[which]) return false;
    at += count;
  }
  return true;
}

Effects::Effects(bool portable) : apply_(applyPortable) {
#ifdef HAS_AVX2_KERNELS
  if (!portable && __builtin_cpu_supports("avx2")) apply_ = applyAvx2;
#else
  static_cast<void>(portable);
#endif
}

}  // namespace cornet
