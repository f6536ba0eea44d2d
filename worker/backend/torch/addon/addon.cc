// libtorch's dispatcher for Node: one generic call, converted by the operator's own schema, and the few things that
// are no operators: bytes in and out, gradients, modes, and what there is to know about the library and its devices.
#include "border.h"
#include "convolution.h"
#include "driver.h"
#include "fused.h"
#include "transfer.h"

#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <ATen/Version.h>
#include <ATen/autocast_mode.h>
#include <ATen/ops/_nnpack_available.h>
#include <ATen/ops/from_blob.h>
#include <c10/core/DeviceGuard.h>
#include <c10/core/GradMode.h>
#include <c10/core/impl/VirtualGuardImpl.h>
#include <c10/util/Logging.h>
#include <cxxabi.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/version.h>

#include <cstdlib>
#include <functional>
#include <memory>
#include <numeric>
#include <typeinfo>
#include <unordered_set>
#include <utility>

namespace cornet {
namespace {

Instance& instanceOf(const Napi::CallbackInfo& info) { return *info.Env().GetInstanceData<Instance>(); }

Napi::Error coded(Napi::Error error, const char* code) {
  error.Set("code", Napi::String::New(error.Env(), code));
  return error;
}

// Words and class: what they mean is decided on the other side. By its name, because old versions lack some classes.
Napi::Error fromLibrary(Napi::Env env, const std::exception& error, const char* words) {
  int status = 0;
  const std::unique_ptr<char, decltype(&std::free)> name(
      abi::__cxa_demangle(typeid(error).name(), nullptr, nullptr, &status), std::free);
  Napi::Error refused = coded(Napi::Error::New(env, words), "TORCH");
  refused.Set("class", Napi::String::New(env, status == 0 ? name.get() : typeid(error).name()));
  return refused;
}

// No C++ exception may leave the addon except as a JavaScript error.
template <class Body>
auto guard(Napi::Env env, const Body& body) {
  try {
    return body();
  } catch (const BorderError& error) {
    throw coded(Napi::TypeError::New(env, error.what()), "BORDER");
  } catch (const c10::Error& error) {
    throw fromLibrary(env, error, error.what_without_backtrace());
  } catch (const Napi::Error&) {
    throw;
  } catch (const std::exception& error) {
    throw fromLibrary(env, error, error.what());
  }
}

template <Napi::Value (*function)(const Napi::CallbackInfo&)>
Napi::Value guarded(const Napi::CallbackInfo& info) {
  return guard(info.Env(), [&] { return function(info); });
}

const c10::OperatorHandle& findOperator(Instance& instance, const std::string& name, const std::string& overload) {
  const std::string key = name + "." + overload;
  const auto known = instance.operators.find(key);
  if (known != instance.operators.end()) return known->second;
  const auto found = c10::Dispatcher::singleton().findSchema({name, overload});
  if (!found.has_value()) throw BorderError("libtorch " TORCH_VERSION " has no operator " + key);
  return instance.operators.emplace(key, *found).first->second;
}

std::string stringArgument(const Napi::CallbackInfo& info, size_t index) {
  if (!info[index].IsString()) throw BorderError("expected a string");
  return info[index].As<Napi::String>().Utf8Value();
}

bool boolArgument(const Napi::CallbackInfo& info, size_t index) {
  if (!info[index].IsBoolean()) throw BorderError("expected a boolean");
  return info[index].As<Napi::Boolean>().Value();
}

Napi::Uint8Array bytesArgument(const Napi::CallbackInfo& info, size_t index) {
  if (!info[index].IsTypedArray() || info[index].As<Napi::TypedArray>().TypedArrayType() != napi_uint8_array) {
    throw BorderError("expected a Uint8Array");
  }
  return info[index].As<Napi::Uint8Array>();
}

// call(name, overload, args): arguments left out at the end take the schema's defaults.
Napi::Value call(const Napi::CallbackInfo& info) {
  Instance& instance = instanceOf(info);
  const std::string name = stringArgument(info, 0);
  const auto& op = findOperator(instance, name, stringArgument(info, 1));
  if (!info[2].IsArray()) throw BorderError("expected an array of arguments");
  const Napi::Array given = info[2].As<Napi::Array>();
  const auto& schema = op.schema();
  const auto& wanted = schema.arguments();
  if (given.Length() > wanted.size()) throw BorderError("too many arguments for " + c10::toString(schema));

  torch::jit::Stack stack;
  for (uint32_t i = 0; i < wanted.size(); i++) {
    if (i < given.Length()) {
      try {
        stack.push_back(toIValue(instance.tensors, given.Get(i), *wanted[i].type()));
      } catch (const BorderError& error) {
        throw BorderError(name + ": argument " + wanted[i].name() + ": " + error.what());
      }
    } else if (wanted[i].default_value().has_value()) {
      stack.push_back(*wanted[i].default_value());
    } else {
      throw BorderError(name + ": argument " + wanted[i].name() + " is missing");
    }
  }
  op.callBoxed(&stack);

  if (stack.empty()) return info.Env().Null();
  if (stack.size() == 1) return toJs(info.Env(), instance.tensors, stack.front());
  Napi::Array results = Napi::Array::New(info.Env(), stack.size());
  for (size_t i = 0; i < stack.size(); i++) {
    results.Set(static_cast<uint32_t>(i), toJs(info.Env(), instance.tensors, stack[i]));
  }
  return results;
}

std::vector<int64_t> shapeArgument(const Napi::CallbackInfo& info, size_t index, const Napi::Uint8Array& bytes,
                                   at::ScalarType dtype) {
  std::vector<int64_t> shape = intListArgument(info[index]);
  const int64_t elements = std::accumulate(shape.begin(), shape.end(), int64_t{1}, std::multiplies<int64_t>());
  if (static_cast<int64_t>(bytes.ByteLength()) != elements * static_cast<int64_t>(c10::elementSize(dtype))) {
    throw BorderError("the bytes do not fill the shape");
  }
  return shape;
}

// lend(bytes, shape): float32 elements where they lie, which are kept alive as long as the tensor.
Napi::Value lend(const Napi::CallbackInfo& info) {
  Napi::Uint8Array bytes = bytesArgument(info, 0);
  const std::vector<int64_t> shape = shapeArgument(info, 1, bytes, at::kFloat);
  auto* lender = new Napi::Reference<Napi::Uint8Array>(Napi::Persistent(bytes));
  return Napi::Number::New(info.Env(), instanceOf(info).tensors.add(at::from_blob(
                                           bytes.Data(), shape, [lender](void*) { delete lender; }, at::kFloat)));
}

// upload(bytes, dtype, shape, device): see transfer.h.
Napi::Value uploadBytes(const Napi::CallbackInfo& info) {
  const Napi::Uint8Array bytes = bytesArgument(info, 0);
  const auto dtype = static_cast<at::ScalarType>(intArgument(info[1]));
  const std::vector<int64_t> shape = shapeArgument(info, 2, bytes, dtype);
  const c10::Device device(stringArgument(info, 3));
  return Napi::Number::New(info.Env(), instanceOf(info).tensors.add(upload(bytes.Data(), shape, dtype, device)));
}

// download(tensor, target): the elements in row-major order of the logical shape.
Napi::Value downloadBytes(const Napi::CallbackInfo& info) {
  const at::Tensor& tensor = tensorArgument(info, 0);
  Napi::Uint8Array target = bytesArgument(info, 1);
  if (target.ByteLength() != tensor.nbytes()) throw BorderError("the target has another length than the tensor");
  download(tensor, target.Data());
  return info.Env().Undefined();
}

// fetch(tensor): a function that copies, once, into its argument what `download` would have at this moment.
Napi::Value fetch(const Napi::CallbackInfo& info) {
  const std::shared_ptr<Arrival> arrival(new Arrival(tensorArgument(info, 0)), leakWhenAbandoned<Arrival>);
  return Napi::Function::New(info.Env(), [arrival](const Napi::CallbackInfo& reading) {
    guard(reading.Env(), [&] {
      Napi::Uint8Array target = bytesArgument(reading, 0);
      if (target.ByteLength() != arrival->nbytes()) throw BorderError("the target has another length than the tensor");
      if (arrival->wasRead()) throw BorderError("what was fetched can be read once");
      arrival->read(target.Data());  // on a GPU, what went wrong until now comes to light here
    });
  });
}

Napi::Value release(const Napi::CallbackInfo& info) {
  for (const int64_t handle : intListArgument(info[0])) {
    instanceOf(info).tensors.release(static_cast<double>(handle));
  }
  return info.Env().Undefined();
}

// abandon(): the device has failed. Whatever lies on it is never given back, not even when the process ends: to free a
// tensor that other streams have used asks the device, and throws out of a destructor.
Napi::Value abandon(const Napi::CallbackInfo& info) {
  abandoned = true;
  return info.Env().Undefined();
}

Napi::Value shape(const Napi::CallbackInfo& info) {
  const auto sizes = tensorArgument(info, 0).sizes();
  Napi::Array array = Napi::Array::New(info.Env(), sizes.size());
  for (size_t i = 0; i < sizes.size(); i++) {
    array.Set(static_cast<uint32_t>(i), Napi::Number::New(info.Env(), static_cast<double>(sizes[i])));
  }
  return array;
}

// gradients(output, inputs): d output / d each input; null where the output does not depend on it.
Napi::Value gradients(const Napi::CallbackInfo& info) {
  Instance& instance = instanceOf(info);
  torch::autograd::variable_list inputs;
  for (const int64_t handle : intListArgument(info[1])) {
    inputs.push_back(instance.tensors.get(static_cast<double>(handle)));
  }
  const auto found = torch::autograd::grad({tensorArgument(info, 0)}, inputs, /*grad_outputs=*/{},
                                           /*retain_graph=*/false, /*create_graph=*/false, /*allow_unused=*/true);
  Napi::Array results = Napi::Array::New(info.Env(), found.size());
  for (size_t i = 0; i < found.size(); i++) {
    results.Set(static_cast<uint32_t>(i), toJs(info.Env(), instance.tensors, found[i]));
  }
  return results;
}

Napi::Value requireGradient(const Napi::CallbackInfo& info) {
  tensorArgument(info, 0).set_requires_grad(true);
  return info.Env().Undefined();
}

Napi::Value setGradMode(const Napi::CallbackInfo& info) {
  c10::GradMode::set_enabled(boolArgument(info, 0));
  return info.Env().Undefined();
}

// setAutocast(device type, enabled): mixed precision in bfloat16; leaving it drops the cached casts.
Napi::Value setAutocast(const Napi::CallbackInfo& info) {
  const auto type = c10::Device(stringArgument(info, 0)).type();
  const bool enabled = boolArgument(info, 1);
#if TORCH_VERSION_MAJOR > 2 || (TORCH_VERSION_MAJOR == 2 && TORCH_VERSION_MINOR >= 4)
  at::autocast::set_autocast_dtype(type, at::kBFloat16);
  at::autocast::set_autocast_enabled(type, enabled);
#else
  if (type == c10::kCUDA) {
    at::autocast::set_autocast_gpu_dtype(at::kBFloat16);
    at::autocast::set_enabled(enabled);
  } else {
    at::autocast::set_autocast_cpu_dtype(at::kBFloat16);
    at::autocast::set_cpu_enabled(enabled);
  }
#endif
  if (!enabled) at::autocast::clear_cache();
  return info.Env().Undefined();
}

// A library that cannot use NNPACK on this processor would say so at every convolution that asks for it. Old ones cannot
// be told not to ask.
template <typename Context>
auto dropNnpack(Context& context, int) -> decltype(context.setUserEnabledNNPACK(false)) {
  const int level = std::exchange(FLAGS_caffe2_log_level, 2);  // errors only
  const bool usable = at::_nnpack_available();
  FLAGS_caffe2_log_level = level;
  if (!usable) context.setUserEnabledNNPACK(false);
}
template <typename Context>
void dropNnpack(Context&, long) {}

Napi::Value setThreads(const Napi::CallbackInfo& info) {
  at::set_num_threads(static_cast<int>(intArgument(info[0])));
  dropNnpack(at::globalContext(), 0);
  return info.Env().Undefined();
}

// setNumerics(deterministic, TensorFloat-32): deterministic refuses kernels whose sums have no fixed order; otherwise
// cuDNN tries which of its kernels is the fastest.
Napi::Value setNumerics(const Napi::CallbackInfo& info) {
  const bool deterministic = boolArgument(info, 0);
  const bool tensorFloat32 = boolArgument(info, 1);
  at::Context& context = at::globalContext();
  context.setDeterministicAlgorithms(deterministic, /*warn_only=*/false);
  context.setDeterministicCuDNN(deterministic);
  context.setBenchmarkCuDNN(!deterministic);
#if TORCH_VERSION_MAJOR > 2 || (TORCH_VERSION_MAJOR == 2 && TORCH_VERSION_MINOR >= 2)
  context.setDeterministicFillUninitializedMemory(false);  // a debugging aid that costs a pass over every new tensor
#endif
  context.setAllowTF32CuDNN(tensorFloat32);
  context.setAllowTF32CuBLAS(tensorFloat32);
  return info.Env().Undefined();
}

// hasOperator(name, overload): whether this libtorch knows it.
Napi::Value hasOperator(const Napi::CallbackInfo& info) {
  const auto found = c10::Dispatcher::singleton().findSchema({stringArgument(info, 0), stringArgument(info, 1)});
  return Napi::Boolean::New(info.Env(), found.has_value());
}

// fusedKernels(device): null, or why there are none. Compiles them.
Napi::Value fusedKernels(const Napi::CallbackInfo& info) {
  const std::string reason = whyNotFused(c10::Device(stringArgument(info, 0)));
  if (reason.empty()) return info.Env().Null();
  return Napi::String::New(info.Env(), reason);
}

// groupNormRelu(x, groups, weight, bias, epsilon): see fused.h.
Napi::Value fusedGroupNormRelu(const Napi::CallbackInfo& info) {
  if (!info[4].IsNumber()) throw BorderError("expected a number");
  const at::Tensor y = groupNormRelu(tensorArgument(info, 0), intArgument(info[1]), tensorArgument(info, 2),
                                     tensorArgument(info, 3), info[4].As<Napi::Number>().DoubleValue());
  return Napi::Number::New(info.Env(), instanceOf(info).tensors.add(y));
}

// convolution(x, weight, stride, padding): see convolution.h.
Napi::Value convolutionByProducts(const Napi::CallbackInfo& info) {
  const at::Tensor y = convolution(tensorArgument(info, 0), tensorArgument(info, 1), intArgument(info[2]),
                                   intArgument(info[3]));
  return Napi::Number::New(info.Env(), instanceOf(info).tensors.add(y));
}

// synchronize(device): returns when everything that the device was told is done.
Napi::Value synchronize(const Napi::CallbackInfo& info) {
  const c10::Device device(stringArgument(info, 0));
  if (!device.is_cpu()) c10::impl::VirtualGuardImpl(device.type()).getStream(device).synchronize();
  return info.Env().Undefined();
}

Napi::Value tensorCount(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), static_cast<double>(instanceOf(info).tensors.all().size()));
}

// Bytes of the tensors in the table; those that share a storage count once.
Napi::Value tensorBytes(const Napi::CallbackInfo& info) {
  std::unordered_set<const void*> seen;
  double bytes = 0;
  for (const auto& entry : instanceOf(info).tensors.all()) {
    const auto& storage = entry.second.storage();
    if (seen.insert(storage.unsafeGetStorageImpl()).second) bytes += static_cast<double>(storage.nbytes());
  }
  return Napi::Number::New(info.Env(), bytes);
}

Napi::Value version(const Napi::CallbackInfo& info) { return Napi::String::New(info.Env(), TORCH_VERSION); }

Napi::Value buildConfiguration(const Napi::CallbackInfo& info) {
  return Napi::String::New(info.Env(), at::show_config());
}

Napi::Value hasCuda(const Napi::CallbackInfo& info) { return Napi::Boolean::New(info.Env(), at::hasCUDA()); }

// cudaDevice(device): a GPU's name, compute capability and memory.
Napi::Value cudaDevice(const Napi::CallbackInfo& info) {
  const c10::DeviceGuard current(c10::Device(stringArgument(info, 0)));
  int device = 0;
  char name[256] = {};
  size_t available = 0;
  size_t total = 0;
  callDriver("cuCtxGetDevice", &device);
  callDriver("cuDeviceGetName", static_cast<char*>(name), static_cast<int>(sizeof(name) - 1), device);
  callDriver("cuMemGetInfo_v2", &available, &total);
  const ComputeCapability capability = computeCapability(device);
  Napi::Object description = Napi::Object::New(info.Env());
  description.Set("name", std::string(name));
  description.Set("capability", std::to_string(capability.major) + "." + std::to_string(capability.minor));
  description.Set("used", static_cast<double>(total - available));
  description.Set("total", static_cast<double>(total));
  return description;
}

}  // namespace

void freeInstance(Napi::Env, Instance* instance) { leakWhenAbandoned(instance); }

Napi::Object initialize(Napi::Env env, Napi::Object exports) {
  env.SetInstanceData<Instance, freeInstance>(new Instance());
  exports.Set("call", Napi::Function::New<guarded<call>>(env, "call"));
  exports.Set("lend", Napi::Function::New<guarded<lend>>(env, "lend"));
  exports.Set("upload", Napi::Function::New<guarded<uploadBytes>>(env, "upload"));
  exports.Set("download", Napi::Function::New<guarded<downloadBytes>>(env, "download"));
  exports.Set("fetch", Napi::Function::New<guarded<fetch>>(env, "fetch"));
  exports.Set("release", Napi::Function::New<guarded<release>>(env, "release"));
  exports.Set("abandon", Napi::Function::New<guarded<abandon>>(env, "abandon"));
  exports.Set("shape", Napi::Function::New<guarded<shape>>(env, "shape"));
  exports.Set("gradients", Napi::Function::New<guarded<gradients>>(env, "gradients"));
  exports.Set("requireGradient", Napi::Function::New<guarded<requireGradient>>(env, "requireGradient"));
  exports.Set("setGradMode", Napi::Function::New<guarded<setGradMode>>(env, "setGradMode"));
  exports.Set("setAutocast", Napi::Function::New<guarded<setAutocast>>(env, "setAutocast"));
  exports.Set("setThreads", Napi::Function::New<guarded<setThreads>>(env, "setThreads"));
  exports.Set("setNumerics", Napi::Function::New<guarded<setNumerics>>(env, "setNumerics"));
  exports.Set("hasOperator", Napi::Function::New<guarded<hasOperator>>(env, "hasOperator"));
  exports.Set("fusedKernels", Napi::Function::New<guarded<fusedKernels>>(env, "fusedKernels"));
  exports.Set("groupNormRelu", Napi::Function::New<guarded<fusedGroupNormRelu>>(env, "groupNormRelu"));
  exports.Set("convolution", Napi::Function::New<guarded<convolutionByProducts>>(env, "convolution"));
  exports.Set("synchronize", Napi::Function::New<guarded<synchronize>>(env, "synchronize"));
  exports.Set("tensorCount", Napi::Function::New<guarded<tensorCount>>(env, "tensorCount"));
  exports.Set("tensorBytes", Napi::Function::New<guarded<tensorBytes>>(env, "tensorBytes"));
  exports.Set("version", Napi::Function::New<guarded<version>>(env, "version"));
  exports.Set("buildConfiguration", Napi::Function::New<guarded<buildConfiguration>>(env, "buildConfiguration"));
  exports.Set("hasCuda", Napi::Function::New<guarded<hasCuda>>(env, "hasCuda"));
  exports.Set("cudaDevice", Napi::Function::New<guarded<cudaDevice>>(env, "cudaDevice"));
  return exports;
}

NODE_API_MODULE(torch, initialize)

}  // namespace cornet
