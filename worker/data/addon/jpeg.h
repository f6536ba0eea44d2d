// The part of a JPEG file that an image is made of, decoded with libjpeg-turbo to the pixels that a full decode has.
#pragma once

#include "image.h"
#include "resample.h"

#include <cstdio>  // jpeglib.h wants FILE
#include <jpeglib.h>

#include <csetjmp>
#include <vector>

namespace cornet {

// For one thread. Keeps the rows' memory from one file to the next, and nothing of libjpeg's.
class JpegDecoder {
 public:
  explicit JpegDecoder(const Limits& limits);
  ~JpegDecoder();
  JpegDecoder(const JpegDecoder&) = delete;
  JpegDecoder& operator=(const JpegDecoder&) = delete;

  struct Header {
    int width, height;
    bool plain;  // greyscale, YCbCr or RGB, and not lossless: what decode() takes
  };

  // Throws ImageError where the file is no JPEG or its image is larger than allowed.
  Header header(const uint8_t* file, size_t length);

  // Writes the image, uint8 RGB [size, size, 3], as Pillow decodes it: accurate integer DCT, fancy upsampling.
  // Throws ImageError where the file is cut short or cannot be decoded; damage that libjpeg can get over is no error.
  void decode(const uint8_t* file, size_t length, const Geometry& geometry, int size, Resampler& resampler,
              uint8_t* target);

 private:
  struct Errors : jpeg_error_mgr {
    std::jmp_buf jump;
    char message[JMSG_LENGTH_MAX];
  };

  [[noreturn]] static void fail(j_common_ptr info);
  [[noreturn]] static void fail(j_common_ptr info, const char* message);
  template <class Calls>
  void guarded(const Calls& calls);
  void open(const uint8_t* file, size_t length);
  size_t rowBytes() const;
  void readRows(int end, Resampler* resampler);

  Limits limits_;
  jpeg_decompress_struct info_{};
  Errors errors_{};
  jpeg_source_mgr source_{};
  jpeg_progress_mgr progress_{};
  std::vector<uint8_t> pixels_;
  int column_ = 0;  // of a decoded row, where the region begins
};

}  // namespace cornet
