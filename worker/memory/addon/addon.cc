// Memory that several processes have in common: an anonymous file of the kernel (memfd_create), whose pages are all
// there from the beginning and which never shrinks, so that whoever maps it cannot be hit by SIGBUS.
#define NAPI_VERSION 8
#include <napi.h>

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <string>

namespace cornet {
namespace {

[[noreturn]] void fail(Napi::Env env, const char* call, int number) {
  Napi::Error error = Napi::Error::New(env, std::string(call) + ": " + std::strerror(number));
  error.Set("errno", Napi::Number::New(env, -number));  // as Node's own system errors have it
  throw error;
}

// create(name, bytes): a descriptor. The name is seen in /proc/<pid>/fd.
Napi::Value create(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const std::string name = info[0].As<Napi::String>();
  const auto bytes = static_cast<off_t>(info[1].As<Napi::Number>().Int64Value());
  const int file = memfd_create(name.c_str(), MFD_CLOEXEC | MFD_ALLOW_SEALING);
  if (file < 0) fail(env, "memfd_create", errno);
  const auto giveUp = [&](const char* call) {
    const int number = errno;
    close(file);
    fail(env, call, number);
  };
  if (fallocate(file, 0, 0, bytes) != 0) giveUp("fallocate");
  if (fcntl(file, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0) giveUp("fcntl");
  return Napi::Number::New(env, file);
}

struct Mapping {
  void* begin;
  size_t bytes;
};

// map(descriptor, bytes, writable): the file's first bytes, shared. The descriptor may be closed. Mapped until the
// buffer is given to `unmap`, or collected.
Napi::Value map(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const int file = info[0].As<Napi::Number>().Int32Value();
  const auto bytes = static_cast<size_t>(info[1].As<Napi::Number>().Int64Value());
  const int access = PROT_READ | (info[2].As<Napi::Boolean>().Value() ? PROT_WRITE : 0);
  void* begin = mmap(nullptr, bytes, access, MAP_SHARED | MAP_POPULATE, file, 0);
  if (begin == MAP_FAILED) fail(env, "mmap", errno);
  auto* mapping = new Mapping{begin, bytes};
  return Napi::ArrayBuffer::New(
      env, begin, bytes,
      [](Napi::Env, void*, Mapping* mapping) {
        munmap(mapping->begin, mapping->bytes);
        delete mapping;
      },
      mapping);
}

// unmap(buffer): it is empty from now on, and its memory is given back.
Napi::Value unmap(const Napi::CallbackInfo& info) {
  info[0].As<Napi::ArrayBuffer>().Detach();
  return info.Env().Undefined();
}

// A number of 64 bits for the bytes of a vector, the same on every machine: Fletcher's two sums, of 64-bit words in
// several lanes, which takes no longer than reading the bytes. The first one is turned at each word, or two changed signs
// could cancel out. It tells errors, not forgeries.
class Digest {
 public:
  static constexpr size_t kLanes = 16;
  static constexpr size_t kRow = kLanes * sizeof(uint64_t);
  static constexpr size_t kAhead = 2048;

  // Whole rows.
  void add(const uint8_t* bytes, size_t length) {
    State state = state_;  // which the compiler keeps in registers
    for (size_t i = 0; i + kRow <= length; i += kRow) {
      // Processors stop to fetch ahead at the end of a page: with this, it takes two thirds of the time.
      for (size_t line = 0; line < kRow; line += 64) __builtin_prefetch(bytes + i + kAhead + line);
      addRow(state, bytes + i);
    }
    state_ = state;
    length_ += length;
  }

  // The last bytes, less than a row.
  uint64_t end(const uint8_t* bytes, size_t length) {
    uint8_t rest[kRow] = {};
    std::memcpy(rest, bytes, length);
    addRow(state_, rest);
    uint64_t digest = length_ + length;
    const auto mix = [&](uint64_t word) {
      digest = (digest ^ word) * 0x100000001b3;  // FNV-1a, by words
      digest ^= digest >> 32;
    };
    for (size_t i = 0; i < kLanes; i++) {
      mix(state_.sums[i]);
      mix(state_.sumsOfSums[i]);
    }
    return digest;
  }

 private:
  struct State {
    uint64_t sums[kLanes], sumsOfSums[kLanes];
  };

  static void addRow(State& state, const uint8_t* from) {
    uint64_t words[kLanes];
    std::memcpy(words, from, kRow);
    for (size_t i = 0; i < kLanes; i++) {
      state.sums[i] = (state.sums[i] << 13 | state.sums[i] >> 51) + words[i];
      state.sumsOfSums[i] += state.sums[i];
    }
  }

  State state_ = {};
  uint64_t length_ = 0;
};

Napi::Value hex(Napi::Env env, uint64_t digest) {
  char text[17];
  std::snprintf(text, sizeof(text), "%016llx", static_cast<unsigned long long>(digest));
  return Napi::String::New(env, text);
}

// digest(bytes): hex.
Napi::Value digest(const Napi::CallbackInfo& info) {
  const Napi::Uint8Array bytes = info[0].As<Napi::Uint8Array>();
  const size_t length = bytes.ByteLength(), rest = length % Digest::kRow;
  Digest digest;
  digest.add(bytes.Data(), length - rest);
  return hex(info.Env(), digest.end(bytes.Data() + length - rest, rest));
}

// addToDigest(state, bytes): the same for bytes that come one after the other, whole rows at a time. The state is as many
// bytes as `digestState` says, at first all zero.
Napi::Value addToDigest(const Napi::CallbackInfo& info) {
  Napi::Uint8Array state = info[0].As<Napi::Uint8Array>();
  const Napi::Uint8Array bytes = info[1].As<Napi::Uint8Array>();
  Digest digest;
  std::memcpy(&digest, state.Data(), sizeof(digest));
  digest.add(bytes.Data(), bytes.ByteLength());
  std::memcpy(state.Data(), &digest, sizeof(digest));
  return info.Env().Undefined();
}

// endDigest(state, bytes): hex, with the last bytes, less than a row.
Napi::Value endDigest(const Napi::CallbackInfo& info) {
  const Napi::Uint8Array state = info[0].As<Napi::Uint8Array>(), bytes = info[1].As<Napi::Uint8Array>();
  Digest digest;
  std::memcpy(&digest, state.Data(), sizeof(digest));
  return hex(info.Env(), digest.end(bytes.Data(), bytes.ByteLength()));
}

}  // namespace
}  // namespace cornet

static Napi::Object init(Napi::Env env, Napi::Object exports) {
  exports.Set("create", Napi::Function::New<cornet::create>(env, "create"));
  exports.Set("map", Napi::Function::New<cornet::map>(env, "map"));
  exports.Set("unmap", Napi::Function::New<cornet::unmap>(env, "unmap"));
  exports.Set("digest", Napi::Function::New<cornet::digest>(env, "digest"));
  exports.Set("digestState", Napi::Number::New(env, sizeof(cornet::Digest)));
  exports.Set("digestRow", Napi::Number::New(env, cornet::Digest::kRow));
  exports.Set("addToDigest", Napi::Function::New<cornet::addToDigest>(env, "addToDigest"));
  exports.Set("endDigest", Napi::Function::New<cornet::endDigest>(env, "endDigest"));
  return exports;
}

NODE_API_MODULE(memory, init)
