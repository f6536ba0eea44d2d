// Pillow's antialiased bilinear resampling of 8-bit images, to the bit: resample.ts in C++, as a stream of rows.
#pragma once

#include "image.h"

#include <vector>

namespace cornet {

// One axis of an image: output position i is the sum over k < count of input[from + first[i] + k] * weights[i * count + k].
// All positions have the same even count (some weights are 0), so that the loop over k is always equally long.
struct Taps {
  int from, to;  // the input positions [from, to) that have any influence; one more may be read
  int count;
  std::vector<int> first;
  std::vector<int32_t> weights;
};

// Makes one image after the other and keeps its memory in between: nothing is allocated once it is large enough.
class Resampler {
 public:
  // `portable`: without the vector instructions of this processor.
  explicit Resampler(bool portable);

  // Returns the region of the image that has any influence.
  Region begin(const Geometry& geometry, int size);

  // The next row of the region, from top to bottom: four bytes for each pixel, the last one without meaning. One pixel
  // more must be readable.
  void addRow(const uint8_t* rgbx);

  // After the last row: writes the image, uint8 RGB [size, size, 3].
  void finish(uint8_t* target);

 private:
  void (*resampleRow_)(const uint8_t* rgbx, const Taps& taps, uint8_t* out);
  void (*mixLines_)(const uint8_t* lines, size_t lineBytes, const int32_t* weights, int count, size_t bytes,
                    uint8_t* out);
  void finishDownFirst(uint8_t* target);

  int size_ = 0;
  int rows_ = 0;
  bool downFirst_ = false;  // the vertical pass before the horizontal one
  size_t lineBytes_ = 0;
  Taps across_, down_;
  std::vector<double> line_;
  std::vector<uint8_t> lines_;  // the rows of the region, resampled to the width of the image unless downFirst_
  std::vector<uint8_t> mixed_;  // one line, of which the horizontal pass is made last
};

}  // namespace cornet
