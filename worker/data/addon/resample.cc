#include "resample.h"

#include <algorithm>
#include <cmath>
#include <cstring>

// The same source for every machine: generic vectors, compiled for AVX2 as well and chosen when the addon is loaded.
// All arithmetic is on integers, so both give the same bits.
#if defined(__x86_64__) && defined(__GLIBC__)
#define VECTORISED __attribute__((target_clones("avx2", "default")))
#else
#define VECTORISED
#endif

namespace cornet {
namespace {

// Bits after the point of a weight: 8 for the value and 2 to spare leave 22 of 32.
constexpr int fractionBits = 22;
constexpr int32_t half = 1 << (fractionBits - 1);

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
  taps.count = 0;
  for (int i = 0; i < length; i++) taps.count = std::max(taps.count, high(i) - low(i));
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
    const int first = std::min(begin, taps.to - taps.count);  // no tap lies behind the last position
    taps.first[place] = first;
    int32_t* weights = &taps.weights[static_cast<size_t>(place) * taps.count + (begin - first)];
    for (int k = 0; k < n; k++) weights[k] = static_cast<int32_t>(0.5 + line[k] / sum * (1 << fractionBits));
  }
}

// `out` has room for one byte more than 3 * size.
VECTORISED void resampleRow(const uint8_t* rgbx, const int* first, const int32_t* weights, int count, int size,
                            uint8_t* out) {
  typedef int32_t Sums __attribute__((vector_size(16)));
  typedef uint8_t Pixel __attribute__((vector_size(4)));
  for (int x = 0; x < size; x++, weights += count, out += 3) {
    const uint8_t* from = rgbx + static_cast<size_t>(first[x]) * 4;
    Sums sums = {half, half, half, half};
    for (int k = 0; k < count; k++) {
      Pixel pixel;
      std::memcpy(&pixel, from + static_cast<size_t>(k) * 4, sizeof pixel);
      sums += __builtin_convertvector(pixel, Sums) * weights[k];
    }
    const Pixel pixel = __builtin_convertvector(sums >> fractionBits, Pixel);
    std::memcpy(out, &pixel, sizeof pixel);  // the fourth byte is written over by the next pixel
  }
}

constexpr int chunk = 16;

// `lines` has whole chunks.
VECTORISED void mixRows(const uint8_t* lines, size_t lineBytes, const int32_t* weights, int count, int bytes,
                        uint8_t* out) {
  typedef int32_t Sums __attribute__((vector_size(4 * chunk)));
  typedef uint8_t Values __attribute__((vector_size(chunk)));
  for (int x = 0; x < bytes; x += chunk) {
    Sums sums = Sums{} + half;
    for (int k = 0; k < count; k++) {
      Values values;
      std::memcpy(&values, lines + k * lineBytes + x, sizeof values);
      sums += __builtin_convertvector(values, Sums) * weights[k];
    }
    const Values values = __builtin_convertvector(sums >> fractionBits, Values);
    std::memcpy(out + x, &values, std::min(chunk, bytes - x));
  }
}

}  // namespace

Region Resampler::begin(const Geometry& g, int size) {
  size_ = size;
  rows_ = 0;
  triangle(g.boxWidth, g.width, g.left, size, g.flip, line_, across_);
  triangle(g.boxHeight, g.height, g.top, size, false, line_, down_);
  lineBytes_ = (static_cast<size_t>(size) * 3 / chunk + 1) * chunk;
  const size_t needed = (down_.to - down_.from) * lineBytes_;
  if (lines_.size() < needed) lines_.resize(needed);
  return {g.boxLeft + across_.from, g.boxTop + down_.from, g.boxLeft + across_.to, g.boxTop + down_.to};
}

void Resampler::addRow(const uint8_t* rgbx) {
  // the row begins at across_.from
  resampleRow(rgbx - static_cast<ptrdiff_t>(across_.from) * 4, across_.first.data(), across_.weights.data(),
              across_.count, size_, &lines_[rows_ * lineBytes_]);
  rows_++;
}

void Resampler::finish(uint8_t* target) const {
  const int bytes = size_ * 3;
  for (int y = 0; y < size_; y++) {
    mixRows(&lines_[(down_.first[y] - down_.from) * lineBytes_], lineBytes_,
            &down_.weights[static_cast<size_t>(y) * down_.count], down_.count, bytes,
            target + static_cast<size_t>(y) * bytes);
  }
}

}  // namespace cornet
