// Enough of CUDA for the fused kernels to run on a CPU. The threads of a block are fibers that take turns from barrier to
// barrier, in an order that can be changed: where the result changes with it, a barrier is missing.
#pragma once

#include <ucontext.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <memory>
#include <random>
#include <vector>

#define __global__
#define __device__
#define __shared__ static  // one block at a time
#define __launch_bounds__(threads)

struct Dim {
  int x, y;
};
struct alignas(16) uint4 {
  unsigned int x, y, z, w;
};
struct alignas(8) float2 {
  float x, y;
};
inline float2 make_float2(float x, float y) { return {x, y}; }
inline float __uint_as_float(unsigned int bits) {
  float value;
  std::memcpy(&value, &bits, 4);
  return value;
}
inline unsigned int __float_as_uint(float value) {
  unsigned int bits;
  std::memcpy(&bits, &value, 4);
  return bits;
}

inline Dim threadIdx, blockIdx;

namespace emulator {

constexpr int threads = 256;
constexpr size_t stackBytes = 64 << 10;

struct Fiber {
  ucontext_t context;
  std::unique_ptr<char[]> stack{new char[stackBytes]};
  bool done = false;
};
inline std::vector<Fiber> fibers(threads);
inline ucontext_t scheduler;
inline std::function<void()> kernel;
inline unsigned int order = 0;  // 0: ascending; otherwise shuffled anew after every barrier

inline void body() {
  kernel();
  fibers[threadIdx.x].done = true;
}

inline void runBlock() {
  for (Fiber& fiber : fibers) {
    getcontext(&fiber.context);
    fiber.context.uc_stack.ss_sp = fiber.stack.get();
    fiber.context.uc_stack.ss_size = stackBytes;
    fiber.context.uc_link = &scheduler;
    fiber.done = false;
    makecontext(&fiber.context, body, 0);
  }
  std::vector<int> turns(threads);
  for (int i = 0; i < threads; i++) turns[i] = i;
  std::mt19937 random(order);
  for (;;) {
    if (order != 0) std::shuffle(turns.begin(), turns.end(), random);
    int done = 0;
    for (const int t : turns) {
      threadIdx = {t, 0};
      swapcontext(&scheduler, &fibers[t].context);
      done += fibers[t].done;
    }
    if (done == threads) return;
    if (done != 0) {
      std::fprintf(stderr, "not all threads of a block came to the same barrier\n");
      std::exit(1);
    }
  }
}

inline void launch(int x, int y, std::function<void()> with) {
  kernel = std::move(with);
  for (int b = 0; b < x * y; b++) {
    blockIdx = {b % x, b / x};
    runBlock();
  }
}

}  // namespace emulator

inline void __syncthreads() {
  const int self = threadIdx.x;
  swapcontext(&emulator::fibers[self].context, &emulator::scheduler);
  threadIdx = {self, 0};
}
