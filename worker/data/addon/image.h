// What the files of this addon share: what is wanted of an image, what it may cost, and how a bad one is reported.
#pragma once

#include <cstddef>
#include <cstdint>
#include <stdexcept>

namespace cornet {

// Which part of an image becomes the input image; worker/data/transform.ts says what each number means.
struct Geometry {
  int boxLeft, boxTop, boxWidth, boxHeight;
  int width, height;
  int left, top;
  bool flip;
};

// A part of an image in its pixels: columns [left, right), rows [top, bottom).
struct Region {
  int left, top, right, bottom;
};

// What one image may cost at most, so that none can exhaust memory or time.
struct Limits {
  double pixels;         // of the whole image
  double fileBytes;      // of the file
  double decoderBytes;   // that libjpeg may allocate (progressive files: two bytes for each sample)
  int scans;             // of a progressive file
};

// What is wrong with an image, as the end of the sentence "The image ... cannot be read: ".
struct ImageError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

}  // namespace cornet
