// Threads of the addon's own, so that images wait for nothing else that Node does, and nothing else for them.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

namespace cornet {

// Works on items in the order in which they come. Each thread has a bench of its own, which it keeps.
template <class Item, class Bench>
class Threads {
 public:
  using Work = std::function<void(std::unique_ptr<Item>, Bench&)>;

  // `work` must not throw. Throws what making a bench or a thread throws.
  Threads(int count, const std::function<std::unique_ptr<Bench>()>& newBench, Work work) : work_(std::move(work)) {
    try {
      for (int i = 0; i < count; i++) benches_.push_back(newBench());
      for (const auto& bench : benches_) threads_.emplace_back([this, &bench] { run(*bench); });
    } catch (...) {
      end();
      throw;
    }
  }

  // Waits for the items that are being worked on; the others are destroyed by the calling thread.
  ~Threads() { end(); }

  void add(std::unique_ptr<Item> item) {
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      waiting_.push_back(std::move(item));
    }
    changed_.notify_one();
  }

 private:
  void end() {
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      ending_ = true;
    }
    changed_.notify_all();
    for (std::thread& thread : threads_) thread.join();
  }

  void run(Bench& bench) {
    std::unique_lock<std::mutex> lock(mutex_);
    for (;;) {
      changed_.wait(lock, [this] { return ending_ || !waiting_.empty(); });
      if (ending_) return;
      std::unique_ptr<Item> item = std::move(waiting_.front());
      waiting_.pop_front();
      lock.unlock();
      work_(std::move(item), bench);
      lock.lock();
    }
  }

  const Work work_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::unique_ptr<Item>> waiting_;
  bool ending_ = false;
  std::vector<std::unique_ptr<Bench>> benches_;
  std::vector<std::thread> threads_;
};

}  // namespace cornet
