#include "mapping_cache.hpp"

#include <algorithm>
#include <bit>

namespace onced::client_detail {

namespace {

// Ids are counted upwards and carry a place in their lower bits: spread by multiplication (Knuth).
std::uint64_t spread(std::uint64_t blob) { return (blob * 0x9e37'79b9'7f4a'7c15ULL) >> 32; }

}  // namespace

// At most half of the index's words are entries; it is made anew before three quarters are used.
MappingCache::Table::Table(std::uint32_t count)
    : entries(std::make_unique<BlobMapping[]>(count)),
      entries_count(count),
      index_mask(std::bit_ceil(std::uint64_t{count} * 2 + 2) - 1),
      index(std::make_unique<std::atomic<std::uint32_t>[]>(index_mask + 1)) {
  for (std::uint32_t entry = count; entry > 0; --entry) free.push_back(entry - 1);
}

MappingCache::MappingCache(const MappingBounds& bounds, const protocol::SegmentReader& reader)
    : count_max_(bounds.count), reader_(reader), process_(&Process::here()), bytes_max_(bounds.bytes), dropped_seen_(reader.blobs_dropped()) {}

MappingCache::~MappingCache() = default;

// ---- views ----------------------------------------------------------------------------------------------------------

BlobMapping* MappingCache::find_in(Table& table, std::uint64_t blob) {
  for (std::uint64_t at = spread(blob) & table.index_mask;; at = (at + 1) & table.index_mask) {
    // Acquire: pairs with the release in set_word(); what it leads to is as it was then, or newer.
    const std::uint32_t word = table.index[at].load(std::memory_order_acquire);
    if (word == 0) return nullptr;
    BlobMapping& mapping = table.entries[word - 1];
    if (mapping.blob.load(std::memory_order_relaxed) != blob) continue;
    if (!add_view(mapping, blob)) return nullptr;
    const std::uint32_t now = clock_.load(std::memory_order_relaxed);
    if (mapping.used.load(std::memory_order_relaxed) != now) mapping.used.store(now, std::memory_order_relaxed);
    return &mapping;
  }
}

bool MappingCache::add_view(BlobMapping& mapping, std::uint64_t blob) {
  if ((mapping.views.fetch_add(1, std::memory_order_acquire) & BlobMapping::busy) == 0 &&
      mapping.blob.load(std::memory_order_relaxed) == blob) {
    return true;
  }
  // It became another's meanwhile. Should that one's last viewer have gone in this moment, it did not see itself as such.
  if (mapping.views.fetch_sub(1, std::memory_order_release) == 1) dropped_seen_.store(sweep_again, std::memory_order_relaxed);
  return false;
}

BlobMapping* MappingCache::find_surely(std::uint64_t blob) {
  if (BlobMapping* const mapping = find(blob)) return mapping;
  const std::lock_guard lock(mutex_);
  return table_owner_ == nullptr ? nullptr : find_in(*table_owner_, blob);
}

void MappingCache::release(BlobMapping* mapping, bool live) {
  if (process_ != Process::current()) return;
  const std::uint64_t blob = mapping->blob.load(std::memory_order_relaxed);
  const std::uint64_t bytes = mapping->memory.bytes();
  const bool in_table = mapping->in_table;
  const bool kept = mapping->kept;
  if (mapping->views.fetch_sub(1, std::memory_order_seq_cst) != 1) return;
  if (!in_table) {
    count_.fetch_sub(1, std::memory_order_relaxed);
    other_bytes_.fetch_sub(bytes, std::memory_order_relaxed);
    delete mapping;
    return;
  }
  const std::uint64_t bytes_max = bytes_max_.load(std::memory_order_seq_cst);
  if (live && kept && kept_bytes_.load(std::memory_order_relaxed) <= bytes_max) [[likely]] return;
  Mapping gone;
  const std::lock_guard lock(mutex_);
  if (mapping->blob.load(std::memory_order_relaxed) == blob) gone = take_if_unviewed(*mapping);
}

void MappingCache::release(BlobMapping* mapping) {
  if (process_ != Process::current()) return;
  bool live = false;
  {
    const std::lock_guard lock(mutex_);
    live = !detached_ && reader_.blob_live(mapping->blob.load(std::memory_order_relaxed));
  }
  release(mapping, live);
}

// ---- the table ------------------------------------------------------------------------------------------------------

BlobMapping* MappingCache::insert(std::uint64_t blob, Mapping memory) {
  std::vector<Mapping> gone;  // unmapped after the lock is released: that takes long for large ones
  const std::lock_guard lock(mutex_);
  if (table_owner_ != nullptr) {
    if (BlobMapping* const present = find_in(*table_owner_, blob)) {
      gone.push_back(std::move(memory));
      return present;
    }
  }
  const std::uint64_t bytes = memory.bytes();
  // One beyond the bound would drive all others out, and could not stay itself.
  const bool kept = bytes <= bytes_max_.load(std::memory_order_relaxed);
  BlobMapping* mapping = detached_ ? nullptr : room_for(bytes, kept, gone);
  count_.fetch_add(1, std::memory_order_relaxed);
  (mapping != nullptr && kept ? kept_bytes_ : other_bytes_).fetch_add(bytes, std::memory_order_relaxed);
  if (mapping == nullptr) {
    mapping = new BlobMapping;
    mapping->in_table = mapping->kept = false;
    mapping->blob.store(blob, std::memory_order_relaxed);
    mapping->memory = std::move(memory);
    mapping->views.store(1, std::memory_order_relaxed);
    return mapping;
  }
  mapping->memory = std::move(memory);
  mapping->kept = kept;
  mapping->used.store(clock_.fetch_add(1, std::memory_order_relaxed) + 1, std::memory_order_relaxed);
  mapping->blob.store(blob, std::memory_order_release);
  // Not a store: somebody who came too late may be about to go. Release: pairs with add_view().
  mapping->views.fetch_sub(BlobMapping::busy - 1, std::memory_order_release);
  index(*table_owner_, static_cast<std::uint32_t>(mapping - table_owner_->entries.get()));
  return mapping;
}

// Under the lock. A free entry, after the least recently used ones that nobody views have made room within the bounds;
// null when there is none.
BlobMapping* MappingCache::room_for(std::uint64_t bytes, bool kept, std::vector<Mapping>& gone) {
  if (count_max_ == 0) return nullptr;
  if (table_owner_ == nullptr) {
    table_owner_ = std::make_unique<Table>(count_max_);
    table_.store(table_owner_.get(), std::memory_order_release);  // pairs with find()
  }
  Table& table = *table_owner_;
  const auto too_much = [&] {
    return table.free.empty() || (kept && kept_bytes_.load(std::memory_order_relaxed) + bytes > bytes_max_.load(std::memory_order_relaxed));
  };
  if (too_much()) {
    // Ages, for the clock wraps. Each is read once: find() changes them meanwhile, and an order must stand to be sorted by.
    std::vector<std::pair<std::uint32_t, BlobMapping*>> by_age;
    const std::uint32_t now = clock_.load(std::memory_order_relaxed);
    for (std::uint32_t i = 0; i < table.entries_count; ++i) {
      BlobMapping& entry = table.entries[i];
      if (entry.views.load(std::memory_order_relaxed) == 0) by_age.emplace_back(now - entry.used.load(std::memory_order_relaxed), &entry);
    }
    std::sort(by_age.begin(), by_age.end(), [](const auto& a, const auto& b) { return a.first > b.first; });
    for (auto oldest = by_age.begin(); oldest != by_age.end() && too_much(); ++oldest) {
      gone.push_back(take_if_unviewed(*oldest->second));
    }
  }
  if (table.free.empty()) return nullptr;
  const std::uint32_t entry = table.free.back();
  table.free.pop_back();
  return &table.entries[entry];
}

// Under the lock. Frees the entry, unless somebody views it (or it is free); the caller unmaps.
Mapping MappingCache::take_if_unviewed(BlobMapping& mapping) {
  std::uint32_t none = 0;
  if (!mapping.views.compare_exchange_strong(none, BlobMapping::busy, std::memory_order_seq_cst, std::memory_order_relaxed)) {
    return {};
  }
  mapping.blob.store(0, std::memory_order_relaxed);
  count_.fetch_sub(1, std::memory_order_relaxed);
  bytes_of(mapping).fetch_sub(mapping.memory.bytes(), std::memory_order_relaxed);
  table_owner_->free.push_back(static_cast<std::uint32_t>(&mapping - table_owner_->entries.get()));
  return std::move(mapping.memory);
}

// Under the lock.
void MappingCache::index(Table& table, std::uint32_t entry) {
  if (table.words_used + 1 > (table.index_mask + 1) / 4 * 3) {
    // Who looks meanwhile misses what is there, and asks find_surely().
    for (std::uint64_t at = 0; at <= table.index_mask; ++at) table.index[at].store(0, std::memory_order_relaxed);
    table.words_used = 0;
    for (std::uint32_t i = 0; i < table.entries_count; ++i) {
      const std::uint64_t blob = table.entries[i].blob.load(std::memory_order_relaxed);
      if (blob != 0 && i != entry) set_word(table, blob, i);
    }
  }
  set_word(table, table.entries[entry].blob.load(std::memory_order_relaxed), entry);
}

void MappingCache::set_word(Table& table, std::uint64_t blob, std::uint32_t entry) {
  std::uint64_t at = spread(blob) & table.index_mask;
  while (table.index[at].load(std::memory_order_relaxed) != 0) {
    if (table.index[at].load(std::memory_order_relaxed) == entry + 1) return;  // from the last time it had this place
    at = (at + 1) & table.index_mask;
  }
  table.index[at].store(entry + 1, std::memory_order_release);
  ++table.words_used;
}

// ---- dropping -------------------------------------------------------------------------------------------------------

void MappingCache::sweep() {
  std::vector<Mapping> gone;
  const std::unique_lock lock(mutex_, std::try_to_lock);
  if (!lock.owns_lock() || detached_) return;  // another thread is at it, or will be
  // Before the look: what is dropped meanwhile is for the next time.
  dropped_seen_.store(reader_.blobs_dropped(), std::memory_order_relaxed);
  if (table_owner_ == nullptr) return;
  for (std::uint32_t i = 0; i < table_owner_->entries_count; ++i) {
    BlobMapping& mapping = table_owner_->entries[i];
    const std::uint64_t blob = mapping.blob.load(std::memory_order_relaxed);
    if (blob != 0 && !reader_.blob_live(blob)) gone.push_back(take_if_unviewed(mapping));
  }
}

void MappingCache::drop_unviewed() {
  std::vector<Mapping> gone;
  const std::lock_guard lock(mutex_);
  if (table_owner_ == nullptr) return;
  for (std::uint32_t i = 0; i < table_owner_->entries_count; ++i) {
    gone.push_back(take_if_unviewed(table_owner_->entries[i]));
  }
}

void MappingCache::keep_nothing() {
  bytes_max_.store(0, std::memory_order_seq_cst);
  drop_unviewed();
}

void MappingCache::detach() {
  {
    const std::lock_guard lock(mutex_);
    detached_ = true;
  }
  drop_unviewed();
}

}  // namespace onced::client_detail
