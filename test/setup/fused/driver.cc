// A CUDA driver without a GPU: knows the fused kernels by name and runs them on the CPU, on memory of the CPU. With it
// the addon's own way from a tensor to a kernel's arguments can be checked, contexts included.
#include "emulator.h"

#include "kernels.inc"

#include <map>
#include <string>
#include <thread>
#include <tuple>
#include <utility>

namespace {

using Kernel = std::function<void(unsigned int, unsigned int, void**)>;

template <class... Parameters>
Kernel* wrapped(void (*kernel)(Parameters...)) {
  return new Kernel([kernel](unsigned int x, unsigned int y, void** given) {
    [&]<size_t... I>(std::index_sequence<I...>) {
      std::tuple<Parameters...> arguments{*static_cast<Parameters*>(given[I])...};
      emulator::launch(x, y, [&] { std::apply(kernel, arguments); });
    }(std::index_sequence_for<Parameters...>{});
  });
}

const std::map<std::string, Kernel*> kernels{
#define ALL(G)                                                                                        \
  {"moments" #G, wrapped(moments##G)}, {"normalized" #G, wrapped(normalized##G)}, {"sums" #G, wrapped(sums##G)}, \
      {"gradient" #G, wrapped(gradient##G)}
    ALL(1), ALL(2), ALL(4), {"parameterGradients", wrapped(parameterGradients)}};

constexpr int invalidValue = 1, invalidImage = 200, invalidContext = 201, notFound = 500;  // of cuda.h
constexpr int capabilityMajor = 75;

char context, module_;
const std::thread::id first = std::this_thread::get_id();
thread_local void* current = first == std::this_thread::get_id() ? &context : nullptr;

}  // namespace

extern "C" {

int cuGetErrorString(int, const char** words) {
  *words = "the driver without a GPU";
  return 0;
}
int cuCtxGetCurrent(void** found) {
  *found = current;
  return 0;
}
int cuCtxSetCurrent(void* wanted) {
  current = wanted;
  return wanted == &context ? 0 : invalidContext;
}
int cuCtxGetDevice(int* device) {
  *device = 0;
  return current == nullptr ? invalidContext : 0;
}
int cuDeviceGetAttribute(int* value, int attribute, int) {
  *value = attribute == capabilityMajor ? 9 : 0;
  return 0;
}
int cuModuleLoadData(void** loaded, const void* image) {
  *loaded = &module_;
  return std::memcmp(image, "\177ELF", 4) == 0 ? 0 : invalidImage;
}
int cuModuleGetFunction(void** found, void* from, const char* name) {
  const auto known = kernels.find(name);
  if (from != &module_ || known == kernels.end()) return notFound;
  *found = known->second;
  return 0;
}
int cuLaunchKernel(void* kernel, unsigned int x, unsigned int y, unsigned int z, unsigned int threads, unsigned int threadsY,
                   unsigned int threadsZ, unsigned int shared, void* stream, void** arguments, void** extra) {
  if (current == nullptr) return invalidContext;
  const bool simple = z == 1 && threadsY == 1 && threadsZ == 1 && shared == 0 && stream == nullptr && extra == nullptr;
  if (!simple || threads != emulator::threads) return invalidValue;
  (*static_cast<Kernel*>(kernel))(x, y, arguments);
  return 0;
}
}
