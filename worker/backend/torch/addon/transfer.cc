#include "transfer.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/from_blob.h>
#include <c10/core/Event.h>
#include <c10/core/StreamGuard.h>
#include <c10/core/impl/VirtualGuardImpl.h>

#include <cstring>

namespace cornet {
namespace {

// The stream beside that of the computation. One engine per process and thread, and one card per engine.
c10::Stream sideStream(c10::Device device) {
  thread_local std::optional<c10::Stream> kept;
  if (!kept.has_value() || kept->device() != device) {
    kept = c10::impl::VirtualGuardImpl(device.type()).getStreamFromGlobalPool(device);
  }
  return *kept;
}

c10::Stream computingStream(c10::Device device) {
  return c10::impl::VirtualGuardImpl(device.type()).getStream(device);
}

// What `waiting` does from now on waits for what `working` has been told so far.
void follow(const c10::Stream& waiting, const c10::Stream& working) {
  c10::Event told(working.device_type());
  told.record(working);
  told.block(waiting);
}

}  // namespace

at::Tensor upload(const void* bytes, at::IntArrayRef shape, at::ScalarType dtype, c10::Device device) {
  if (!device.is_cpu()) return at::from_blob(const_cast<void*>(bytes), shape, dtype).to(device);
  at::Tensor tensor = at::empty(shape, dtype);
  std::memcpy(tensor.data_ptr(), bytes, tensor.nbytes());
  return tensor;
}

at::Tensor stage(const void* bytes, at::IntArrayRef shape, at::ScalarType dtype, c10::Device device) {
  if (device.is_cpu()) return upload(bytes, shape, dtype, device);
  const auto options = at::TensorOptions().dtype(dtype);
  at::Tensor host = at::empty(shape, options.pinned_memory(true));
  host.copy_(at::from_blob(const_cast<void*>(bytes), shape, dtype));  // with libtorch's threads: one does not fill the bus
  const c10::Stream side = sideStream(device);
  const c10::Stream computing = computingStream(device);
  at::Tensor tensor;
  {
    const c10::StreamGuard beside(side);  // the memory, too, is the side stream's: nobody else has to be done with it
    tensor = at::empty(shape, options.device(device));
    tensor.copy_(host, /*non_blocking=*/true);
  }
  follow(computing, side);
  tensor.record_stream(computing);  // the memory is not used again before the computation is done with it
  return tensor;
}

void download(const at::Tensor& tensor, void* target) {
  if (!tensor.is_cpu()) {
    at::from_blob(target, tensor.sizes(), tensor.scalar_type()).copy_(tensor.detach());
    return;
  }
  const at::Tensor host = tensor.detach().contiguous();
  std::memcpy(target, host.data_ptr(), host.nbytes());
}

Arrival::Arrival(const at::Tensor& tensor) {
  if (tensor.is_cpu()) {
    host_ = tensor.detach().clone(at::MemoryFormat::Contiguous);
    return;
  }
  const at::Tensor values = tensor.detach().contiguous();
  stream_ = sideStream(values.device());
  follow(*stream_, computingStream(values.device()));
  host_ = at::empty(values.sizes(), values.options().device(c10::kCPU).pinned_memory(true));
  const c10::StreamGuard beside(*stream_);
  host_.copy_(values, /*non_blocking=*/true);
  values.record_stream(*stream_);
}

void Arrival::read(void* target) const {
  if (stream_.has_value()) stream_->synchronize();
  std::memcpy(target, host_.data_ptr(), host_.nbytes());
}

}  // namespace cornet
