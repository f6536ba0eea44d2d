// The fused kernels, run on a CPU, against sums in double precision.
#include "emulator.h"

#include "kernels.inc"

namespace {

using Bytes16 = std::vector<unsigned short>;

struct Case {
  int n, channels, pixels, groups;
  float mean;
  int slabs;  // 0: as the addon cuts them
};

float widened(unsigned short value) { return __uint_as_float(static_cast<unsigned int>(value) << 16); }

struct Result {
  Bytes16 y, dx;
  std::vector<float> statistics, dweight, dbias;
  bool operator==(const Result& other) const {
    const auto same = [](const auto& a, const auto& b) {
      return std::memcmp(a.data(), b.data(), a.size() * sizeof(a[0])) == 0;
    };
    return same(y, other.y) && same(dx, other.dx) && same(statistics, other.statistics) &&
           same(dweight, other.dweight) && same(dbias, other.dbias);
  }
};

// Aligned memory of just this size, so that a tool sees what lies outside.
template <class T>
struct Memory {
  T* data;
  size_t count;
  explicit Memory(size_t size) : data(static_cast<T*>(std::aligned_alloc(16, (size * sizeof(T) + 15) / 16 * 16))), count(size) {
    std::memset(static_cast<void*>(data), 0xff, size * sizeof(T));  // NaN, where a kernel forgets to write
  }
  ~Memory() { std::free(data); }
  template <class U>
  void from(const std::vector<U>& values) { std::memcpy(static_cast<void*>(data), values.data(), values.size() * sizeof(U)); }
  template <class U>
  std::vector<U> to() const {
    std::vector<U> values(count * sizeof(T) / sizeof(U));
    std::memcpy(values.data(), data, count * sizeof(T));
    return values;
  }
};

Result run(const Case& c, const Bytes16& x, const Bytes16& dy, const std::vector<float>& weight, const std::vector<float>& bias) {
  int slabs = c.slabs != 0 ? c.slabs : std::clamp((c.pixels * c.channels * 2 + 32767) / 32768, 1, kMaxSlabs);
  const int slabPixels = (c.pixels + slabs - 1) / slabs;
  slabs = (c.pixels + slabPixels - 1) / slabPixels;
  const Shape s{c.pixels, c.channels, c.groups, slabs, slabPixels, 1e-5f};
  const size_t vectors = x.size() / 8;
  Memory<uint4> xs(vectors), dys(vectors), ys(vectors), dxs(vectors);
  Memory<float> weights(c.channels), biases(c.channels), dweight(c.channels), dbias(c.channels);
  Memory<float2> partial(c.n * slabs * c.groups), statistics(c.n * c.groups);
  Memory<float> sums(c.n * slabs * 2 * c.channels), images(c.n * 2 * c.channels);
  xs.from(x), dys.from(dy), weights.from(weight), biases.from(bias);
  const int size = c.channels / c.groups;
  const auto choose = [&](auto one, auto two, auto four) { return size == 2 ? four : size == 4 ? two : one; };
  using emulator::launch;
  launch(slabs, c.n, [&] { choose(moments1, moments2, moments4)(xs.data, partial.data, s); });
  launch(slabs, c.n, [&] {
    choose(normalized1, normalized2, normalized4)(xs.data, partial.data, weights.data, biases.data, statistics.data, ys.data, s);
  });
  launch(slabs, c.n, [&] {
    choose(sums1, sums2, sums4)(xs.data, dys.data, statistics.data, weights.data, biases.data, sums.data, s);
  });
  launch(slabs, c.n, [&] {
    choose(gradient1, gradient2, gradient4)(xs.data, dys.data, statistics.data, weights.data, biases.data, sums.data,
                                            images.data, dxs.data, s);
  });
  launch((2 * c.channels + 31) / 32, 1, [&] { parameterGradients(images.data, dweight.data, dbias.data, c.n, c.channels); });
  return {ys.to<unsigned short>(), dxs.to<unsigned short>(), statistics.to<float>(), dweight.to<float>(), dbias.to<float>()};
}

// The largest difference beside the reference's root mean square.
struct Error {
  double worst = 0, squares = 0;
  size_t count = 0;
  // What one rounding of the value itself makes is not counted.
  void add(double value, double reference, double rounding) {
    const double off = std::abs(value - reference) - rounding * std::abs(reference);
    worst = std::isnan(off) ? INFINITY : std::max(worst, off);
    squares += reference * reference;
    count++;
  }
  double relative() const { return worst / std::max(std::sqrt(squares / count), 1e-30); }
};

bool check(const Case& c) {
  std::mt19937 random(1);
  std::normal_distribution<float> normal;
  const size_t elements = size_t{1} * c.n * c.pixels * c.channels;
  Bytes16 x(elements), dy(elements);
  std::vector<float> weight(c.channels), bias(c.channels);
  for (auto& value : x) value = rounded(c.mean + normal(random));
  for (auto& value : dy) value = rounded(normal(random));
  for (auto& value : weight) value = 1 + 0.5f * normal(random);
  for (auto& value : bias) value = 0.5f * normal(random);

  emulator::order = 0;
  const Result result = run(c, x, dy, weight, bias);
  bool same = true;
  for (emulator::order = 1; emulator::order <= 2; emulator::order++) same = run(c, x, dy, weight, bias) == result && same;

  Error ey, edx, eweight, ebias, emean, erstd;
  const int size = c.channels / c.groups;
  const double rounding = 1.0 / 256, count = double(size) * c.pixels;
  std::vector<double> dweight(c.channels), dbias(c.channels);
  for (int n = 0; n < c.n; n++) {
    for (int g = 0; g < c.groups; g++) {
      const auto at = [&](int i) { return (size_t(n) * c.pixels + i / size) * c.channels + g * size + i % size; };
      double mean = 0, variance = 0, plain = 0, scaled = 0;
      for (int i = 0; i < count; i++) mean += widened(x[at(i)]) / count;
      for (int i = 0; i < count; i++) variance += std::pow(widened(x[at(i)]) - mean, 2) / count;
      const double rstd = 1 / std::sqrt(variance + 1e-5);
      emean.add(result.statistics[2 * (n * c.groups + g)], mean, 0);
      erstd.add(result.statistics[2 * (n * c.groups + g) + 1], rstd, 0);
      // On the edge of the ReLU a rounding decides: there the kernels' own word counts.
      const auto passed = [&](int i) { return widened(result.y[at(i)]) > 0 ? double(widened(dy[at(i)])) : 0.0; };
      for (int i = 0; i < count; i++) {
        const int channel = g * size + i % size;
        const double normalized = (widened(x[at(i)]) - mean) * rstd;
        ey.add(widened(result.y[at(i)]), std::max(0.0, normalized * weight[channel] + bias[channel]), rounding);
        plain += passed(i) * weight[channel] / count;
        scaled += passed(i) * weight[channel] * normalized / count;
        dweight[channel] += passed(i) * normalized;
        dbias[channel] += passed(i);
      }
      for (int i = 0; i < count; i++) {
        const double normalized = (widened(x[at(i)]) - mean) * rstd;
        const double reference = rstd * (passed(i) * weight[g * size + i % size] - plain - normalized * scaled);
        edx.add(widened(result.dx[at(i)]), reference, rounding);
      }
    }
  }
  for (int i = 0; i < c.channels; i++) {
    eweight.add(result.dweight[i], dweight[i], 0);
    ebias.add(result.dbias[i], dbias[i], 0);
  }
  const bool right = ey.relative() < 1e-5 && edx.relative() < 1e-5 && emean.relative() < 1e-6 && erstd.relative() < 1e-5 &&
                     eweight.relative() < 5e-5 && ebias.relative() < 1e-5;
  std::printf("%s  n %d, c %3d, groups %2d, pixels %4d, mean %2g: mean %.1e, rstd %.1e, y %.1e, dx %.1e, dweight %.1e, dbias %.1e%s\n",
              right && same ? "right" : "WRONG", c.n, c.channels, c.groups, c.pixels, c.mean, emean.relative(), erstd.relative(),
              ey.relative(), edx.relative(), eweight.relative(), ebias.relative(), same ? "" : ", OTHER BITS IN ANOTHER ORDER");
  return right && same;
}

bool checkRounding() {
  bool right = true;
  const auto expect = [&](unsigned int bits, unsigned int wanted) { right = rounded(__uint_as_float(bits)) == wanted && right; };
  expect(0x3f808000u, 0x3f80u);  // a tie goes to the even one
  expect(0x3f818000u, 0x3f82u);
  expect(0x3f808001u, 0x3f81u);
  expect(0x7f7fffffu, 0x7f80u);
  expect(0x7f800000u, 0x7f80u);
  expect(0xff800000u, 0xff80u);
  expect(0x7f800001u, 0x7fc0u);
  expect(0xffffffffu, 0xffffu);
  expect(0x80000000u, 0x8000u);
  std::printf("%s  rounding to bfloat16\n", right ? "right" : "WRONG");
  return right;
}

}  // namespace

int main() {
  bool right = checkRounding();
  for (const float mean : {0.0f, 50.0f}) {
    for (const Case& c : {Case{3, 64, 3136, 32, mean, 0}, Case{3, 128, 784, 32, mean, 0}, Case{3, 256, 196, 32, mean, 0},
                          Case{11, 512, 49, 32, mean, 0}, Case{2, 64, 35, 32, mean, 5}, Case{1, 64, 57 * 57, 32, mean, 0},
                          Case{2, 512, 35, 32, mean, 3}, Case{1, 256, 1, 32, mean, 0}, Case{2, 128, 4, 32, mean, 2}}) {
      right = check(c) && right;
    }
  }
  return right ? 0 : 1;
}
