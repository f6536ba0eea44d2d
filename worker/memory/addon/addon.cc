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
uint64_t digestOf(const uint8_t* bytes, size_t length) {
  constexpr size_t kLanes = 16;
  uint64_t sums[kLanes] = {}, sumsOfSums[kLanes] = {};
  const size_t row = sizeof(sums), rows = length / row;
  const auto add = [&](const uint8_t* from) {
    uint64_t words[kLanes];
    std::memcpy(words, from, row);
    for (size_t i = 0; i < kLanes; i++) {
      sums[i] = (sums[i] << 13 | sums[i] >> 51) + words[i];
      sumsOfSums[i] += sums[i];
    }
  };
  for (size_t i = 0; i < rows; i++) add(bytes + i * row);
  uint8_t rest[sizeof(sums)] = {};
  std::memcpy(rest, bytes + rows * row, length % row);
  add(rest);
  uint64_t digest = length;
  const auto mix = [&](uint64_t word) {
    digest = (digest ^ word) * 0x100000001b3;  // FNV-1a, by words
    digest ^= digest >> 32;
  };
  for (size_t i = 0; i < kLanes; i++) {
    mix(sums[i]);
    mix(sumsOfSums[i]);
  }
  return digest;
}

// digest(bytes): hex.
Napi::Value digest(const Napi::CallbackInfo& info) {
  const Napi::Uint8Array bytes = info[0].As<Napi::Uint8Array>();
  char text[17];
  std::snprintf(text, sizeof(text), "%016llx", static_cast<unsigned long long>(digestOf(bytes.Data(), bytes.ByteLength())));
  return Napi::String::New(info.Env(), text);
}

}  // namespace
}  // namespace cornet

static Napi::Object init(Napi::Env env, Napi::Object exports) {
  exports.Set("create", Napi::Function::New<cornet::create>(env, "create"));
  exports.Set("map", Napi::Function::New<cornet::map>(env, "map"));
  exports.Set("unmap", Napi::Function::New<cornet::unmap>(env, "unmap"));
  exports.Set("digest", Napi::Function::New<cornet::digest>(env, "digest"));
  return exports;
}

NODE_API_MODULE(memory, init)
