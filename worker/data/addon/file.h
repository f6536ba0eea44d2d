// Reading a file of images without trusting it to be one.
#pragma once

#include "image.h"

#include <optional>
#include <string>
#include <vector>

namespace cornet {

// A part of an archive that is an image, or holds one: `FilePart` in shared/data/image-source.ts says what each means.
struct Part {
  uint64_t offset;
  size_t stored;
  std::optional<size_t> skip;
  size_t bytes;
  uint64_t archiveBytes;
  int64_t archiveModified;
};

// What can be done about it is another thing than about an image that is no good.
struct ArchiveChanged : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// Memory that is used again, from one compressed part to the next.
struct Unpacking {
  std::vector<uint8_t> compressed, data;
};

// Reads a JPEG file, or a part that is one, into memory that is used again. False where the image
// begins otherwise: what `bytes` holds then is of no use. Throws ImageError for what is not a regular file, cannot be
// read, is empty, damaged or larger than allowed, ArchiveChanged where the archive is not as it was when it was indexed.
bool readJpeg(const std::string& path, const std::optional<Part>& part, const Limits& limits,
              std::vector<uint8_t>& bytes, Unpacking& unpacking);

}  // namespace cornet
