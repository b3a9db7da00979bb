// A store with threads of its own: whoever asks never waits for the disk.
//
//   put, drop ──> queue ──> writer: batches, one sync for all that wait for one ──> `written`
//   load ──> (while its key is in the queue: after that) ──> readers ──> `loaded`
//
// Ownership: the store; a thread that hangs in the disk shares it and may be left behind at the end.
// Threads:   all calls from any thread; none waits for the disk. Callbacks come on the tier's threads, and are short.
// Order:     operations count in the order of the calls. A load sees the puts and drops of its key that were asked for before. What drops by label
//            or drops everything is sure for loads that are asked for after its `written`.
// Limits:    queue_bytes_max of values wait, or one larger one; a put beyond that is not stored, and drops what its key had (its outcome: refused). More than
//            queue_operations_max operations: they are replaced by one that drops all values (loads find none from then on), and of them only the callers'
//            `written` are kept; what is about sessions and the audience stays. loads_max loads.
// Errors:    those of the store. A degraded store is tried again after retry_first, then less and less often up to retry_longest.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "disk/store.hpp"
#include "threads/leavable_thread.hpp"

namespace onced::disk {

struct TierOptions {
  std::size_t queue_bytes_max = std::size_t{256} << 20;
  std::size_t queue_operations_max = 100'000;
  std::size_t loads_max = 10'000;
  std::chrono::milliseconds sync_period{1'000};  // what nobody waits for is stable after so long
  std::chrono::milliseconds retry_first{1'000};
  std::chrono::milliseconds retry_longest{60'000};
  int readers = 2;
  // Milliseconds since the store was opened, by a clock that nobody sets.
  std::function<std::uint64_t()> elapsed_ms{};
};

class Tier {
 public:
  using Written = std::function<void(Store::Outcome)>;
  using LoadDone = std::function<void(Result<std::optional<Store::Loaded>>)>;

  Tier(std::unique_ptr<Store> store, TierOptions options);
  // Waits for nothing: stop() first.
  ~Tier();
  Tier(const Tier&) = delete;
  Tier& operator=(const Tier&) = delete;

  // `written`, which may be null: when it is stable with `durable`, else when it can be loaded.
  void put(ValueInput value, bool durable, Written written);
  // `written`: when it is stable.
  void drop(std::string key, Written written);
  void drop_label(Label label, Written written);
  void clear(Written written);
  // `written`, of both: when it is stable. Whatever comes of it, it holds for what is asked for afterwards.
  void keep_session(const SessionFacts& facts, Written written);
  void end_session(std::uint64_t number, Written written);  // 0: all
  // `written` as above: behind all that was asked for before, before anything later.
  void keep_audience(std::string audience, Written written);
  // Stable some time after it; not even that when much waits.
  void use_session(std::uint64_t number);
  // What is there of another key. Nothing also while something is still to be written of it: a value whose record can be read is older than that.
  using Look = std::function<Result<std::optional<Store::Summary>>(std::string_view key)>;
  // As Store::Accept. By what look() says it sees every put and drop that was asked for before the load.
  using Accept = std::function<Result<bool>(const ValueFacts& facts, std::string_view attributes, const Look& look)>;
  // False: loads_max are waiting; `loaded` is not called. `accept` and `sink` are called on a reader's thread, before `loaded` is.
  bool load(std::string key, std::shared_ptr<PartSink> sink, LoadDone loaded, Accept accept = {});

  // Whether a load, or a drop, is worth asking for. Never waits for the disk.
  bool may_have(std::string_view key) const;

  // Rewrites all that there is, one segment between two batches. `progress` as of Store::verify(); `done` with the bytes that
  // the directory has afterwards. Not while another is under way.
  using Progress = std::function<bool(std::uint64_t, std::uint64_t)>;
  void compact(Progress progress, std::function<void(Result<std::uint64_t>)> done);
  // Store::verify() as it may run on a thread of the caller's: it shares what it needs.
  std::function<Result<Store::Verified>(const Progress&)> verification() const;

  std::uint64_t now_ms() const;
  // Of its calls, those that wait for no disk.
  Store& store() const;
  std::size_t queued_bytes() const;
  // Values that were put and could not be kept, since the start: no room in the queue, in the budget or on the disk, or it fails.
  std::uint64_t left_out() const;

  // Tries a degraded store once more, writes and syncs what is queued, ends the threads; those that are not done within `patience` are left behind.
  void stop(std::chrono::milliseconds patience);

 private:
  struct State;
  std::shared_ptr<State> state_;
  std::vector<std::unique_ptr<threads::LeavableThread>> threads_;
};

}  // namespace onced::disk
