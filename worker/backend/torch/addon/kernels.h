// Kernels that are compiled on the spot for the GPU at hand, with the NVRTC that comes with libtorch. No CUDA toolkit:
// compiler and driver are found by name, and the few functions that are used are declared here.
#pragma once

#include <array>
#include <map>
#include <string>

namespace cornet {

// An image that the driver loads. `library` is a handle of dlopen that knows NVRTC's functions.
// Throws std::runtime_error with the compiler's words.
std::string compileKernels(void* library, const char* source, int capabilityMajor, int capabilityMinor);

// The handle for compileKernels; `folder` is where libtorch's libraries are.
void* openCompiler(const std::string& folder);

// The compiled kernels in the context of one GPU.
class Kernels {
 public:
  // The GPU's context must be the calling thread's.
  Kernels(const char* source, const std::string& compilerFolder);

  struct Grid {
    unsigned int x, y;
  };
  // Queues a kernel on a stream (null: the default one), from any thread. The arguments' types are the kernel's own.
  template <class... Arguments>
  void launch(const std::string& name, Grid grid, unsigned int threads, void* stream, Arguments... arguments) {
    std::array<void*, sizeof...(Arguments)> pointers{static_cast<void*>(&arguments)...};
    launchWith(name, grid, threads, stream, pointers.data());
  }

 private:
  void launchWith(const std::string& name, Grid grid, unsigned int threads, void* stream, void** arguments);

  void* context_ = nullptr;
  void* module_ = nullptr;  // for good: at the end of the process the driver may be gone before it
  std::map<std::string, void*> functions_;
};

}  // namespace cornet
