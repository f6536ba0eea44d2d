// What is done to the pixels of a training image behind its geometry: effects.ts in C++, to the same bits.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace cornet {

// Effects as effects.ts writes them: of each its kind, how many numbers it has, and these.
using EffectNumbers = std::vector<double>;

// Whether the numbers can be applied to an image of `size` pixels a side without reading or writing outside of anything.
bool fitEffects(const EffectNumbers& effects, int size);

// For one thread. Keeps its memory from one image to the next.
class Effects {
 public:
  // `portable`: without the vector instructions of this processor.
  explicit Effects(bool portable);

  // Changes an image, uint8 RGB [size, size, 3].
  void apply(const EffectNumbers& effects, int size, uint8_t* image) { apply_(effects, size, image, *this); }

  // Memory of the kernels.
  std::vector<uint8_t> source;    // an image of four bytes a pixel
  std::vector<int16_t> lines;     // of an image, with what is mirrored behind its ends
  std::vector<int16_t> weights;   // of a blur

 private:
  void (*apply_)(const EffectNumbers& effects, int size, uint8_t* image, Effects& memory);
};

}  // namespace cornet
