#include "border.h"

#include <ATen/core/jit_type.h>

#include <cmath>

namespace cornet {

double TensorTable::add(at::Tensor tensor) {
  const int64_t handle = next_++;
  tensors_.emplace(handle, std::move(tensor));
  return static_cast<double>(handle);
}

const at::Tensor& TensorTable::get(double handle) const {
  const auto found = tensors_.find(static_cast<int64_t>(handle));
  if (found == tensors_.end()) {
    throw BorderError("no tensor has the handle " + std::to_string(static_cast<int64_t>(handle)) + ": it was released, or never made");
  }
  return found->second;
}

void TensorTable::release(double handle) {
  if (tensors_.erase(static_cast<int64_t>(handle)) == 0) get(handle);  // throws
}

namespace {

double numberArgument(const Napi::Value& value, const char* what) {
  if (!value.IsNumber()) throw BorderError(std::string("expected ") + what);
  return value.As<Napi::Number>().DoubleValue();
}

Napi::Array arrayArgument(const Napi::Value& value) {
  if (!value.IsArray()) throw BorderError("expected an array");
  return value.As<Napi::Array>();
}

c10::IValue toList(const TensorTable& tensors, const Napi::Value& value, const c10::ListType& type) {
  const Napi::Array array = arrayArgument(value);
  c10::impl::GenericList list(type.getElementType());
  for (uint32_t i = 0; i < array.Length(); i++) {
    list.push_back(toIValue(tensors, array.Get(i), *type.getElementType()));
  }
  return list;
}

}  // namespace

const at::Tensor& tensorArgument(const Napi::CallbackInfo& info, size_t index) {
  const double handle = numberArgument(info[index], "a tensor's handle");
  return info.Env().GetInstanceData<Instance>()->tensors.get(handle);
}

int64_t intArgument(const Napi::Value& value) {
  const double number = numberArgument(value, "an integer");
  if (number != std::trunc(number) || std::abs(number) > 9007199254740991.0) throw BorderError("expected an integer");
  return static_cast<int64_t>(number);
}

std::vector<int64_t> intListArgument(const Napi::Value& value) {
  const Napi::Array array = arrayArgument(value);
  std::vector<int64_t> list;
  for (uint32_t i = 0; i < array.Length(); i++) list.push_back(intArgument(array.Get(i)));
  return list;
}

c10::IValue toIValue(const TensorTable& tensors, const Napi::Value& value, const c10::Type& type) {
  switch (type.kind()) {
    case c10::TypeKind::OptionalType:
      if (value.IsNull()) return c10::IValue();
      return toIValue(tensors, value, *type.castRaw<c10::OptionalType>()->getElementType());
    case c10::TypeKind::ListType:
      return toList(tensors, value, *type.castRaw<c10::ListType>());
    case c10::TypeKind::TensorType:
      return tensors.get(numberArgument(value, "a tensor's handle"));
    case c10::TypeKind::IntType:
    case c10::TypeKind::SymIntType:
      return intArgument(value);
    case c10::TypeKind::FloatType:
      return numberArgument(value, "a number");
    case c10::TypeKind::NumberType:
      if (value.IsBoolean()) return value.As<Napi::Boolean>().Value();
      return numberArgument(value, "a number or a boolean");
    case c10::TypeKind::BoolType:
      if (!value.IsBoolean()) throw BorderError("expected a boolean");
      return value.As<Napi::Boolean>().Value();
    case c10::TypeKind::StringType:
      if (!value.IsString()) throw BorderError("expected a string");
      return value.As<Napi::String>().Utf8Value();
    case c10::TypeKind::DeviceObjType:
      if (!value.IsString()) throw BorderError("expected a device such as cpu or cuda:0");
      return c10::Device(value.As<Napi::String>().Utf8Value());
    default:
      throw BorderError("arguments of type " + type.str() + " cannot cross the border");
  }
}

Napi::Value toJs(Napi::Env env, TensorTable& tensors, const c10::IValue& value) {
  if (value.isNone()) return env.Null();
  if (value.isTensor()) {
    if (!value.toTensor().defined()) return env.Null();
    return Napi::Number::New(env, tensors.add(value.toTensor()));
  }
  if (value.isBool()) return Napi::Boolean::New(env, value.toBool());
  if (value.isInt()) return Napi::Number::New(env, static_cast<double>(value.toInt()));
  if (value.isDouble()) return Napi::Number::New(env, value.toDouble());
  if (value.isScalar()) return Napi::Number::New(env, value.toScalar().toDouble());
  if (value.isList()) {
    const auto list = value.toListRef();
    Napi::Array array = Napi::Array::New(env, list.size());
    for (size_t i = 0; i < list.size(); i++) array.Set(static_cast<uint32_t>(i), toJs(env, tensors, list[i]));
    return array;
  }
  throw BorderError("results of type " + value.tagKind() + " cannot cross the border");
}

}  // namespace cornet
