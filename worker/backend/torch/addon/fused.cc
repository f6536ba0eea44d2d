#include "fused.h"

#include "border.h"
#include "fused_kernels.h"
#include "kernels.h"

#include <ATen/Version.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>
#include <c10/core/DeviceGuard.h>
#include <c10/core/impl/VirtualGuardImpl.h>
#include <dlfcn.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/version.h>

#include <algorithm>
#include <exception>
#include <memory>
#include <mutex>

namespace cornet {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// Of the kernels.
constexpr unsigned int kThreads = 256;
constexpr int64_t kMaxSlabs = 16;
constexpr int64_t kMaxGroups = 64;
constexpr int64_t kMaxChannels = 1024;
constexpr int64_t kSlabBytes = int64_t{32} << 10;  // eight vectors per thread

struct Shape {
  int pixels, channels, groups, slabs, slabPixels;
  float epsilon;
};

// The folder of libtorch's libraries.
std::string libraryFolder() {
  Dl_info info{};
  if (dladdr(reinterpret_cast<void*>(&at::show_config), &info) == 0 || info.dli_fname == nullptr) return ".";
  const std::string file = info.dli_fname;
  const size_t slash = file.rfind('/');
  return slash == std::string::npos ? "." : file.substr(0, slash);
}

// Compiled at the first call; of the one GPU that a process computes on. What failed once fails again.
Kernels& kernelsOf(c10::Device device) {
  static std::mutex compiling;
  static std::map<int, Kernels*> compiled;  // for good
  static std::map<int, std::string> failed;
  const std::lock_guard<std::mutex> alone(compiling);
  const int gpu = device.index();
  if (const auto known = compiled.find(gpu); known != compiled.end()) return *known->second;
  if (const auto known = failed.find(gpu); known != failed.end()) throw std::runtime_error(known->second);
  try {
    const c10::DeviceGuard current(device);
    at::zeros({1}, at::TensorOptions().device(device));  // the GPU has a context from its first kernel on
    return *compiled.emplace(gpu, new Kernels(kFusedKernels, libraryFolder())).first->second;
  } catch (const std::exception& error) {
    failed.emplace(gpu, error.what());
    throw;
  }
}

// libtorch 1 and early 2 do not tell.
template <class Stream>
auto nativeHandle(const Stream& stream, int) -> decltype(stream.native_handle()) {
  return stream.native_handle();
}
template <class Stream>
void* nativeHandle(const Stream&, long) {
  throw std::runtime_error("libtorch " TORCH_VERSION " does not tell its streams' handles");
}

void* currentStream(c10::Device device) {
  const c10::Stream stream = c10::impl::VirtualGuardImpl(device.type()).getStream(device);
  return stream.id() == 0 ? nullptr : nativeHandle(stream, 0);  // 0: the default stream, whose handle is null
}

// Launches on the current stream of the tensors' device.
class Launcher {
 public:
  Launcher(const at::Tensor& x, const Shape& shape)
      : kernels_(kernelsOf(x.device())),
        stream_(currentStream(x.device())),
        shape_(shape),
        grid_{static_cast<unsigned int>(shape.slabs), static_cast<unsigned int>(x.size(0))},
        suffix_(std::to_string(std::max(1, 8 / (shape.channels / shape.groups)))) {}

  template <class... Arguments>
  void perSlab(const char* name, const Arguments&... arguments) const {
    kernels_.launch(name + suffix_, grid_, kThreads, stream_, pointer(arguments)..., shape_);
  }
  void parameterGradients(const at::Tensor& images, const at::Tensor& weight, const at::Tensor& bias) const {
    const unsigned int columns = 2 * shape_.channels;
    kernels_.launch("parameterGradients", {(columns + 31) / 32, 1}, kThreads, stream_, pointer(images), pointer(weight),
                    pointer(bias), static_cast<int>(grid_.y), shape_.channels);
  }

 private:
  static void* pointer(const at::Tensor& tensor) { return tensor.data_ptr(); }

  Kernels& kernels_;
  void* stream_;
  Shape shape_;
  Kernels::Grid grid_;
  std::string suffix_;
};

Shape shapeOf(const at::Tensor& x, int64_t groups, double epsilon) {
  const int64_t channels = x.size(1);
  const int64_t pixels = x.size(2) * x.size(3);
  const int64_t slabs = std::clamp((pixels * channels * 2 + kSlabBytes - 1) / kSlabBytes, int64_t{1}, kMaxSlabs);
  const int64_t slabPixels = (pixels + slabs - 1) / slabs;
  const int64_t filled = (pixels + slabPixels - 1) / slabPixels;  // rounding up may leave none for the last
  return {static_cast<int>(pixels), static_cast<int>(channels),   static_cast<int>(groups),
          static_cast<int>(filled), static_cast<int>(slabPixels), static_cast<float>(epsilon)};
}

at::Tensor inLayout(const at::Tensor& tensor) {
  return tensor.to(at::kBFloat16).contiguous(at::MemoryFormat::ChannelsLast);
}

at::Tensor activationLike(const at::Tensor& x) {
  return at::empty(x.sizes(), x.options().memory_format(at::MemoryFormat::ChannelsLast));
}

struct GroupNormRelu : torch::autograd::Function<GroupNormRelu> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, const at::Tensor& weight,
                            const at::Tensor& bias, int64_t groups, double epsilon) {
    const c10::DeviceGuard current(x.device());
    const Shape shape = shapeOf(x, groups, epsilon);
    const auto floats = x.options().dtype(at::kFloat);
    const at::Tensor partial = at::empty({x.size(0), shape.slabs, groups, 2}, floats);
    const at::Tensor statistics = at::empty({x.size(0), groups, 2}, floats);  // mean and 1 / standard deviation
    const at::Tensor y = activationLike(x);
    const Launcher launch(x, shape);
    launch.perSlab("moments", x, partial);
    launch.perSlab("normalized", x, partial, weight, bias, statistics, y);
    context->save_for_backward({x, weight, bias, statistics});
    context->saved_data["groups"] = groups;
    context->saved_data["epsilon"] = epsilon;
    return y;
  }

  static variable_list backward(AutogradContext* context, variable_list above) {
    const variable_list saved = context->get_saved_variables();
    const at::Tensor &x = saved[0], &weight = saved[1], &bias = saved[2], &statistics = saved[3];
    const c10::DeviceGuard current(x.device());
    const Shape shape =
        shapeOf(x, context->saved_data["groups"].toInt(), context->saved_data["epsilon"].toDouble());
    const at::Tensor dy = inLayout(above[0]);
    const auto floats = x.options().dtype(at::kFloat);
    const at::Tensor partial = at::empty({x.size(0), shape.slabs, 2, shape.channels}, floats);
    const at::Tensor images = at::empty({x.size(0), 2, shape.channels}, floats);
    const at::Tensor dx = activationLike(x);
    const at::Tensor dweight = at::empty({shape.channels}, floats);
    const at::Tensor dbias = at::empty({shape.channels}, floats);
    const Launcher launch(x, shape);
    launch.perSlab("sums", x, dy, statistics, weight, bias, partial);
    launch.perSlab("gradient", x, dy, statistics, weight, bias, partial, images, dx);
    launch.parameterGradients(images, dweight, dbias);
    return {dx, dweight, dbias, at::Tensor(), at::Tensor()};
  }
};

bool isVector(const at::Tensor& tensor, const at::Tensor& x) {
  return tensor.dim() == 1 && tensor.size(0) == x.size(1) && tensor.scalar_type() == at::kFloat &&
         tensor.is_contiguous() && tensor.device() == x.device();
}

}  // namespace

std::string whyNotFused(c10::Device device) {
  if (device.type() != c10::kCUDA) return "they are for GPUs, not for " + device.str();
  try {
    const c10::DeviceGuard current(device);
    kernelsOf(device);
    currentStream(device);
    return "";
  } catch (const c10::Error& error) {
    return error.what_without_backtrace();
  } catch (const std::exception& error) {
    return error.what();
  }
}

at::Tensor groupNormRelu(const at::Tensor& x, int64_t groups, const at::Tensor& weight, const at::Tensor& bias,
                         double epsilon) {
  if (x.dim() != 4 || x.numel() == 0 || x.device().type() != c10::kCUDA) {
    throw BorderError("groupNormRelu: x is no activation on a GPU");
  }
  const int64_t channels = x.size(1);
  const int64_t size = groups > 0 && channels % groups == 0 ? channels / groups : 0;
  const bool sizeFits = size == 2 || size == 4 || (size > 0 && size % 8 == 0);
  // A row of the block's threads is one pixel's channels.
  if (!sizeFits || groups > kMaxGroups || channels > kMaxChannels || channels % 8 != 0 || kThreads % (channels / 8) != 0) {
    throw BorderError("groupNormRelu: no kernel for " + std::to_string(channels) + " channels in " +
                      std::to_string(groups) + " groups");
  }
  if (x.size(0) > 65535 || x.size(2) * x.size(3) > (int64_t{1} << 24)) {
    throw BorderError("groupNormRelu: x is too large");
  }
  if (!isVector(weight, x) || !isVector(bias, x)) {
    throw BorderError("groupNormRelu: weight and bias are no float32 vectors of one value per channel beside x");
  }
  return GroupNormRelu::apply(inLayout(x), weight, bias, groups, epsilon);
}

}  // namespace cornet
