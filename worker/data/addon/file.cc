#include "file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <stdexcept>
#include <system_error>

namespace cornet {
namespace {

// The machine's trouble, not the image's: another host, or a later time, may have none.
[[noreturn]] void failSystem() {
  switch (errno) {
    case ENOENT: throw std::runtime_error("it does not exist");
    case EACCES: throw std::runtime_error("permission is denied");
    default: throw std::runtime_error(std::generic_category().message(errno));
  }
}

class File {
 public:
  // Opening a FIFO would wait for somebody to write to it; without blocking it is a file that is not regular.
  explicit File(const std::string& path) : descriptor_(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)) {
    if (descriptor_ < 0) failSystem();
  }
  ~File() { close(descriptor_); }
  File(const File&) = delete;
  File& operator=(const File&) = delete;

  size_t size() const {
    struct stat status {};
    if (fstat(descriptor_, &status) != 0) failSystem();
    if (S_ISDIR(status.st_mode)) throw ImageError("it is a folder");
    if (!S_ISREG(status.st_mode)) throw ImageError("it is not a regular file");
    return static_cast<size_t>(status.st_size);
  }

  // Less than `length` only at the end of the file.
  size_t read(uint8_t* target, size_t length) {
    size_t done = 0;
    while (done < length) {
      const ssize_t got = ::read(descriptor_, target + done, length - done);
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) failSystem();
      if (got == 0) break;
      done += static_cast<size_t>(got);
    }
    return done;
  }

 private:
  int descriptor_;
};

}  // namespace

bool readJpeg(const std::string& path, const Limits& limits, std::vector<uint8_t>& bytes) {
  constexpr size_t signature = 3;
  File file(path);
  const size_t size = file.size();
  if (size == 0) throw ImageError("it is empty");
  if (static_cast<double>(size) > limits.fileBytes) {
    throw ImageError("it has " + std::to_string(size) + " bytes, more than the limit");
  }
  bytes.resize(signature);
  if (file.read(bytes.data(), signature) < signature) return false;
  if (bytes[0] != 0xff || bytes[1] != 0xd8 || bytes[2] != 0xff) return false;
  bytes.resize(std::max(size, signature));
  bytes.resize(signature + file.read(bytes.data() + signature, bytes.size() - signature));
  return true;
}

}  // namespace cornet
