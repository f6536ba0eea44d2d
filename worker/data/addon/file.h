// Reading a file of images without trusting it to be one.
#pragma once

#include "image.h"

#include <string>
#include <vector>

namespace cornet {

// Reads a JPEG file whole, into memory that is used again. False, and nothing read, where the file begins otherwise.
// Throws ImageError for what is not a regular file, cannot be read, is empty or larger than allowed.
bool readJpeg(const std::string& path, const Limits& limits, std::vector<uint8_t>& bytes);

}  // namespace cornet
