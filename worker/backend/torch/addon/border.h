// The border between JavaScript and libtorch: what lives on the native side, and how values cross.
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/core/ivalue.h>

#define NAPI_VERSION 8
#include <napi.h>

#include <atomic>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <unordered_map>
#include <vector>

namespace cornet {

// A mistake of the caller (unknown operator, wrong argument, released handle): becomes a TypeError.
struct BorderError : std::invalid_argument {
  using std::invalid_argument::invalid_argument;
};

// Tensors cross the border as handles. A number is never used twice, so a stale handle cannot name another tensor.
class TensorTable {
 public:
  double add(at::Tensor tensor);
  const at::Tensor& get(double handle) const;
  void release(double handle);
  const std::unordered_map<int64_t, at::Tensor>& all() const { return tensors_; }

 private:
  std::unordered_map<int64_t, at::Tensor> tensors_;
  int64_t next_ = 1;
};

// Everything the addon remembers; one per JavaScript environment.
struct Instance {
  TensorTable tensors;
  std::unordered_map<std::string, c10::OperatorHandle> operators;
};

// The device has failed, and with it every attempt to give anything back. For the whole process: it has one engine.
inline std::atomic<bool> abandoned{false};

template <class Owner>
void leakWhenAbandoned(Owner* owner) {
  if (!abandoned) delete owner;
}

// A JavaScript value as an argument of the given schema type: tensors are handles, null is None, dtypes, layouts and
// memory formats are c10's integer codes, devices are strings.
c10::IValue toIValue(const TensorTable& tensors, const Napi::Value& value, const c10::Type& type);

// A result: tensors become handles, None and undefined tensors become null.
Napi::Value toJs(Napi::Env env, TensorTable& tensors, const c10::IValue& value);

const at::Tensor& tensorArgument(const Napi::CallbackInfo& info, size_t index);
int64_t intArgument(const Napi::Value& value);
std::vector<int64_t> intListArgument(const Napi::Value& value);

}  // namespace cornet
