// Bytes on their way between this process and a device. To and from a GPU they travel beside the computation: through
// pinned memory, on streams of their own. Nothing here needs a CUDA header: streams and events are c10's.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/Event.h>
#include <c10/core/Stream.h>

#include <cstddef>
#include <optional>

namespace cornet {

// A contiguous tensor with a copy of the bytes, complete for whatever is computed on its device from now on. The bytes
// may be overwritten on return.
at::Tensor upload(const void* bytes, at::IntArrayRef shape, at::ScalarType dtype, c10::Device device);

// Copies the elements, in row-major order of the logical shape, when all that is under way on the device is done.
void download(const at::Tensor& tensor, void* target);

// A copy of a tensor's elements as they will be when what is under way now is done; later work is not waited for.
class Arrival {
 public:
  explicit Arrival(const at::Tensor& tensor);
  // Once: the copy is given back at the end, not when JavaScript collects its garbage.
  void read(void* target);
  size_t nbytes() const { return bytes_; }
  bool wasRead() const { return !host_.defined(); }

 private:
  size_t bytes_;
  at::Tensor host_;
  std::optional<c10::Stream> stream_;
  std::optional<c10::Event> there_;
};

}  // namespace cornet
