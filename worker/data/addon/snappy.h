// Snappy's raw format, as the pages of Parquet files have it.
#pragma once

#include <cstddef>
#include <cstdint>

namespace cornet {

// Writes the first `length` bytes that `data` decompresses to: elements alone, without the length that a stream begins
// with. False where they are damaged or end before that; nothing outside of `data` and `out` is touched then either.
bool unsnap(const uint8_t* data, size_t size, uint8_t* out, size_t length);

// The longest that so many bytes can decompress to.
size_t longestUnsnapped(size_t size);

}  // namespace cornet
