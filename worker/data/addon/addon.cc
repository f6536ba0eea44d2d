// Images for Node: files are read on some threads, decoded and resampled on others, and written into JavaScript's own
// memory. The main thread only hands out and takes back.
#include "effects.h"
#include "file.h"
#include "jpeg.h"
#include "resample.h"
#include "threads.h"

#define NAPI_VERSION 8
#include <napi.h>

#include <algorithm>
#include <cmath>
#include <optional>
#include <string>

namespace cornet {
namespace {

// One image in the making. Only the main thread makes and destroys it; in between it is with one thread at a time.
struct Job {
  Napi::Promise::Deferred deferred;
  Napi::ObjectReference heldTarget;  // stays alive as long as somebody writes into it
  uint8_t* target;
  int size;
  Geometry geometry{};
  EffectNumbers effects{};
  std::optional<std::string> error{};
  const char* errorCode = "IMAGE";

  // From a file or a part of one: its bytes are there once it is read, the geometry once `transform` was asked.
  std::string path{};
  std::optional<Part> part{};
  Napi::FunctionReference transform{};
  std::vector<uint8_t> file{};
  JpegDecoder::Header header{};

  // From an image that others have decoded: RGB, `pictureWidth` pixels in a row.
  Napi::ObjectReference heldPicture{};
  const uint8_t* picture = nullptr;
  int pictureWidth = 0;

  enum { reading, drawing, done } phase = reading;
};

// What a thread keeps from one job to the next.
struct Bench {
  Bench(const Limits& limits, bool portable) : jpeg(limits), resampler(portable), effects(portable) {}
  JpegDecoder jpeg;
  Resampler resampler;
  Effects effects;
  std::vector<uint8_t> row;
  Unpacking unpacking;
};

// A larger buffer is given back, so that one huge file does not cost its size for ever.
constexpr size_t spareFileBytes = 1 << 20;

void read(Job& job, Bench& bench, const Limits& limits) {
  job.phase = Job::done;
  const bool isJpeg = readJpeg(job.path, job.part, limits, job.file, bench.unpacking);
  if (bench.unpacking.data.size() + bench.unpacking.compressed.size() > 2 * spareFileBytes) bench.unpacking = {};
  if (!isJpeg) return;
  job.header = bench.jpeg.header(job.file.data(), job.file.size());
  if (job.header.plain) job.phase = Job::drawing;
}

void drawPicture(Job& job, Bench& bench) {
  const Region region = bench.resampler.begin(job.geometry, job.size);
  const size_t width = region.right - region.left;
  bench.row.resize((width + 1) * 4);
  for (int y = region.top; y < region.bottom; y++) {
    const uint8_t* from = job.picture + (static_cast<size_t>(y) * job.pictureWidth + region.left) * 3;
    for (size_t x = 0; x < width; x++) std::copy_n(from + x * 3, 3, &bench.row[x * 4]);
    bench.resampler.addRow(bench.row.data());
  }
  bench.resampler.finish(job.target);
}

void draw(Job& job, Bench& bench) {
  job.phase = Job::done;
  if (job.picture != nullptr) {
    drawPicture(job, bench);
  } else {
    bench.jpeg.decode(job.file.data(), job.file.size(), job.geometry, job.size, bench.resampler, job.target);
  }
  bench.effects.apply(job.effects, job.size, job.target);
}

double number(const Napi::Value& value) { return value.As<Napi::Number>().DoubleValue(); }
int integer(const Napi::Value& value) { return value.As<Napi::Number>().Int32Value(); }

// [box.left, box.top, box.width, box.height, width, height, left, top, flip]. Nothing is written or read outside of
// what is there, whatever the caller says.
Geometry checkedGeometry(const Napi::Value& value, int pictureWidth, int pictureHeight, int size) {
  const auto n = value.As<Napi::Int32Array>();
  const auto inside = [](int64_t start, int64_t length, int64_t whole) {
    return start >= 0 && length > 0 && start + length <= whole;
  };
  if (n.ElementLength() != 9 || !inside(n[0], n[2], pictureWidth) || !inside(n[1], n[3], pictureHeight) ||
      !inside(n[6], size, n[4]) || !inside(n[7], size, n[5])) {
    throw Napi::RangeError::New(value.Env(), "the geometry does not fit the picture");
  }
  return {n[0], n[1], n[2], n[3], n[4], n[5], n[6], n[7], n[8] != 0};
}

// A Float64Array, or null where there are none.
EffectNumbers checkedEffects(const Napi::Value& value, int size) {
  if (value.IsNull()) return {};
  const auto numbers = value.As<Napi::Float64Array>();
  EffectNumbers effects(numbers.Data(), numbers.Data() + numbers.ElementLength());
  if (!fitEffects(effects, size)) throw Napi::RangeError::New(value.Env(), "the effects do not fit the image");
  return effects;
}

// Null, or [offset, stored, skip (-1: nothing is compressed), bytes, and the archive's bytes, modification time / 2^32,
// modification time % 2^32].
std::optional<Part> checkedPart(const Napi::Value& value) {
  if (value.IsNull()) return std::nullopt;
  const auto n = value.As<Napi::Float64Array>();
  const auto isWhole = [](double x, double least) { return x >= least && x < 0x1p53 && std::floor(x) == x; };
  if (n.ElementLength() != 7 || !isWhole(n[0], 0) || !isWhole(n[1], 0) || !isWhole(n[2], -1) || !isWhole(n[3], 0) ||
      !isWhole(n[4], 0) || !isWhole(n[5], -0x1p31) || n[5] >= 0x1p31 || !isWhole(n[6], 0) || n[6] >= 0x1p32) {
    throw Napi::RangeError::New(value.Env(), "these numbers are no part of a file");
  }
  Part part{static_cast<uint64_t>(n[0]),
            static_cast<size_t>(n[1]),
            std::nullopt,
            static_cast<size_t>(n[3]),
            static_cast<uint64_t>(n[4]),
            static_cast<int64_t>(n[5]) * (INT64_C(1) << 32) + static_cast<int64_t>(n[6])};
  if (n[2] >= 0) {
    part.skip = static_cast<size_t>(n[2]);
  } else if (part.stored != part.bytes) {
    throw Napi::RangeError::New(value.Env(), "the part is not as large as its image");
  }
  return part;
}

class ImagePool : public Napi::ObjectWrap<ImagePool> {
 public:
  static Napi::Function define(Napi::Env env) {
    return DefineClass(env, "ImagePool",
                       {InstanceMethod<&ImagePool::decode>("decode"), InstanceMethod<&ImagePool::resample>("resample")});
  }

  // new ImagePool(decodeThreads, readThreads, [pixels, fileBytes, decoderBytes, scans], portable)
  explicit ImagePool(const Napi::CallbackInfo& info) : Napi::ObjectWrap<ImagePool>(info) {
    const auto limits = info[2].As<Napi::Array>();
    limits_ = {number(limits[0u]), number(limits[1u]), number(limits[2u]), integer(limits[3u])};
    mailbox_ = Napi::ThreadSafeFunction::New(info.Env(), Napi::Function(), "cornet images", 0, 1);
    mailbox_.Unref(info.Env());
    const bool portable = info[3].As<Napi::Boolean>().Value();
    const auto newBench = [this, portable] { return std::make_unique<Bench>(limits_, portable); };
    const auto reading = [this](Job& job, Bench& bench) { read(job, bench, limits_); };
    decoders_.emplace(integer(info[0]), newBench, working(draw));
    readers_.emplace(integer(info[1]), newBench, working(reading));
    // the threads must have ended before Node closes the mailbox
    napi_add_env_cleanup_hook(info.Env(), stopPool, this);
  }

  void Finalize(Napi::Env env) override {
    napi_remove_env_cleanup_hook(env, stopPool, this);
    stop();
  }

 private:
  // decode(path, part, transform, size, target, offset): Promise<number | null>
  // transform(width, height) returns the geometry and the effects. Resolves to the image's size in bytes; null, and
  // nothing written, where it is no plain JPEG.
  Napi::Value decode(const Napi::CallbackInfo& info) {
    auto job = newJob(info[3], info[4], info[5]);
    job->path = info[0].As<Napi::String>().Utf8Value();
    job->part = checkedPart(info[1]);
    job->transform = Napi::Persistent(info[2].As<Napi::Function>());
    if (!spareFiles_.empty()) {
      job->file = std::move(spareFiles_.back());
      spareFiles_.pop_back();
    }
    return begin(std::move(job));
  }

  // resample(image, width, height, geometry, effects, size, target, offset): Promise<null>
  Napi::Value resample(const Napi::CallbackInfo& info) {
    auto job = newJob(info[5], info[6], info[7]);
    const auto picture = info[0].As<Napi::Uint8Array>();
    const int width = integer(info[1]), height = integer(info[2]);
    if (width < 1 || height < 1 || 3.0 * width * height > static_cast<double>(picture.ByteLength())) {
      throw Napi::RangeError::New(info.Env(), "the picture is smaller than it is said to be");
    }
    job->geometry = checkedGeometry(info[3], width, height, job->size);
    job->effects = checkedEffects(info[4], job->size);
    job->heldPicture = Napi::Persistent(picture.As<Napi::Object>());
    job->picture = picture.Data();
    job->pictureWidth = width;
    job->phase = Job::drawing;
    return begin(std::move(job));
  }

  static std::unique_ptr<Job> newJob(const Napi::Value& size, const Napi::Value& target, const Napi::Value& offset) {
    const int side = integer(size);
    auto bytes = target.As<Napi::Uint8Array>();
    const double start = number(offset);
    if (side < 1 || start < 0 || start + 3.0 * side * side > static_cast<double>(bytes.ByteLength())) {
      throw Napi::RangeError::New(target.Env(), "the image does not fit into its target");
    }
    return std::unique_ptr<Job>(new Job{Napi::Promise::Deferred::New(target.Env()),
                                        Napi::Persistent(bytes.As<Napi::Object>()),
                                        bytes.Data() + static_cast<size_t>(start), side});
  }

  // The event loop, and this object, stay alive while images are in the making.
  Napi::Value begin(std::unique_ptr<Job> job) {
    const Napi::Promise promise = job->deferred.Promise();
    if (inTheMaking_++ == 0) {
      mailbox_.Ref(promise.Env());
      Ref();
    }
    (job->phase == Job::reading ? readers_ : decoders_)->add(std::move(job));
    return promise;
  }

  template <class Work>
  Threads<Job, Bench>::Work working(Work work) {
    return [this, work](std::unique_ptr<Job> job, Bench& bench) {
      try {
        work(*job, bench);
      } catch (const ImageError& error) {
        job->error = error.what();
      } catch (const ArchiveChanged& error) {
        job->error = error.what();
        job->errorCode = "CHANGED";
      } catch (const std::exception& error) {  // also that memory is exhausted
        job->error = error.what();
        job->errorCode = "SYSTEM";
      }
      deliver(std::move(job));
    };
  }

  // One call wakes the main thread for all jobs that are back by then.
  void deliver(std::unique_ptr<Job> job) {
    const std::lock_guard<std::mutex> lock(mutex_);
    back_.push_back(std::move(job));
    if (back_.size() == 1) mailbox_.NonBlockingCall([this](Napi::Env env, Napi::Function) { collect(env); });
  }

  void collect(Napi::Env env) {
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      collected_.swap(back_);
    }
    for (auto& job : collected_) {
      const Napi::HandleScope scope(env);
      if (job->error) {
        const Napi::Error error = Napi::Error::New(env, *job->error);
        error.Value().Set("code", job->errorCode);
        job->deferred.Reject(error.Value());
      } else if (job->phase == Job::done) {
        const double fileBytes = static_cast<double>(job->file.size());
        job->deferred.Resolve(job->header.plain ? Napi::Number::New(env, fileBytes) : env.Null());
      } else if (askGeometry(env, *job)) {
        decoders_->add(std::move(job));
        continue;
      }
      end(env, *job);
    }
    collected_.clear();
  }

  // False where the job was rejected with what `transform` threw.
  static bool askGeometry(Napi::Env env, Job& job) {
    const auto [width, height, plain] = job.header;
    try {
      const Napi::Value made = job.transform.Call({Napi::Number::New(env, width), Napi::Number::New(env, height)});
      const auto geometryAndEffects = made.As<Napi::Array>();
      job.geometry = checkedGeometry(geometryAndEffects[0u], width, height, job.size);
      job.effects = checkedEffects(geometryAndEffects[1u], job.size);
      return true;
    } catch (const Napi::Error& error) {
      job.deferred.Reject(error.Value());
      return false;
    }
  }

  void end(Napi::Env env, Job& job) {
    if (job.file.capacity() > 0 && job.file.capacity() <= spareFileBytes) spareFiles_.push_back(std::move(job.file));
    if (--inTheMaking_ > 0) return;
    mailbox_.Unref(env);
    Unref();
  }

  static void stopPool(void* pool) { static_cast<ImagePool*>(pool)->stop(); }

  void stop() {
    if (!decoders_) return;
    readers_.reset();
    decoders_.reset();
    mailbox_.Release();
  }

  Limits limits_{};
  Napi::ThreadSafeFunction mailbox_;
  std::mutex mutex_;
  std::vector<std::unique_ptr<Job>> back_;
  std::vector<std::unique_ptr<Job>> collected_;
  std::vector<std::vector<uint8_t>> spareFiles_;
  size_t inTheMaking_ = 0;
  std::optional<Threads<Job, Bench>> decoders_, readers_;
};

// What pixels are decoded with. LIBJPEG_VERSION is that of the library beside the addon, not of the headers.
Napi::Value library(const Napi::CallbackInfo& info) {
  return Napi::String::New(info.Env(), "libjpeg-turbo " LIBJPEG_VERSION);
}

Napi::Object initialise(Napi::Env env, Napi::Object exports) {
  exports.Set("ImagePool", ImagePool::define(env));
  exports.Set("library", Napi::Function::New<library>(env, "library"));
  return exports;
}

}  // namespace

NODE_API_MODULE(images, initialise)

}  // namespace cornet
