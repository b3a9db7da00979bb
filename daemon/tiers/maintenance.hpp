// Work on a whole store that takes long: one piece of it at a time, on a thread of its own or on the tier's writer, and how far it is.
//
// Ownership: borrows the tier, which outlives it: stop() comes first, and leaves a thread that hangs in the disk behind with the tier's own.
// Threads:   the loop.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>

#include <onced/protocol/messages.hpp>

#include "disk/tier.hpp"
#include "threads/leavable_thread.hpp"

namespace onced::tiers {

class Maintenance {
 public:
  explicit Maintenance(disk::Tier& tier) : tier_(tier) {}
  ~Maintenance() { stop(std::chrono::milliseconds(0)); }

  // Nothing when something is being done already.
  void begin_verify();
  void begin_compact();
  void ask_to_stop();
  // Appends what is being done and how far it is, and what the last one found.
  void report(protocol::Report& report) const;
  void stop(std::chrono::milliseconds patience);

 private:
  // Shared with the thread that works.
  struct Progress {
    std::atomic<std::uint64_t> done{0};  // relaxed: numbers for people; bytes of verify, segments of compact
    std::atomic<std::uint64_t> all{0};
    std::atomic<bool> stop{false};             // relaxed: seen soon enough
    mutable std::mutex mutex;                  // of what follows
    bool running = false;
    std::string task;
    std::string result;                        // of the last one, for people
    bool failed = false;                       // likewise
    disk::Store::Verified verified{};          // what the last verify found that came to an end
    std::uint64_t compacted_from = 0;          // bytes of the directory before the last compaction that did
    std::uint64_t compacted_to = 0;
  };
  bool begin(const char* task);

  disk::Tier& tier_;
  std::shared_ptr<Progress> progress_ = std::make_shared<Progress>();
  std::unique_ptr<threads::LeavableThread> thread_;
};

}  // namespace onced::tiers
