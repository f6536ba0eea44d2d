// The elements that the format consists of: google/snappy, format_description.txt.
#include "snappy.h"

#include <algorithm>
#include <cstring>

namespace cornet {
namespace {

uint32_t littleEndian(const uint8_t* bytes, size_t count) {
  uint32_t value = 0;
  for (size_t i = 0; i < count; i++) value |= static_cast<uint32_t>(bytes[i]) << (8 * i);
  return value;
}

}  // namespace

bool unsnap(const uint8_t* data, size_t size, uint8_t* out, size_t length) {
  size_t in = 0, done = 0;
  while (done < length) {
    if (in == size) return false;
    const uint8_t tag = data[in++];
    const int kind = tag & 3;
    if (kind == 0) {  // a literal
      size_t count = tag >> 2;
      if (count >= 60) {
        const size_t extra = count - 59;
        if (size - in < extra) return false;
        count = littleEndian(data + in, extra);
        in += extra;
      }
      count = std::min(count + 1, length - done);
      if (size - in < count) return false;
      std::memcpy(out + done, data + in, count);
      in += count;
      done += count;
    } else {  // a copy of what is there already
      const size_t extra = kind == 3 ? 4 : kind;
      if (size - in < extra) return false;
      size_t count = (tag >> 2) + 1, distance = littleEndian(data + in, extra);
      in += extra;
      if (kind == 1) {
        count = (tag >> 2 & 7) + 4;
        distance |= static_cast<size_t>(tag >> 5) << 8;
      }
      if (distance == 0 || distance > done) return false;
      count = std::min(count, length - done);
      if (distance >= count) {
        std::memcpy(out + done, out + done - distance, count);
        done += count;
      } else {  // what overlaps repeats a pattern
        for (; count > 0; count--, done++) out[done] = out[done - distance];
      }
    }
  }
  return true;
}

// Densest are copies of 64 bytes, in three.
size_t longestUnsnapped(size_t size) { return size * 64 / 3 + 64; }

}  // namespace cornet
