#include "jpeg.h"

#include "jpeg-segments.h"

#include <jerror.h>

#include <algorithm>
#include <cstring>
#include <string>

namespace cornet {
namespace {

constexpr int rowsAtOnce = 16;  // libjpeg gives one or two of them, or more where the chroma is coarser

// libjpeg-turbo writes a row that begins at a multiple of its vectors' length past the cache, straight to memory, from
// where the resampler would have to fetch it again at once. So every row begins a pixel behind such an address.
constexpr size_t vectorBytes = 64;
constexpr size_t pixelBytes = 4;

size_t roundUp(size_t bytes) { return (bytes + vectorBytes - 1) / vectorBytes * vectorBytes; }

void ignoreMessage(j_common_ptr) {}
void ignoreCall(j_decompress_ptr) {}

}  // namespace

JpegDecoder::JpegDecoder(const Limits& limits) : limits_(limits) {
  info_.err = jpeg_std_error(&errors_);
  errors_.error_exit = [](j_common_ptr info) { fail(info); };
  errors_.output_message = ignoreMessage;
  info_.client_data = this;

  // The whole file is in memory: whoever wants more of it has met a file that is cut short.
  source_.init_source = ignoreCall;
  source_.term_source = ignoreCall;
  source_.resync_to_restart = jpeg_resync_to_restart;
  source_.fill_input_buffer = [](j_decompress_ptr info) -> boolean {
    fail(reinterpret_cast<j_common_ptr>(info), "the file is cut short");
  };
  source_.skip_input_data = [](j_decompress_ptr info, long bytes) {
    if (bytes <= 0) return;
    if (static_cast<size_t>(bytes) > info->src->bytes_in_buffer) info->src->fill_input_buffer(info);
    info->src->next_input_byte += bytes;
    info->src->bytes_in_buffer -= bytes;
  };

  // A small file can hold thousands of scans, each of which goes over the whole image.
  progress_.progress_monitor = [](j_common_ptr info) {
    const auto& decoder = *static_cast<JpegDecoder*>(info->client_data);
    if (decoder.info_.input_scan_number > decoder.limits_.scans) fail(info, "it has too many scans");
  };
}

JpegDecoder::~JpegDecoder() { jpeg_destroy_decompress(&info_); }

void JpegDecoder::fail(j_common_ptr info) {
  auto& errors = static_cast<Errors&>(*info->err);
  errors.format_message(info, errors.message);
  std::longjmp(errors.jump, 1);
}

void JpegDecoder::fail(j_common_ptr info, const char* message) {
  auto& errors = static_cast<Errors&>(*info->err);
  std::snprintf(errors.message, sizeof errors.message, "%s", message);
  std::longjmp(errors.jump, 1);
}

// Runs calls of libjpeg. Its errors come by longjmp, so `calls` must not own anything while it calls libjpeg.
template <class Calls>
void JpegDecoder::guarded(const Calls& calls) {
  if (setjmp(errors_.jump) == 0) {
    calls();
    return;
  }
  if (info_.mem != nullptr) jpeg_abort_decompress(&info_);
  throw ImageError(errors_.message);
}

// Begins with a new libjpeg object: an old one keeps the Huffman and quantisation tables of the file before, and uses
// them for a file that has none of its own.
void JpegDecoder::open(const uint8_t* file, size_t length) {
  jpeg_destroy_decompress(&info_);
  jpeg_create_decompress(&info_);
  info_.mem->max_memory_to_use = static_cast<long>(limits_.decoderBytes);
  info_.src = &source_;
  info_.progress = &progress_;
  source_.next_input_byte = file;
  source_.bytes_in_buffer = length;
  jpeg_read_header(&info_, TRUE);
}

JpegDecoder::Header JpegDecoder::header(const uint8_t* file, size_t length) {
  const JpegSegments segments = checkSegments(file, length);
  guarded([&] { open(file, length); });
  const Header header{static_cast<int>(info_.image_width), static_cast<int>(info_.image_height),
                      !segments.lossless && (info_.num_components == 1 || info_.num_components == 3)};
  jpeg_abort_decompress(&info_);
  if (static_cast<double>(header.width) * header.height > limits_.pixels) {
    throw ImageError("it has " + std::to_string(header.width) + " x " + std::to_string(header.height) +
                     " pixels, more than the limit");
  }
  return header;
}

void JpegDecoder::decode(const uint8_t* file, size_t length, const Geometry& geometry, int size, Resampler& resampler,
                         uint8_t* target) {
  const Region region = resampler.begin(geometry, size);
  const bool ends = length >= 2 && file[length - 2] == 0xff && file[length - 1] == JPEG_EOI;
  guarded([&] {
    open(file, length);
    info_.out_color_space = JCS_EXT_RGBX;
    jpeg_start_decompress(&info_);

    // Fancy upsampling looks at the neighbours of a pixel, and at the edge of what is decoded there are none: hence a
    // margin of one iMCU around the region. libjpeg begins at a whole iMCU column; rows are skipped in whole iMCUs.
    const int imcuWidth = info_.max_h_samp_factor * DCTSIZE, imcuHeight = info_.max_v_samp_factor * DCTSIZE;
    JDIMENSION left = std::max(0, region.left - imcuWidth);
    JDIMENSION width = std::min<JDIMENSION>(info_.output_width, region.right + imcuWidth) - left;
    jpeg_crop_scanline(&info_, &left, &width);
    const size_t needed = vectorBytes + rowBytes() * rowsAtOnce;
    if (pixels_.size() < needed) pixels_.resize(needed);
    column_ = region.left - static_cast<int>(left);
    const int skipped = (region.top / imcuHeight - 1) * imcuHeight;
    if (skipped > 0) jpeg_skip_scanlines(&info_, skipped);

    readRows(region.top, nullptr);
    readRows(region.bottom, &resampler);
    // Rows below the region need not be decoded, unless the file may be cut short: that is an error wherever it is cut.
    if (!ends) readRows(static_cast<int>(info_.output_height), nullptr);
    jpeg_abort_decompress(&info_);
  });
  resampler.finish(target);
}

// From one row to the next: with a pixel before it, and the one behind it that the resampler may read.
size_t JpegDecoder::rowBytes() const { return roundUp((static_cast<size_t>(info_.output_width) + 2) * pixelBytes); }

// Decodes the rows up to `end`; without a resampler they are thrown away.
void JpegDecoder::readRows(int end, Resampler* resampler) {
  JSAMPROW rows[rowsAtOnce];
  const uintptr_t start = reinterpret_cast<uintptr_t>(pixels_.data());
  rows[0] = pixels_.data() + (roundUp(start) - start) + pixelBytes;
  for (int i = 1; i < rowsAtOnce; i++) rows[i] = rows[i - 1] + rowBytes();
  while (static_cast<int>(info_.output_scanline) < end) {
    const int wanted = std::min(rowsAtOnce, end - static_cast<int>(info_.output_scanline));
    const int got = static_cast<int>(jpeg_read_scanlines(&info_, rows, wanted));
    for (int i = 0; resampler != nullptr && i < got; i++) resampler->addRow(rows[i] + column_ * pixelBytes);
  }
}

}  // namespace cornet
