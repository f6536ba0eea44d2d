// Group normalisation with ReLU on a GPU, in CUDA C++ for NVRTC: text, because nothing here is built by nvcc.
#pragma once

namespace cornet {

constexpr char kFusedKernels[] = R"CUDA(
// Activations are bfloat16, channels-last: [n, pixels, channels]; everything else is float32. The grid is slabs × images,
// a block works on one slab of an image's pixels; a thread owns 8 neighbouring channels, 16 bytes, of every rows-th pixel.
// G is the number of groups that the 8 channels belong to. Every sum has one order: no atomics.

struct Shape {
  int pixels, channels, groups, slabs, slabPixels;
  float epsilon;
};

constexpr int kThreads = 256;
constexpr int kMaxSlabs = 16;
constexpr int kMaxGroups = 64;
constexpr int kMaxChannels = 1024;

struct Place {
  int lanes, rows, lane, row, begin, end;
  long long image;  // the first of its vectors that this thread sees
};

__device__ inline Place place(const Shape& s) {
  Place p;
  p.lanes = s.channels / 8;
  p.rows = kThreads / p.lanes;
  p.lane = threadIdx.x % p.lanes;
  p.row = threadIdx.x / p.lanes;
  p.begin = blockIdx.x * s.slabPixels;
  p.end = p.begin + s.slabPixels < s.pixels ? p.begin + s.slabPixels : s.pixels;
  p.image = (long long)blockIdx.y * s.pixels * p.lanes + p.lane;
  return p;
}

__device__ inline void unpackTwo(unsigned int word, float* values) {
  values[0] = __uint_as_float(word << 16);
  values[1] = __uint_as_float(word & 0xffff0000u);
}

__device__ inline void unpack(const uint4& v, float* values) {
  unpackTwo(v.x, values);
  unpackTwo(v.y, values + 2);
  unpackTwo(v.z, values + 4);
  unpackTwo(v.w, values + 6);
}

// To the nearest bfloat16, ties to even; a NaN stays one.
__device__ inline unsigned int rounded(float value) {
  const unsigned int bits = __float_as_uint(value);
  const unsigned int nearest = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
  return (bits & 0x7fffffffu) > 0x7f800000u ? (bits >> 16) | 0x40u : nearest;
}

__device__ inline unsigned int packTwo(const float* values) {
  return rounded(values[0]) | (rounded(values[1]) << 16);
}

__device__ inline uint4 pack(const float* values) {
  uint4 v;
  v.x = packTwo(values);
  v.y = packTwo(values + 2);
  v.z = packTwo(values + 4);
  v.w = packTwo(values + 6);
  return v;
}

// Chan et al.: count, mean and sum of squared deviations of two samples as those of one.
__device__ inline void merge(float& count, float& mean, float& squares, float count2, float mean2, float squares2) {
  if (count2 == 0.0f) return;
  const float both = count + count2;
  const float delta = mean2 - mean;
  const float share = count2 / both;
  mean = fmaf(delta, share, mean);
  squares += fmaf(delta * delta, count * share, squares2);
  count = both;
}

// partial [n, slabs, groups]: mean and sum of squared deviations. Each thread's sums are of differences from the first
// value it sees: of squares of the values themselves little would be left where the mean is large.
template <int G>
__device__ inline void momentsOf(const uint4* __restrict__ x, float2* __restrict__ partial, const Shape& s) {
  __shared__ float means[kThreads * G];
  __shared__ float squares[kThreads * G];
  __shared__ float counts[kThreads];
  const Place p = place(s);
  const uint4* const image = x + p.image;
  const int t = threadIdx.x;
  float first[G], sum[G], square[G];
  int seen = 0;
#pragma unroll
  for (int j = 0; j < G; j++) first[j] = sum[j] = square[j] = 0.0f;
  if (p.begin + p.row < p.end) {
    float v[8];
    unpack(image[(long long)(p.begin + p.row) * p.lanes], v);
#pragma unroll
    for (int j = 0; j < G; j++) first[j] = v[j * (8 / G)];
  }
#pragma unroll 4
  for (int pixel = p.begin + p.row; pixel < p.end; pixel += p.rows) {
    float v[8];
    unpack(image[(long long)pixel * p.lanes], v);
    seen++;
#pragma unroll
    for (int k = 0; k < 8; k++) {
      const float difference = v[k] - first[k * G / 8];
      sum[k * G / 8] += difference;
      square[k * G / 8] = fmaf(difference, difference, square[k * G / 8]);
    }
  }
  float count = (float)(seen * (8 / G));
  float mean[G], squared[G];
#pragma unroll
  for (int j = 0; j < G; j++) {
    const float shift = seen == 0 ? 0.0f : sum[j] / count;
    mean[j] = first[j] + shift;
    squared[j] = square[j] - sum[j] * shift;
    if (squared[j] < 0.0f) squared[j] = 0.0f;
    means[t * G + j] = mean[j];
    squares[t * G + j] = squared[j];
  }
  counts[t] = count;
  for (int half = p.rows / 2; half > 0; half /= 2) {
    __syncthreads();
    if (p.row < half) {
      const int other = t + half * p.lanes;
      const float before = count;
#pragma unroll
      for (int j = 0; j < G; j++) {
        count = before;
        merge(count, mean[j], squared[j], counts[other], means[other * G + j], squares[other * G + j]);
        means[t * G + j] = mean[j];
        squares[t * G + j] = squared[j];
      }
      counts[t] = count;
    }
  }
  __syncthreads();
  if (t < s.groups) {
    const int parts = p.lanes * G / s.groups;  // more than one where a group has more than 8 channels
    float all = counts[0], m = means[t * parts], q = squares[t * parts];
    for (int i = 1; i < parts; i++) merge(all, m, q, counts[0], means[t * parts + i], squares[t * parts + i]);
    partial[((long long)blockIdx.y * s.slabs + blockIdx.x) * s.groups + t] = make_float2(m, q);
  }
}

// y = relu((x - mean) · rstd · weight + bias); statistics [n, groups]: mean and rstd.
template <int G>
__device__ inline void normalizedOf(const uint4* __restrict__ x, const float2* __restrict__ partial,
                                    const float* __restrict__ weight, const float* __restrict__ bias,
                                    float2* __restrict__ statistics, uint4* __restrict__ y, const Shape& s) {
  __shared__ float2 parts[kMaxSlabs * kMaxGroups];
  __shared__ float2 group[kMaxGroups];
  const Place p = place(s);
  const int t = threadIdx.x;
  const int size = s.channels / s.groups;
  const float2* const slabs = partial + (long long)blockIdx.y * s.slabs * s.groups;
  for (int i = t; i < s.slabs * s.groups; i += kThreads) parts[i] = slabs[i];
  __syncthreads();
  if (t < s.groups) {
    float count = (float)s.slabPixels * size, mean = parts[t].x, squares = parts[t].y;
    if (s.slabs == 1) count = (float)s.pixels * size;
    for (int slab = 1; slab < s.slabs; slab++) {
      const int rest = s.pixels - slab * s.slabPixels;
      const float2 part = parts[slab * s.groups + t];
      merge(count, mean, squares, (float)(rest < s.slabPixels ? rest : s.slabPixels) * size, part.x, part.y);
    }
    group[t] = make_float2(mean, 1.0f / sqrtf(squares / count + s.epsilon));
    if (blockIdx.x == 0) statistics[(long long)blockIdx.y * s.groups + t] = group[t];
  }
  __syncthreads();
  float mean[G], scale[8], shift[8];
#pragma unroll
  for (int k = 0; k < 8; k++) {
    const int channel = p.lane * 8 + k;
    const float2 own = group[channel / size];
    mean[k * G / 8] = own.x;
    scale[k] = own.y * weight[channel];
    shift[k] = bias[channel];
  }
  const uint4* const image = x + p.image;
  uint4* const result = y + p.image;
#pragma unroll 4
  for (int pixel = p.begin + p.row; pixel < p.end; pixel += p.rows) {
    float v[8];
    unpack(image[(long long)pixel * p.lanes], v);
#pragma unroll
    for (int k = 0; k < 8; k++) {
      const float value = fmaf(v[k] - mean[k * G / 8], scale[k], shift[k]);
      v[k] = value <= 0.0f ? 0.0f : value;
    }
    result[(long long)pixel * p.lanes] = pack(v);
  }
}

// What both passes of the gradient need to know about a thread's channels.
template <int G>
struct Channels {
  float mean[G], rstd[G], scale[8], shift[8];

  __device__ inline Channels(const float2* statistics, const float* weight, const float* bias, int lane, const Shape& s) {
    const int size = s.channels / s.groups;
#pragma unroll
    for (int k = 0; k < 8; k++) {
      const int channel = lane * 8 + k;
      const float2 own = statistics[(long long)blockIdx.y * s.groups + channel / size];
      mean[k * G / 8] = own.x;
      rstd[k * G / 8] = own.y;
      scale[k] = own.y * weight[channel];
      shift[k] = bias[channel];
    }
  }

  // x becomes its difference from the mean, dy what the ReLU lets through: the same arithmetic as forward.
  __device__ inline void open(float* x, float* dy) const {
#pragma unroll
    for (int k = 0; k < 8; k++) {
      x[k] -= mean[k * G / 8];
      dy[k] = fmaf(x[k], scale[k], shift[k]) <= 0.0f ? 0.0f : dy[k];
    }
  }
};

// partial [n, slabs, 2, channels]: the sums of dy and of dy · normalised x.
template <int G>
__device__ inline void sumsOf(const uint4* __restrict__ x, const uint4* __restrict__ dy,
                              const float2* __restrict__ statistics, const float* __restrict__ weight,
                              const float* __restrict__ bias, float* __restrict__ partial, const Shape& s) {
  __shared__ float sums[16 * kThreads];
  const Place p = place(s);
  const Channels<G> own(statistics, weight, bias, p.lane, s);
  const uint4* const image = x + p.image;
  const uint4* const above = dy + p.image;
  const int t = threadIdx.x;
  float plain[8], normal[8];
#pragma unroll
  for (int k = 0; k < 8; k++) plain[k] = normal[k] = 0.0f;
#pragma unroll 2
  for (int pixel = p.begin + p.row; pixel < p.end; pixel += p.rows) {
    float v[8], d[8];
    unpack(image[(long long)pixel * p.lanes], v);
    unpack(above[(long long)pixel * p.lanes], d);
    own.open(v, d);
#pragma unroll
    for (int k = 0; k < 8; k++) {
      plain[k] += d[k];
      normal[k] = fmaf(d[k], v[k], normal[k]);
    }
  }
#pragma unroll
  for (int k = 0; k < 8; k++) {
    sums[k * kThreads + t] = plain[k];
    sums[(8 + k) * kThreads + t] = normal[k] * own.rstd[k * G / 8];
  }
  for (int half = p.rows / 2; half > 0; half /= 2) {
    __syncthreads();
    if (p.row < half) {
#pragma unroll
      for (int k = 0; k < 16; k++) sums[k * kThreads + t] += sums[k * kThreads + t + half * p.lanes];
    }
  }
  __syncthreads();
  float* const result = partial + ((long long)blockIdx.y * s.slabs + blockIdx.x) * 2 * s.channels;
  for (int i = t; i < 2 * s.channels; i += kThreads) {
    const int channel = i % s.channels;
    result[i] = sums[(i / s.channels * 8 + channel % 8) * kThreads + channel / 8];
  }
}

// dx = rstd · (dy · weight - mean of that over the group - normalised x · mean of that · normalised x); images
// [n, 2, channels]: the slabs' sums as one.
template <int G>
__device__ inline void gradientOf(const uint4* __restrict__ x, const uint4* __restrict__ dy,
                                  const float2* __restrict__ statistics, const float* __restrict__ weight,
                                  const float* __restrict__ bias, const float* __restrict__ partial,
                                  float* __restrict__ images, uint4* __restrict__ dx, const Shape& s) {
  __shared__ float total[2 * kMaxChannels];
  __shared__ float2 group[kMaxGroups];
  const Place p = place(s);
  const int t = threadIdx.x;
  const int size = s.channels / s.groups;
  const int columns = 2 * s.channels;
  const float* const slabs = partial + (long long)blockIdx.y * s.slabs * columns;
  for (int i = t; i < columns; i += kThreads) {
    float sum = 0.0f;
#pragma unroll 4
    for (int slab = 0; slab < s.slabs; slab++) sum += slabs[slab * columns + i];
    total[i] = sum;
    if (blockIdx.x == 0) images[(long long)blockIdx.y * columns + i] = sum;
  }
  __syncthreads();
  if (t < s.groups) {
    float plain = 0.0f, normal = 0.0f;
    for (int channel = t * size; channel < (t + 1) * size; channel++) {
      plain = fmaf(weight[channel], total[channel], plain);
      normal = fmaf(weight[channel], total[s.channels + channel], normal);
    }
    const float values = (float)s.pixels * size;
    group[t] = make_float2(plain / values, normal / values);
  }
  __syncthreads();
  const Channels<G> own(statistics, weight, bias, p.lane, s);
  float constant[G], slope[G];
#pragma unroll
  for (int j = 0; j < G; j++) {
    const float2 means = group[(p.lane * 8 + j * (8 / G)) / size];
    constant[j] = own.rstd[j] * means.x;
    slope[j] = own.rstd[j] * own.rstd[j] * means.y;
  }
  const uint4* const image = x + p.image;
  const uint4* const above = dy + p.image;
  uint4* const result = dx + p.image;
#pragma unroll 2
  for (int pixel = p.begin + p.row; pixel < p.end; pixel += p.rows) {
    float v[8], d[8];
    unpack(image[(long long)pixel * p.lanes], v);
    unpack(above[(long long)pixel * p.lanes], d);
    own.open(v, d);
#pragma unroll
    for (int k = 0; k < 8; k++) {
      v[k] = fmaf(v[k], -slope[k * G / 8], fmaf(d[k], own.scale[k], -constant[k * G / 8]));
    }
    result[(long long)pixel * p.lanes] = pack(v);
  }
}

// Over all images: 32 columns of [n, 2, channels] per block, each in 8 parts.
extern "C" __global__ void __launch_bounds__(256) parameterGradients(const float* __restrict__ images, float* dweight,
                                                                     float* dbias, int n, int channels) {
  __shared__ float parts[kThreads];
  const int t = threadIdx.x;
  const int column = blockIdx.x * 32 + t % 32;
  float sum = 0.0f;
  if (column < 2 * channels) {
#pragma unroll 8
    for (int image = t / 32; image < n; image += 8) sum += images[(long long)image * 2 * channels + column];
  }
  parts[t] = sum;
  __syncthreads();
  if (t < 32 && column < 2 * channels) {
    for (int part = 1; part < 8; part++) sum += parts[part * 32 + t];
    if (column < channels) dbias[column] = sum;
    else dweight[column - channels] = sum;
  }
}

#define KERNELS_FOR(G)                                                                                             \
  extern "C" __global__ void __launch_bounds__(256)                                                                \
      moments##G(const uint4* __restrict__ x, float2* __restrict__ partial, Shape s) {                             \
    momentsOf<G>(x, partial, s);                                                                                   \
  }                                                                                                                \
  extern "C" __global__ void __launch_bounds__(256)                                                                \
      normalized##G(const uint4* __restrict__ x, const float2* __restrict__ partial,                               \
                    const float* __restrict__ weight, const float* __restrict__ bias,                              \
                    float2* __restrict__ statistics, uint4* __restrict__ y, Shape s) {                             \
    normalizedOf<G>(x, partial, weight, bias, statistics, y, s);                                                   \
  }                                                                                                                \
  extern "C" __global__ void __launch_bounds__(256)                                                                \
      sums##G(const uint4* __restrict__ x, const uint4* __restrict__ dy, const float2* __restrict__ statistics,    \
              const float* __restrict__ weight, const float* __restrict__ bias, float* __restrict__ partial,       \
              Shape s) {                                                                                           \
    sumsOf<G>(x, dy, statistics, weight, bias, partial, s);                                                        \
  }                                                                                                                \
  extern "C" __global__ void __launch_bounds__(256)                                                                \
      gradient##G(const uint4* __restrict__ x, const uint4* __restrict__ dy, const float2* __restrict__ statistics, \
                  const float* __restrict__ weight, const float* __restrict__ bias,                                \
                  const float* __restrict__ partial, float* __restrict__ images, uint4* __restrict__ dx, Shape s) { \
    gradientOf<G>(x, dy, statistics, weight, bias, partial, images, dx, s);                                        \
  }

KERNELS_FOR(1)
KERNELS_FOR(2)
KERNELS_FOR(4)
)CUDA";

}  // namespace cornet
