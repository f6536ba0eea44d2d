// The fused kernels through NVRTC, as the addon compiles them; the library is the first argument.
#include <dlfcn.h>

#include <chrono>
#include <cstdio>

#include "fused_kernels.h"
#include "kernels.h"

int main(int, char** arguments) {
  void* const library = dlopen(arguments[1], RTLD_LAZY);
  if (library == nullptr) return std::fprintf(stderr, "%s\n", dlerror()), 1;
  // The last is a GPU that no compiler knows.
  for (const auto& [major, minor] : {std::pair{7, 5}, {8, 0}, {8, 6}, {9, 0}, {10, 0}, {99, 0}}) {
    const auto start = std::chrono::steady_clock::now();
    const std::string image = cornet::compileKernels(library, cornet::kFusedKernels, major, minor);
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
    std::printf("NVRTC, %d.%d: %zu bytes of %s in %.1f s\n", major, minor, image.size(),
                image.compare(1, 3, "ELF") == 0 ? "machine code" : "PTX", seconds.count());
  }
}
