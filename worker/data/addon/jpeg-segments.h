// The segments of a JPEG file, as strictly as Pillow reads them: libjpeg takes more, and does not look at what lies behind
// the last row that is asked for.
#pragma once

#include <cstddef>
#include <cstdint>

namespace cornet {

struct JpegSegments {
  bool lossless;  // each pixel is predicted from those before it: no part can be decoded alone
};

// Goes over the file from its start (FF D8 FF) to its end. Throws ImageError where Pillow refuses it.
// formats/jpeg.ts has the same rules.
JpegSegments checkSegments(const uint8_t* file, size_t length);

}  // namespace cornet
