// The large parts that one connection has mapped: blob id -> read-only memory, viewed by Values, kept for later hits.
//
//   insert() -> viewed by one --(release)--> unviewed: kept while within bounds and the blob is live --(find)--> viewed
//                                                `--> unmapped: room is needed, the blob was dropped, drop_unviewed()
//
// Ownership: the mappings. Shared by the attachment and by the Values that hold views without holding a pin; ends with the
//            last of them. The attachment detaches it when it ends itself: then nothing unviewed is kept.
// Threads:   find() and release() without a lock, on the hit path; what changes the table has one.
// Invariant: a mapping's blob and memory change only while `views` is `busy`, which is entered only from 0 views. Who has
//            added a view to one that was not busy therefore holds what it finds there.
// Fork:      a child leaves its parent's cache as it is: views that it inherited stay mapped until it ends.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include <onced/protocol/segment_reader.hpp>

#include "mapping.hpp"
#include "process.hpp"

namespace onced::client_detail {

struct alignas(64) BlobMapping {
  static constexpr std::uint32_t busy = std::uint32_t{1} << 31;

  // Free entries have 0. Release in insert(), acquire in find().
  std::atomic<std::uint64_t> blob{0};
  // Counted, or `busy` and perhaps some who came too late and go again. Acquire when a view is added, release when it
  // is removed; pair with each other and with the change from 0 to busy, and back.
  std::atomic<std::uint32_t> views{busy};
  std::atomic<std::uint32_t> used{0};  // relaxed: the cache's clock when it was last found
  bool in_table = true;                // false: for one viewer alone
  bool kept = true;                    // counts against the bound on bytes; false: goes with its last view
  Mapping memory;
};

// The table of a cache is made whole, with its first mapping: some 100 bytes for each.
inline constexpr std::uint32_t mapping_cache_count_max = 1U << 20;

struct MappingBounds {
  std::uint64_t bytes = 0;
  std::uint32_t count = 0;
};

class MappingCache {
 public:
  // `reader` says which blobs are live; it outlives detach().
  MappingCache(const MappingBounds& bounds, const protocol::SegmentReader& reader);
  MappingCache(const MappingCache&) = delete;
  MappingCache& operator=(const MappingCache&) = delete;
  ~MappingCache();

  // A view of the blob's memory, or null when it is not mapped here (or is just being moved: ask find_surely()).
  BlobMapping* find(std::uint64_t blob) {
    // Acquire: pairs with the release in insert(); the table is complete.
    Table* const table = table_.load(std::memory_order_acquire);
    return table == nullptr ? nullptr : find_in(*table, blob);
  }
  BlobMapping* find_surely(std::uint64_t blob);
  // Takes the memory; the result is a view. Of a blob that is there already, that one.
  BlobMapping* insert(std::uint64_t blob, Mapping memory);
  // Ends a view. The blob is live by the caller's knowledge, or this looks itself.
  void release(BlobMapping* mapping, bool live);
  void release(BlobMapping* mapping);

  // Unmaps what nobody views and no record names, if that may have changed. Cheap when it has not.
  void drop_dead() {
    // Relaxed: a hint; sweep() looks again under the lock.
    if (count_.load(std::memory_order_relaxed) != 0 && reader_.blobs_dropped() != dropped_seen_.load(std::memory_order_relaxed)) [[unlikely]] {
      sweep();
    }
  }
  // Unmaps all that nobody views.
  void drop_unviewed();
  // From here on a mapping goes with its last view: nobody looks any more.
  void keep_nothing();
  // The reader goes.
  void detach();

  std::uint64_t count() const { return count_.load(std::memory_order_relaxed); }
  std::uint64_t bytes() const {
    return kept_bytes_.load(std::memory_order_relaxed) + other_bytes_.load(std::memory_order_relaxed);
  }

 private:
  static constexpr std::uint64_t sweep_again = ~std::uint64_t{0};

  // Entries, and a hash index of them with linear probing. A word of the index is an entry's number + 1, 0 ends a probe.
  // Words of entries that were removed stay until the index is made anew: what they lead to is another blob, or none.
  struct Table {
    explicit Table(std::uint32_t count);
    std::unique_ptr<BlobMapping[]> entries;
    const std::uint32_t entries_count;
    const std::uint64_t index_mask;
    std::unique_ptr<std::atomic<std::uint32_t>[]> index;  // release where a word is set, acquire in find_in()
    std::uint64_t words_used = 0;      // under the lock
    std::vector<std::uint32_t> free;   // under the lock
  };

  BlobMapping* find_in(Table& table, std::uint64_t blob);
  bool add_view(BlobMapping& mapping, std::uint64_t blob);
  void sweep();
  Mapping take_if_unviewed(BlobMapping& mapping);
  BlobMapping* room_for(std::uint64_t bytes, bool kept, std::vector<Mapping>& gone);
  std::atomic<std::uint64_t>& bytes_of(const BlobMapping& mapping) { return mapping.kept ? kept_bytes_ : other_bytes_; }
  void index(Table& table, std::uint32_t entry);
  static void set_word(Table& table, std::uint64_t blob, std::uint32_t entry);

  const std::uint32_t count_max_;
  const protocol::SegmentReader& reader_;
  Process* const process_;
  std::atomic<Table*> table_{nullptr};  // made at the first insertion
  std::atomic<std::uint64_t> count_{0};  // changed under the lock but for mappings outside of the table
  std::atomic<std::uint64_t> kept_bytes_{0};   // likewise
  std::atomic<std::uint64_t> other_bytes_{0};  // of mappings that are not `kept`
  // Of what is kept; falls to 0. Seq_cst in keep_nothing() and release(), as are the changes of `views` there: a last
  // view that goes meanwhile is seen by one of them.
  std::atomic<std::uint64_t> bytes_max_;
  std::atomic<std::uint64_t> dropped_seen_{0};  // the reader's number at the last sweep; sweep_again: none
  std::atomic<std::uint32_t> clock_{0};  // rises with every insertion

  std::mutex mutex_;
  // Under it:
  std::unique_ptr<Table> table_owner_;
  bool detached_ = false;
};

// A view for as long as it lives; keeps the cache too.
class BlobView {
 public:
  BlobView() = default;
  BlobView(std::shared_ptr<MappingCache> cache, BlobMapping* mapping) : cache_(std::move(cache)), mapping_(mapping) {}
  BlobView(BlobView&& other) noexcept : cache_(std::move(other.cache_)), mapping_(std::exchange(other.mapping_, nullptr)) {}
  BlobView& operator=(BlobView&& other) noexcept {
    std::swap(cache_, other.cache_);
    std::swap(mapping_, other.mapping_);
    return *this;
  }
  ~BlobView() {
    if (mapping_ != nullptr) cache_->release(mapping_);
  }
  std::span<const std::byte> bytes() const { return mapping_->memory.span(); }
  explicit operator bool() const { return mapping_ != nullptr; }
  // Ends it by other means than this object.
  BlobMapping* release() { return std::exchange(mapping_, nullptr); }

 private:
  std::shared_ptr<MappingCache> cache_;
  BlobMapping* mapping_ = nullptr;
};

}  // namespace onced::client_detail
