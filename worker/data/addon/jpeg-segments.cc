#include "jpeg-segments.h"

#include "image.h"

#include <algorithm>
#include <cstring>
#include <string>

namespace cornet {
namespace {

enum Marker : uint8_t {
  TEM = 0x01, DHT = 0xc4, JPG = 0xc8, DAC = 0xcc, RST0 = 0xd0, RST7 = 0xd7, EOI = 0xd9, SOS = 0xda, DQT = 0xdb, DNL = 0xdc,
  DRI = 0xdd, DHP = 0xde, APP0 = 0xe0, APP14 = 0xee, APP15 = 0xef, JPG0 = 0xf0, JPG13 = 0xfd, COM = 0xfe
};
constexpr uint8_t tables[] = {DHT, DAC, DQT, DNL, DRI, COM};
constexpr uint8_t progressive[] = {0xc2, 0xc6, 0xca, 0xce};
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

template <size_t N>
bool isOneOf(const uint8_t (&markers)[N], uint8_t marker) {
  return std::find(std::begin(markers), std::end(markers), marker) != std::end(markers);
}

bool mayFollowScan(uint8_t marker) {
  return (marker >= APP0 && marker <= APP15) || isOneOf(tables, marker);
}

// What ends a scan must begin a segment, up to the end of the image. A file without an end is libjpeg's matter.
// `several`: another scan may follow.
void checkScans(const uint8_t* file, size_t length, size_t at, bool several) {
  while (at < length) {
    const void* found = std::memchr(file + at, 0xff, length - at);
    if (found == nullptr) return;
    at = static_cast<const uint8_t*>(found) - file;
    if (at + 1 >= length) return;
    const uint8_t marker = file[at + 1];
    if (marker == 0xff) {
      at++;
    } else if (marker <= TEM || (marker >= RST0 && marker <= RST7)) {
      at += 2;
    } else if (marker == EOI) {
      return;
    } else if (mayFollowScan(marker)) {
      if (at + 4 > length) return;
      at += 2 + file[at + 2] * 256 + file[at + 3];
    } else {
      if (marker != SOS || !several) throw ImageError("its scans are damaged");
      at += 2;
    }
  }
}

}  // namespace

JpegSegments checkSegments(const uint8_t* file, size_t length) {
  JpegSegments found{};
  int components = 0;
  bool severalScans = false;
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
      components = body[5];
      severalScans = isOneOf(progressive, marker);
      found.lossless = isOneOf(lossless, marker);
    } else if (marker == DQT) {
      checkQuantisation(body, bytes);
    } else if ((marker == APP0 && isNamed(body, bytes, "JFIF")) || (marker == APP14 && isNamed(body, bytes, "Adobe"))) {
      if (bytes < versionEnd) throw ImageError("its header is damaged");
    } else if (marker == SOS) {
      checkScans(file, length, at, severalScans || (bytes > 0 ? body[0] : 0) < components);
      return found;
    }
  }
}

}  // namespace cornet
