#include "resample.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#if defined(__x86_64__)
#define HAS_AVX2_KERNELS
#include <immintrin.h>
#endif

namespace cornet {
namespace {

// Bits after the point of a weight: 8 for the value and 2 to spare leave 22 of 32.
constexpr int fractionBits = 22;
constexpr int32_t half = 1 << (fractionBits - 1);

// Bytes of a line that are made at once.
constexpr size_t chunk = 32;

// The weights are not negative and add up to one within 2^-15: no sum leaves 0...255, so nothing is clipped.

// The triangle filter for output positions [start, start + length) of a line resampled from `from` to `to` places,
// widened when the line shrinks. In double precision, operation by operation as Pillow: compiled without fused
// multiply-add.
void triangle(int from, int to, int start, int length, bool mirrored, std::vector<double>& line, Taps& taps) {
  const double scale = static_cast<double>(from) / to;
  const double support = std::max(scale, 1.0);  // the filter reaches one output pixel, but at least one input pixel
  const auto low = [&](int i) { return std::max(0, static_cast<int>((start + i + 0.5) * scale - support + 0.5)); };
  const auto high = [&](int i) { return std::min(from, static_cast<int>((start + i + 0.5) * scale + support + 0.5)); };
  taps.from = low(0);
  taps.to = high(length - 1);
  int most = 0;
  for (int i = 0; i < length; i++) most = std::max(most, high(i) - low(i));
  taps.count = (most + 1) / 2 * 2;
  taps.first.resize(length);
  taps.weights.assign(static_cast<size_t>(length) * taps.count, 0);
  line.resize(taps.count);
  for (int i = 0; i < length; i++) {
    const double centre = (start + i + 0.5) * scale;
    const int begin = low(i), n = high(i) - begin;
    double sum = 0;
    for (int k = 0; k < n; k++) {
      line[k] = std::max(0.0, 1 - std::abs((begin + k - centre + 0.5) * (1 / support)));
      sum += line[k];
    }
    const int place = mirrored ? length - 1 - i : i;
    // Taps behind the last position are avoided by beginning earlier; where there are too few positions, one is left.
    const int first = std::max(taps.from, std::min(begin, taps.to - taps.count));
    taps.first[place] = first - taps.from;
    int32_t* weights = &taps.weights[static_cast<size_t>(place) * taps.count + (begin - first)];
    for (int k = 0; k < n; k++) weights[k] = static_cast<int32_t>(0.5 + line[k] / sum * (1 << fractionBits));
  }
}

// Both kernels exist twice: for every machine, and for AVX2. All arithmetic is on integers, so the bits are the same.

// Makes one line of an image. `rgbx` may be read, and `out` written, one byte or pixel further than the line is long.
void resampleRow(const uint8_t* rgbx, const Taps& taps, uint8_t* out) {
  const int32_t* weights = taps.weights.data();
  for (const int first : taps.first) {
    const uint8_t* from = rgbx + static_cast<size_t>(first) * 4;
    int32_t red = half, green = half, blue = half;
    for (int k = 0; k < taps.count; k++, from += 4) {
      red += from[0] * weights[k];
      green += from[1] * weights[k];
      blue += from[2] * weights[k];
    }
    out[0] = static_cast<uint8_t>(red >> fractionBits);
    out[1] = static_cast<uint8_t>(green >> fractionBits);
    out[2] = static_cast<uint8_t>(blue >> fractionBits);
    weights += taps.count;
    out += 3;
  }
}

// out[x] is the sum over k < count of lines[k * lineBytes + x] * weights[k].
void mixLines(const uint8_t* lines, size_t lineBytes, const int32_t* weights, int count, size_t bytes, uint8_t* out) {
  for (size_t x = 0; x < bytes; x++) {
    int32_t sum = half;
    for (int k = 0; k < count; k++) sum += lines[k * lineBytes + x] * weights[k];
    out[x] = static_cast<uint8_t>(sum >> fractionBits);
  }
}

#ifdef HAS_AVX2_KERNELS

// Two taps at a time, which is why their number is even.
__attribute__((target("avx2"))) void resampleRowAvx2(const uint8_t* rgbx, const Taps& taps, uint8_t* out) {
  const __m256i spread = _mm256_setr_epi32(0, 0, 0, 0, 1, 1, 1, 1);
  const __m128i lowBytes = _mm_setr_epi8(0, 4, 8, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1);
  const int32_t* weights = taps.weights.data();
  for (const int first : taps.first) {
    const uint8_t* from = rgbx + static_cast<size_t>(first) * 4;
    __m256i sums = _mm256_setzero_si256();
    for (int k = 0; k < taps.count; k += 2, from += 8) {
      const __m256i pixels = _mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(from)));
      const __m256i pair = _mm256_castsi128_si256(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(weights + k)));
      sums = _mm256_add_epi32(sums, _mm256_mullo_epi32(pixels, _mm256_permutevar8x32_epi32(pair, spread)));
    }
    __m128i sum = _mm_add_epi32(_mm256_castsi256_si128(sums), _mm256_extracti128_si256(sums, 1));
    sum = _mm_srli_epi32(_mm_add_epi32(sum, _mm_set1_epi32(half)), fractionBits);
    const int32_t pixel = _mm_cvtsi128_si32(_mm_shuffle_epi8(sum, lowBytes));
    std::memcpy(out, &pixel, sizeof pixel);  // the fourth byte is written over by the next pixel
    weights += taps.count;
    out += 3;
  }
}

// `lines` are readable, and of no meaning, up to a whole chunk.
__attribute__((target("avx2"))) void mixLinesAvx2(const uint8_t* lines, size_t lineBytes, const int32_t* weights,
                                                  int count, size_t bytes, uint8_t* out) {
  const __m256i inOrder = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
  for (size_t x = 0; x < bytes; x += chunk) {
    __m256i sums[4];
    for (__m256i& sum : sums) sum = _mm256_set1_epi32(half);
    for (int k = 0; k < count; k++) {
      const uint8_t* from = lines + k * lineBytes + x;
      const __m256i weight = _mm256_set1_epi32(weights[k]);
      for (int i = 0; i < 4; i++) {
        const __m128i eight = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(from + 8 * i));
        sums[i] = _mm256_add_epi32(sums[i], _mm256_mullo_epi32(_mm256_cvtepu8_epi32(eight), weight));
      }
    }
    for (__m256i& sum : sums) sum = _mm256_srli_epi32(sum, fractionBits);
    const __m256i packed =
        _mm256_packus_epi16(_mm256_packus_epi32(sums[0], sums[1]), _mm256_packus_epi32(sums[2], sums[3]));
    const __m256i values = _mm256_permutevar8x32_epi32(packed, inOrder);
    if (bytes - x >= chunk) {
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(out + x), values);
    } else {
      uint8_t last[chunk];
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(last), values);
      std::memcpy(out + x, last, bytes - x);
    }
  }
}

#endif

}  // namespace

Resampler::Resampler(bool portable) : resampleRow_(resampleRow), mixLines_(mixLines) {
#ifdef HAS_AVX2_KERNELS
  if (!portable && __builtin_cpu_supports("avx2")) {
    resampleRow_ = resampleRowAvx2;
    mixLines_ = mixLinesAvx2;
  }
#else
  static_cast<void>(portable);
#endif
}

Region Resampler::begin(const Geometry& g, int size) {
  size_ = size;
  rows_ = 0;
  triangle(g.boxWidth, g.width, g.left, size, g.flip, line_, across_);
  triangle(g.boxHeight, g.height, g.top, size, false, line_, down_);
  // Pillow since 12.3: the other way around would go over every row of a very tall image (Resample.c).
  downFirst_ = g.boxHeight > 100.0 * g.boxWidth && g.height < g.boxHeight;
  const int lineLength = downFirst_ ? across_.to - across_.from : size;
  lineBytes_ = (static_cast<size_t>(lineLength) * 3 / chunk + 1) * chunk;  // at least one byte more than the line is long
  const size_t needed = (down_.to - down_.from + 1) * lineBytes_;
  if (lines_.size() < needed) lines_.resize(needed);
  return {g.boxLeft + across_.from, g.boxTop + down_.from, g.boxLeft + across_.to, g.boxTop + down_.to};
}

void Resampler::addRow(const uint8_t* rgbx) {
  uint8_t* line = &lines_[rows_++ * lineBytes_];
  if (!downFirst_) return resampleRow_(rgbx, across_, line);
  for (int x = 0; x < across_.to - across_.from; x++) std::copy_n(rgbx + x * 4, 3, line + x * 3);
}

void Resampler::finish(uint8_t* target) {
  if (downFirst_) return finishDownFirst(target);
  const size_t bytes = static_cast<size_t>(size_) * 3;
  for (int y = 0; y < size_; y++) {
    mixLines_(&lines_[down_.first[y] * lineBytes_], lineBytes_, &down_.weights[static_cast<size_t>(y) * down_.count],
              down_.count, bytes, target + y * bytes);
  }
}

void Resampler::finishDownFirst(uint8_t* target) {
  const size_t width = across_.to - across_.from, bytes = static_cast<size_t>(size_) * 3;
  mixed_.resize((width + 1) * 4 + bytes + 1);
  uint8_t* const rgbx = mixed_.data();
  uint8_t* const line = rgbx + (width + 1) * 4;
  std::vector<uint8_t> rgb(width * 3);
  for (int y = 0; y < size_; y++) {
    mixLines_(&lines_[down_.first[y] * lineBytes_], lineBytes_, &down_.weights[static_cast<size_t>(y) * down_.count],
              down_.count, rgb.size(), rgb.data());
    for (size_t x = 0; x < width; x++) std::copy_n(&rgb[x * 3], 3, rgbx + x * 4);
    resampleRow_(rgbx, across_, line);
    std::copy_n(line, bytes, target + y * bytes);
  }
}

}  // namespace cornet
