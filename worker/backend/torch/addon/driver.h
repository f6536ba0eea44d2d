// The CUDA driver, found by name: libtorch's own ways to it need the CUDA headers. Every function of cuda.h that is
// called here answers a CUresult.
#pragma once

#include <dlfcn.h>

#include <stdexcept>
#include <string>

namespace cornet {

template <class Function>
Function* symbolOf(void* library, const char* name) {
  void* const found = dlsym(library, name);
  if (found == nullptr) throw std::runtime_error(std::string("the CUDA libraries have no ") + name);
  return reinterpret_cast<Function*>(found);
}

inline void* cudaDriver() {
  static void* const opened = dlopen("libcuda.so.1", RTLD_LAZY);
  if (opened == nullptr) throw std::runtime_error("the CUDA driver (libcuda.so.1) cannot be loaded");
  return opened;
}

// Throws std::runtime_error with the driver's own words. The arguments' types are the function's own.
template <class... Parameters>
void callDriver(const char* name, Parameters... parameters) {
  const int result = symbolOf<int(Parameters...)>(cudaDriver(), name)(parameters...);
  if (result == 0) return;
  const char* words = nullptr;
  symbolOf<int(int, const char**)>(cudaDriver(), "cuGetErrorString")(result, &words);
  throw std::runtime_error("CUDA driver error: " + std::to_string(result) + " of " + name + ": " +
                           (words == nullptr ? "unknown" : words));
}

struct ComputeCapability {
  int major = 0;
  int minor = 0;
};

inline ComputeCapability computeCapability(int device) {
  ComputeCapability capability;
  callDriver("cuDeviceGetAttribute", &capability.major, 75, device);  // CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR
  callDriver("cuDeviceGetAttribute", &capability.minor, 76, device);
  return capability;
}

}  // namespace cornet
