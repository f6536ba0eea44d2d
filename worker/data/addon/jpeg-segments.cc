#include "jpeg-segments.h"

#include "image.h"

#include <algorithm>
#include <cstring>
#include <string>

namespace cornet {
namespace {

enum Marker : uint8_t { DHT = 0xc4, JPG = 0xc8, DAC = 0xcc, RST0 = 0xd0, EOI = 0xd9, SOS = 0xda, DQT = 0xdb, DHP = 0xde,
                        APP0 = 0xe0, APP14 = 0xee, JPG0 = 0xf0, JPG13 = 0xfd };
constexpr uint8_t lossless[] = {0xc3, 0xc7, 0xcb, 0xcf};

bool isFrame(uint8_t marker) {
  return (marker >= 0xc0 && marker <= 0xcf && marker != DHT && marker != JPG && marker != DAC) || marker == DHP;
}

bool standsAlone(uint8_t marker) {
  return marker == JPG || (marker >= RST0 && marker <= EOI) || (marker >= JPG0 && marker <= JPG13);
}

// Bytes of an application segment up to the end of its version.
constexpr size_t versionEnd = 7;

bool isNamed(const uint8_t* body, size_t length, const char* name) {
  const size_t letters = std::strlen(name);
  return length >= letters && std::memcmp(body, name, letters) == 0;
}

void checkFrame(const uint8_t* body, size_t length) {
  if (length < 6) throw ImageError("its frame header is damaged");
  if (body[0] != 8) throw ImageError("it has samples of " + std::to_string(body[0]) + " bits, which is not supported");
  if (body[5] != 1 && body[5] != 3 && body[5] != 4) {
    throw ImageError("it has " + std::to_string(body[5]) + " components, which is not supported");
  }
}

void checkQuantisation(const uint8_t* body, size_t length) {
  for (size_t at = 0; at < length;) {
    const size_t bytes = 1 + (body[at] < 16 ? 64 : 128);
    if (at + bytes > length) throw ImageError("its quantisation table is damaged");
    at += bytes;
  }
}

}  // namespace

JpegSegments checkSegments(const uint8_t* file, size_t length) {
  JpegSegments found{};
  size_t at = 2;
  const auto next = [&] {
    if (at >= length) throw ImageError("the file is cut short");
    return file[at++];
  };
  for (;;) {
    if (next() != 0xff) continue;  // bytes between segments
    uint8_t marker = next();
    while (marker == 0xff) marker = next();  // padding
    if (marker == 0) continue;
    if (marker < 0xc0) throw ImageError("it has a marker that no JPEG file has before its first scan");
    if (standsAlone(marker)) continue;
    const size_t high = next(), segment = high * 256 + next();
    if (segment < 2 || segment - 2 > length - at) throw ImageError("the file is cut short");
    const uint8_t* body = file + at;
    const size_t bytes = segment - 2;
    at += bytes;
    if (isFrame(marker)) {
      checkFrame(body, bytes);
      found.lossless = std::find(std::begin(lossless), std::end(lossless), marker) != std::end(lossless);
    } else if (marker == DQT) {
      checkQuantisation(body, bytes);
    } else if ((marker == APP0 && isNamed(body, bytes, "JFIF")) || (marker == APP14 && isNamed(body, bytes, "Adobe"))) {
      if (bytes < versionEnd) throw ImageError("its header is damaged");
    } else if (marker == SOS) {
      return found;
    }
  }
}

}  // namespace cornet
