// The sessions of a store and the keys of their values, in slots that are overwritten in place (DISK.md, "Sessions").
//
// What is in memory is the truth; the file follows, and is written anew from there after a failure. A session that has ended is in neither.
// Threads:   one writer; key_of(), has(), size(), numbers_below() and all() from any thread, and none of them waits for the disk.
// Order:     what sync() has returned for stays so. end() holds in memory at once, keep() and use() as well.
// Errors:    after any failure nothing more is written, and calls that would say so, until recover() succeeds.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <unordered_map>
#include <vector>

#include <onced/protocol/result.hpp>

#include "disk/directory.hpp"
#include "disk/files.hpp"
#include "disk/format.hpp"
#include "disk/session_key.hpp"
#include "disk/value.hpp"

namespace onced::disk {

struct SessionFacts {
  std::uint64_t number = 0;       // not 0
  std::uint64_t generation = 0;
  std::array<std::byte, 32> digest{};  // of its id
  std::uint64_t made_ms = 0;      // all times by the store's clock
  std::uint64_t used_ms = 0;      // as far as is known
  std::uint64_t idle_ms = 0;      // 0: it may idle for ever
  std::uint64_t ends_ms = never_ms;

  // For how long it has not been used, at least: what is written may be older than the truth by half the idle time.
  std::uint64_t idle_for_ms(std::uint64_t now_ms) const {
    const std::uint64_t since = now_ms - std::min(now_ms, used_ms);
    return since - std::min(since, idle_ms / 2);
  }
  bool is_over(std::uint64_t now_ms) const { return ends_ms <= now_ms || (idle_ms != 0 && idle_for_ms(now_ms) >= idle_ms); }
};

class SessionFile {
 public:
  SessionFile(FileSystem& files, std::uint64_t seed, std::function<void(std::span<std::byte>)> random, const Say& say)
      : files_(files), seed_(seed), random_(std::move(random)), say_(say) {}

  // Reads the file, if there is one: the latest time in it.
  Result<std::uint64_t> open();
  // Then: ends what is over, and overwrites what is not to be there.
  Result<void> begin(std::uint64_t now_ms);

  // A new one, which gets a key, or what became of one that is there.
  Result<void> keep(const SessionFacts& facts);
  // Of one that is there; no promise of its own.
  Result<void> use(std::uint64_t number, std::uint64_t used_ms);
  Result<void> end(std::uint64_t number);
  Result<void> sync();
  bool has_unstable() const { return dirty_; }  // the writer's
  // What was asked for by keep() and end(), counted. Of these so many are on stable storage; and so many also so that no copy says otherwise any
  // more, which a change of a session's id needs and its end does not. The writer's.
  std::uint64_t changes() const { return changes_; }
  std::uint64_t written_changes() const { return written_changes_; }
  std::uint64_t stable_changes() const { return stable_changes_; }
  void abandon() { broken_ = true; }
  Result<void> recover();

  std::optional<SessionKey> key_of(std::uint64_t number) const;
  bool has(std::uint64_t number) const {
    const std::lock_guard lock(mutex_);
    return live_.contains(number);
  }
  std::size_t size() const;
  std::uint64_t numbers_below() const;
  std::vector<SessionFacts> all() const;
  std::uint64_t bytes() const { return file_ ? pairs_ * pair_bytes : 0; }  // the writer's

  static constexpr std::size_t page_bytes = 4096;
  static constexpr std::size_t pair_bytes = 2 * page_bytes;
  static constexpr std::size_t slots_per_pair = page_bytes / sizeof(SessionSlot);
  static constexpr std::uint64_t numbers_step = std::uint64_t{1} << 22;  // so many are given before the header is written again

 private:
  enum : unsigned { none = 0, first = 1, second = 2, both = 3 };
  // Of the header, or of a slot: the second is a page behind the first.
  struct Copies {
    std::array<std::uint64_t, 2> sequences{};  // 0: it is not whole
    unsigned unstable = none;                  // those that were written since the last sync
    bool other_too = false;                    // after it the other one is to follow

    unsigned next() const;
    void written(unsigned which, std::uint64_t sequence);
  };
  struct Live {
    SessionFacts facts;
    SessionKey key;
    std::size_t slot = 0;
    Copies copies{};  // with an unstable one it is in written_
  };
  static constexpr std::uint64_t header_place = 0;
  static std::uint64_t place_of(std::size_t slot) { return (1 + slot / slots_per_pair) * pair_bytes + slot % slots_per_pair * sizeof(SessionSlot); }
  std::uint64_t slot_seed(std::size_t slot) const { return seed_ + slot; }
  SessionSlot slot_of(const Live& live, std::uint64_t sequence) const;
  SessionsHeader header(std::uint64_t sequence) const;
  Result<void> write(Live& live, unsigned which);
  Result<void> write_header();
  Result<void> write_copies(unsigned which, Bytes image, std::uint64_t place);
  Result<void> make_file();
  Result<void> open_file();
  Result<void> write_all();
  std::size_t free_slot();
  Error broken() const { return Error{ErrorCode::unavailable, "the file of sessions cannot be written"}; }

  FileSystem& files_;
  std::uint64_t seed_;
  std::function<void(std::span<std::byte>)> random_;
  const Say& say_;
  std::unique_ptr<File> file_;  // null: there is none yet, or it could not be opened again
  bool broken_ = false;
  bool dirty_ = false;          // since the last sync something was written
  bool to_repair_ = false;
  std::uint64_t changes_ = 0;
  std::uint64_t written_changes_ = 0;
  std::uint64_t stable_changes_ = 0;
  std::uint64_t pairs_ = 1;     // of the file, when there is one
  std::uint64_t sequence_ = 0;  // the latest
  Copies header_{};
  std::vector<std::size_t> free_;   // slots below the file's end
  std::vector<std::size_t> freed_;  // free after the next sync

  std::vector<std::uint64_t> written_;  // numbers of sessions with unstable copies; they may have ended since

  // Of which sessions there are, their facts and keys, and of the bound: the writer holds it while it changes them, others while they look.
  mutable std::mutex mutex_;
  std::unordered_map<std::uint64_t, Live> live_;
  std::uint64_t numbers_below_ = 1;
};

}  // namespace onced::disk
