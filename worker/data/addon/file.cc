#include "file.h"
#include "snappy.h"

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
[[noreturn]] void failSystem(bool ofArchive) {
  switch (errno) {
    case ENOENT: throw std::runtime_error(ofArchive ? "the archive does not exist" : "it does not exist");
    case EACCES: throw std::runtime_error("permission is denied");
    default: throw std::runtime_error(std::generic_category().message(errno));
  }
}

class File {
 public:
  // Opening a FIFO would wait for somebody to write to it; without blocking it is a file that is not regular.
  File(const std::string& path, bool isArchive)
      : isArchive_(isArchive), descriptor_(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)) {
    if (descriptor_ < 0) failSystem(isArchive_);
  }
  ~File() { close(descriptor_); }
  File(const File&) = delete;
  File& operator=(const File&) = delete;

  struct stat status() const {
    struct stat status{};
    if (fstat(descriptor_, &status) != 0) failSystem(isArchive_);
    return status;
  }

  // Less than `length` only at the end of the file.
  size_t read(uint8_t* target, size_t length, uint64_t position) const {
    size_t done = 0;
    while (done < length) {
      const ssize_t got = pread(descriptor_, target + done, length - done, static_cast<off_t>(position + done));
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) failSystem(isArchive_);
      if (got == 0) break;
      done += static_cast<size_t>(got);
    }
    return done;
  }

 private:
  const bool isArchive_;
  const int descriptor_;
};

size_t wholeSize(const struct stat& status) {
  if (S_ISDIR(status.st_mode)) throw ImageError("it is a folder");
  if (!S_ISREG(status.st_mode)) throw ImageError("it is not a regular file");
  return static_cast<size_t>(status.st_size);
}

void checkArchive(const struct stat& status, const Part& part) {
  const int64_t modified = status.st_mtim.tv_sec * INT64_C(1'000'000'000) + status.st_mtim.tv_nsec;
  if (!S_ISREG(status.st_mode) || static_cast<uint64_t>(status.st_size) != part.archiveBytes ||
      modified != part.archiveModified) {
    throw ArchiveChanged("the archive has changed");
  }
  if (part.offset > part.archiveBytes || part.archiveBytes - part.offset < part.stored) {
    throw ImageError("the archive is cut short");
  }
}

constexpr size_t signature = 3;

bool isJpeg(const uint8_t* bytes) { return bytes[0] == 0xff && bytes[1] == 0xd8 && bytes[2] == 0xff; }

void growTo(size_t size, std::vector<uint8_t>& bytes) {
  if (bytes.size() < size) bytes.resize(size);
}

// The image in compressed data. Nothing larger is made than what they can hold. Memory that is there is not made smaller:
// to make it larger again would fill it with zeros, which takes as long as to decompress.
bool readCompressed(const File& file, const Part& part, std::vector<uint8_t>& bytes, Unpacking& unpacking) {
  const size_t length = *part.skip + part.bytes;
  const bool fits = length <= longestUnsnapped(part.stored);
  if (fits) {
    growTo(part.stored, unpacking.compressed);
    growTo(length, unpacking.data);
    if (file.read(unpacking.compressed.data(), part.stored, part.offset) < part.stored) {
      throw ImageError("the archive is cut short");
    }
  }
  if (!fits || !unsnap(unpacking.compressed.data(), part.stored, unpacking.data.data(), length)) {
    throw ImageError("the archive is damaged there");
  }
  const uint8_t* const image = unpacking.data.data() + *part.skip;
  if (part.bytes < signature || !isJpeg(image)) return false;
  bytes.assign(image, image + part.bytes);
  return true;
}

}  // namespace

bool readJpeg(const std::string& path, const std::optional<Part>& part, const Limits& limits,
              std::vector<uint8_t>& bytes, Unpacking& unpacking) {
  const File file(path, part.has_value());
  const struct stat status = file.status();
  if (part) checkArchive(status, *part);
  const size_t size = part ? part->bytes : wholeSize(status);
  const uint64_t begin = part ? part->offset : 0;
  if (size == 0) throw ImageError("it is empty");
  if (static_cast<double>(size) > limits.fileBytes) {
    throw ImageError("it has " + std::to_string(size) + " bytes, more than the limit");
  }
  if (part && part->skip) return readCompressed(file, *part, bytes, unpacking);
  if (size < signature) return false;
  bytes.resize(signature);
  if (file.read(bytes.data(), signature, begin) < signature || !isJpeg(bytes.data())) return false;
  bytes.resize(size);
  bytes.resize(signature + file.read(bytes.data() + signature, size - signature, begin + signature));
  return true;
}

}  // namespace cornet
