#include "transfer.h"

#include <ATen/ops/empty.h>
#include <c10/core/StreamGuard.h>
#include <c10/core/impl/VirtualGuardImpl.h>
#include <torch/version.h>

#include <algorithm>
#include <array>
#include <cstring>

namespace cornet {
namespace {

c10::Stream computingStream(c10::Device device) {
  return c10::impl::VirtualGuardImpl(device.type()).getStream(device);
}

// What `waiting` does from now on waits for what `working` has been told so far.
void follow(const c10::Stream& waiting, const c10::Stream& working) {
  c10::Event told(working.device_type());
  told.record(working);
  told.block(waiting);
}

void waitFor(const c10::Event& event, const c10::Stream& recordedOn) {
#if TORCH_VERSION_MAJOR > 2 || (TORCH_VERSION_MAJOR == 2 && TORCH_VERSION_MINOR >= 5)
  event.synchronize();
#else
  if (!event.query()) recordedOn.synchronize();
#endif
}

// One way between memory and a GPU: a stream, and two slices of pinned memory that are used again and again. While
// one is on the bus, the processor fills or empties the other: with one thread, because several would have to wait for
// each other where images are decoded on all cores.
class Way {
 public:
  explicit Way(c10::Device device)
      : stream_(c10::impl::VirtualGuardImpl(device.type()).getStreamFromGlobalPool(awake(device))),
        events_{c10::Event(device.type()), c10::Event(device.type())} {
    for (at::Tensor& slice : slices_) slice = at::empty({kSlice}, at::TensorOptions().dtype(at::kByte).pinned_memory(true));
  }

  const c10::Stream& stream() const { return stream_; }

  // Returns when the bytes have been read; the last of them may still be on the bus.
  void send(at::Tensor target, const void* bytes) {
    const c10::StreamGuard beside(stream_);
    forSlices(target.numel(), [&](size_t turn, int64_t begin, int64_t length) {
      waitFor(events_[turn], stream_);
      const at::Tensor slice = slices_[turn].narrow(0, 0, length);
      std::memcpy(slice.data_ptr(), static_cast<const char*>(bytes) + begin, length);
      target.narrow(0, begin, length).copy_(slice, /*non_blocking=*/true);
      events_[turn].record(stream_);
    });
  }

  // Returns when all bytes are there.
  void receive(const at::Tensor& source, void* bytes) {
    const c10::StreamGuard beside(stream_);
    int64_t emptied = 0;
    const auto empty = [&](size_t turn, int64_t length) {
      waitFor(events_[turn], stream_);
      std::memcpy(static_cast<char*>(bytes) + emptied, slices_[turn].data_ptr(), length);
      emptied += length;
    };
    forSlices(source.numel(), [&](size_t turn, int64_t begin, int64_t length) {
      slices_[turn].narrow(0, 0, length).copy_(source.narrow(0, begin, length), /*non_blocking=*/true);
      events_[turn].record(stream_);
      if (begin > 0) empty(1 - turn, kSlice);
      if (begin + length == source.numel()) empty(turn, length);
    });
  }

 private:
  // Whatever keeps a library from its GPUs (no driver, an old one) is said in clear words by the first tensor alone.
  static c10::Device awake(c10::Device device) {
    at::empty({0}, at::TensorOptions().device(device));
    return device;
  }

  static constexpr int64_t kSlice = int64_t{8} << 20;

  template <class Body>
  static void forSlices(int64_t bytes, const Body& body) {
    size_t turn = 0;
    for (int64_t begin = 0; begin < bytes; begin += kSlice, turn = 1 - turn) {
      body(turn, begin, std::min(kSlice, bytes - begin));
    }
  }

  c10::Stream stream_;
  std::array<c10::Event, 2> events_;
  std::array<at::Tensor, 2> slices_;
};

// One engine per process and thread, and one GPU per engine. Never destroyed: at the end of the process the library
// that frees pinned memory may be gone before it.
Way& wayTo(c10::Device device) {
  thread_local Way* const way = new Way(device);
  return *way;
}
Way& wayFrom(c10::Device device) {
  thread_local Way* const way = new Way(device);
  return *way;
}

at::Tensor bytesOf(const at::Tensor& contiguous) {
  return contiguous.view(-1).view(at::kByte);
}

}  // namespace

at::Tensor upload(const void* bytes, at::IntArrayRef shape, at::ScalarType dtype, c10::Device device) {
  const auto options = at::TensorOptions().dtype(dtype);
  if (device.is_cpu()) {
    at::Tensor tensor = at::empty(shape, options);
    std::memcpy(tensor.data_ptr(), bytes, tensor.nbytes());
    return tensor;
  }
  Way& way = wayTo(device);
  const c10::Stream computing = computingStream(device);
  at::Tensor tensor;
  {
    const c10::StreamGuard beside(way.stream());  // the memory, too, is that stream's: nobody else has to be done with it
    tensor = at::empty(shape, options.device(device));
  }
  if (tensor.numel() > 0) way.send(bytesOf(tensor), bytes);
  follow(computing, way.stream());
  tensor.record_stream(computing);  // the memory is not used again before the computation is done with it
  return tensor;
}

void download(const at::Tensor& tensor, void* target) {
  const at::Tensor values = tensor.detach().contiguous();
  if (tensor.is_cpu()) {
    std::memcpy(target, values.data_ptr(), values.nbytes());
    return;
  }
  if (values.numel() == 0) return;
  Way& way = wayFrom(values.device());
  follow(way.stream(), computingStream(values.device()));
  way.receive(bytesOf(values), target);
}

Arrival::Arrival(const at::Tensor& tensor) : bytes_(tensor.nbytes()) {
  if (tensor.is_cpu()) {
    host_ = tensor.detach().clone(at::MemoryFormat::Contiguous);
    return;
  }
  const at::Tensor values = tensor.detach().contiguous();
  stream_ = wayFrom(values.device()).stream();
  follow(*stream_, computingStream(values.device()));
  host_ = at::empty(values.sizes(), values.options().device(c10::kCPU).pinned_memory(true));
  const c10::StreamGuard beside(*stream_);
  host_.copy_(values, /*non_blocking=*/true);
  there_.emplace(values.device().type());
  there_->record(*stream_);
  values.record_stream(*stream_);
}

void Arrival::read(void* target) {
  if (stream_.has_value()) waitFor(*there_, *stream_);
  std::memcpy(target, host_.data_ptr(), host_.nbytes());
  host_.reset();
}

}  // namespace cornet
