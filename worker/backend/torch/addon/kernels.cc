#include "kernels.h"

#include "driver.h"

#include <dlfcn.h>

#include <cstddef>
#include <filesystem>
#include <mutex>
#include <stdexcept>
#include <vector>

namespace cornet {
namespace {

// A program of NVRTC, of nvrtc.h.
class Program {
 public:
  Program(void* library, const char* source) : library_(library) {
    check(symbolOf<int(void**, const char*, const char*, int, const char* const*, const char* const*)>(
              library, "nvrtcCreateProgram")(&program_, source, "cornet_kernels.cu", 0, nullptr, nullptr),
          "nvrtcCreateProgram");
  }
  ~Program() { symbolOf<int(void**)>(library_, "nvrtcDestroyProgram")(&program_); }
  Program(const Program&) = delete;
  Program& operator=(const Program&) = delete;

  // Whether it was compiled; what was said against it is in log().
  bool compile(const std::string& architecture) {
    const std::string target = "--gpu-architecture=" + architecture;
    const std::array<const char*, 2> options{target.c_str(), "--std=c++17"};
    return symbolOf<int(void*, int, const char* const*)>(library_, "nvrtcCompileProgram")(
               program_, static_cast<int>(options.size()), options.data()) == 0;
  }
  std::string log() { return text("nvrtcGetProgramLogSize", "nvrtcGetProgramLog"); }
  std::string cubin() { return text("nvrtcGetCUBINSize", "nvrtcGetCUBIN"); }
  std::string ptx() { return text("nvrtcGetPTXSize", "nvrtcGetPTX"); }

 private:
  std::string text(const char* sizeOf, const char* contentOf) {
    size_t size = 0;
    check(symbolOf<int(void*, size_t*)>(library_, sizeOf)(program_, &size), sizeOf);
    std::string content(size, '\0');
    check(symbolOf<int(void*, char*)>(library_, contentOf)(program_, &content[0]), contentOf);
    return content;
  }
  static void check(int result, const char* what) {
    if (result != 0) throw std::runtime_error("NVRTC error: " + std::to_string(result) + " of " + what);
  }

  void* library_;
  void* program_ = nullptr;
};

// NVRTC opens a second library by its bare name, which is found only where the libraries of a Python wheel are looked for.
void openBuiltins(void* library) {
  Dl_info info{};
  if (dladdr(dlsym(library, "nvrtcCreateProgram"), &info) == 0 || info.dli_fname == nullptr) return;
  std::error_code unreadable;
  const std::filesystem::path file = std::filesystem::canonical(info.dli_fname, unreadable);
  for (const auto& entry : std::filesystem::directory_iterator(file.parent_path(), unreadable)) {
    const std::string name = entry.path().filename();
    if (name.rfind("libnvrtc-builtins", 0) == 0 && name.find(".alt.") == std::string::npos) {
      dlopen(entry.path().c_str(), RTLD_LAZY | RTLD_LOCAL);
    }
  }
}

}  // namespace

void* openCompiler(const std::string& folder) {
  std::string words;
  for (const std::string& name : {folder + "/libcaffe2_nvrtc.so", std::string("libcaffe2_nvrtc.so")}) {
    void* const library = dlopen(name.c_str(), RTLD_LAZY | RTLD_LOCAL);
    if (library != nullptr) return library;
    const char* const error = dlerror();
    if (error != nullptr) words += (words.empty() ? "" : "; ") + std::string(error);
  }
  throw std::runtime_error("libtorch's compiler for kernels cannot be loaded: " + words);
}

std::string compileKernels(void* library, const char* source, int capabilityMajor, int capabilityMinor) {
  const std::string capability = std::to_string(capabilityMajor) + std::to_string(capabilityMinor);
  openBuiltins(library);
  std::string words;
  // A GPU newer than the compiler: the driver translates what is compiled for an older one.
  for (const std::string& architecture : {"sm_" + capability, "compute_" + capability, std::string("compute_80")}) {
    Program program(library, source);
    if (program.compile(architecture)) return architecture[0] == 's' ? program.cubin() : program.ptx();
    words += architecture + ": " + program.log() + "\n";
  }
  throw std::runtime_error("the kernels cannot be compiled: " + words);
}

Kernels::Kernels(const char* source, const std::string& compilerFolder) {
  callDriver("cuCtxGetCurrent", &context_);
  if (context_ == nullptr) throw std::runtime_error("this thread has no CUDA context");
  int device = 0;
  callDriver("cuCtxGetDevice", &device);
  const ComputeCapability gpu = computeCapability(device);
  const std::string image = compileKernels(openCompiler(compilerFolder), source, gpu.major, gpu.minor);
  callDriver("cuModuleLoadData", &module_, static_cast<const void*>(image.data()));
}

void Kernels::launchWith(const std::string& name, Grid grid, unsigned int threads, void* stream, void** arguments) {
  // Autograd's thread may not have asked the driver for anything yet: then it has no context.
  void* current = nullptr;
  callDriver("cuCtxGetCurrent", &current);
  if (current != context_) callDriver("cuCtxSetCurrent", context_);

  static std::mutex looking;
  void* function = nullptr;
  {
    const std::lock_guard<std::mutex> alone(looking);
    void*& known = functions_[name];
    if (known == nullptr) callDriver("cuModuleGetFunction", &known, module_, name.c_str());
    function = known;
  }
  const unsigned int one = 1;
  const unsigned int noSharedMemory = 0;
  void** const noExtra = nullptr;
  callDriver("cuLaunchKernel", function, grid.x, grid.y, one, threads, one, one, noSharedMemory, stream, arguments,
              noExtra);
}

}  // namespace cornet
