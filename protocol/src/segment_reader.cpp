#include <onced/protocol/segment_reader.hpp>

#include <algorithm>
#include <bit>
#include <cstring>
#include <string>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

namespace onced::protocol {

namespace {

Error malformed(std::string text) {
  return {ErrorCode::malformed, "segment: " + std::move(text)};
}

// Whether [offset, offset + count * unit) lies in [begin, end), aligned to a cache line, without overflow.
bool region_fits(std::uint64_t offset, std::uint64_t count, std::uint64_t unit, std::uint64_t begin,
                 std::uint64_t end) {
  return offset % 64 == 0 && offset >= begin && offset <= end && count <= (end - offset) / unit;
}

// Bit i is set when slot i carries the tag. Without a branch per slot: where the match stands is not predictable.
// Nothing is read through these words: the load that counts is the second one, in probe(). Acquire all the same, which x86 loads are
// by themselves: a word that is gone because it moved is followed by a look at buckets_used, in lookup().
#if defined(__SSE2__) && !defined(__SANITIZE_THREAD__)
// Four loads of two slots each in place of eight. The processor reads an aligned slot in one piece either way, and a
// torn one would fail the second load. (ThreadSanitizer would take them for plain loads, and sees the loop below.)
unsigned slots_with_tag(const Bucket& bucket, std::uint64_t tag_bits) {
  const auto* const pairs = reinterpret_cast<const __m128i*>(bucket.slots);
  const __m128i tag = _mm_set1_epi32(static_cast<int>(tag_bits >> 48));
  const auto matches_of_four = [&](int first_pair) {
    // The upper halves of four slots, then the tags alone.
    const __m128 low = _mm_castsi128_ps(_mm_load_si128(pairs + first_pair));
    const __m128 high = _mm_castsi128_ps(_mm_load_si128(pairs + first_pair + 1));
    const __m128i upper = _mm_castps_si128(_mm_shuffle_ps(low, high, _MM_SHUFFLE(3, 1, 3, 1)));
    const __m128i equal = _mm_cmpeq_epi32(_mm_srli_epi32(upper, 16), tag);
    return static_cast<unsigned>(_mm_movemask_ps(_mm_castsi128_ps(equal)));
  };
  return matches_of_four(0) | matches_of_four(2) << 4;
}
#else
unsigned slots_with_tag(const Bucket& bucket, std::uint64_t tag_bits) {
  unsigned matches = 0;
#pragma GCC unroll 8
  for (unsigned i = 0; i < slots_per_bucket; ++i) {
    const std::uint64_t word = bucket.slots[i].load(std::memory_order_acquire);
    matches |= static_cast<unsigned>((word ^ tag_bits) <= slot_offset_mask) << i;
  }
  return matches;
}
#endif

// What is in a LookupResult beside its record (SegmentReader::Packed).
constexpr std::uint64_t fields_of(std::uint64_t pin, LookupOutcome outcome, Freshness freshness, bool refreshing, bool copy_only) {
  static_assert(std::endian::native == std::endian::little);
  static_assert(offsetof(LookupResult, pin) == 8 && offsetof(LookupResult, outcome) == 12 &&
                offsetof(LookupResult, freshness) == 13 && offsetof(LookupResult, refreshing) == 14 &&
                offsetof(LookupResult, copy_only) == 15);
  return pin | static_cast<std::uint64_t>(outcome) << 32 | static_cast<std::uint64_t>(freshness) << 40 |
         static_cast<std::uint64_t>(refreshing) << 48 | static_cast<std::uint64_t>(copy_only) << 56;
}
// Whether a key in a pinned record is this one. In place and not by memcmp(): around a call all that is in registers must be saved.
#if defined(__SSE2__)
bool same_key(const std::byte* recorded, std::string_view key) {
  constexpr std::size_t step = sizeof(__m128i);
  if (key.size() < step) return std::memcmp(recorded, key.data(), key.size()) == 0;
  const auto differ = [&](std::size_t at) {
    const __m128i ours = _mm_loadu_si128(reinterpret_cast<const __m128i*>(key.data() + at));
    return _mm_xor_si128(_mm_loadu_si128(reinterpret_cast<const __m128i*>(recorded + at)), ours);
  };
  __m128i difference = differ(key.size() - step);  // may overlap the last whole step
  for (std::size_t at = 0; at + step < key.size(); at += step) difference = _mm_or_si128(difference, differ(at));
  return _mm_movemask_epi8(_mm_cmpeq_epi8(difference, _mm_setzero_si128())) == 0xffff;
}
#else
bool same_key(const std::byte* recorded, std::string_view key) { return std::memcmp(recorded, key.data(), key.size()) == 0; }
#endif

// Returns pins_per_line when all are taken.
std::size_t claim_pin(PinLine& line, std::uint64_t offset, LineUse use) {
  for (std::size_t i = 0; i < pins_per_line; ++i) {
    std::atomic<std::uint64_t>& pin = line.pins[i];
    if (use == LineUse::exclusive_fenced) {
      // Nobody else makes a free pin of this line a taken one. Acquire and release: pair with release_pin() and with the
      // pin scan, which finds our offset in place of that 0: what the pin's last owner read is over all the same.
      if (pin.load(std::memory_order_acquire) != 0) continue;
      pin.store(offset, std::memory_order_release);
      // For the compiler: the second slot load stays behind. For the processor the daemon's barrier does it, which stands
      // between the writer's slot store and the pin scan (Reclaimer::scan).
      std::atomic_signal_fence(std::memory_order_seq_cst);
      return i;
    }
    std::uint64_t free = 0;
    // Seq_cst: stands before the second slot load in the one order of all seq_cst operations; pairs with the pin scan
    // that follows the writer's slot store (PinTable::for_each_pin). Acquire: what the pin's last owner did is over.
    if (pin.load(std::memory_order_relaxed) == 0 &&
        pin.compare_exchange_strong(free, offset, std::memory_order_seq_cst, std::memory_order_relaxed)) {
      return i;
    }
  }
  return pins_per_line;
}

// All relaxed: the daemon adds these up whenever it likes and takes them for a claim, nothing is ordered by them.
void count_hit(PinPage& page, std::uint32_t line, LineUse use, std::uint64_t word, const RecordHeader& record) {
  const std::size_t function =
      record.function_number < counter_functions - 1 ? record.function_number : counter_functions - 1;
  HitCounter& counter = page.counters[line][function];
  if (use != LineUse::shared) {
    counter.hits.store(counter.hits.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
    counter.saved_us.store(counter.saved_us.load(std::memory_order_relaxed) + record.cost_us,
                           std::memory_order_relaxed);
  } else {
    counter.hits.fetch_add(1, std::memory_order_relaxed);
    counter.saved_us.fetch_add(record.cost_us, std::memory_order_relaxed);
  }
  std::atomic<std::uint64_t>& recent = page.hit_table[(word >> 6) % hit_table_entries];
  if (recent.load(std::memory_order_relaxed) != word) recent.store(word, std::memory_order_relaxed);
}

}  // namespace

Result<SegmentReader> SegmentReader::open(std::span<const std::byte> segment) {
  if (segment.size() < sizeof(SegmentHeader)) {
    return malformed(std::to_string(segment.size()) + " bytes, its header alone has " +
                     std::to_string(sizeof(SegmentHeader)));
  }
  if (reinterpret_cast<std::uintptr_t>(segment.data()) % alignof(SegmentHeader) != 0) {
    return malformed("not aligned to a cache line");
  }
  const auto* header = reinterpret_cast<const SegmentHeader*>(segment.data());
  if (header->magic != segment_magic) return malformed("no magic number at its start");
  if (header->layout_version != segment_layout_version) {
    return Error{ErrorCode::version_mismatch, "segment: layout version " + std::to_string(header->layout_version) +
                                                  ", this library reads " + std::to_string(segment_layout_version)};
  }
  if (header->header_bytes != sizeof(SegmentHeader)) {
    return malformed("header of " + std::to_string(header->header_bytes) + " bytes instead of " +
                     std::to_string(sizeof(SegmentHeader)));
  }
  if (header->segment_bytes != segment.size()) {
    return malformed("says " + std::to_string(header->segment_bytes) + " bytes, is " + std::to_string(segment.size()));
  }
  const std::uint64_t end = header->segment_bytes;
  if (!std::has_single_bit(header->sessions_count) || header->sessions_count > session_marks ||
      !region_fits(header->sessions_offset, header->sessions_count, sizeof(SessionEntry), sizeof(SegmentHeader), end)) {
    return malformed("its session table does not fit");
  }
  const std::uint64_t sessions_end = header->sessions_offset + header->sessions_count * sizeof(SessionEntry);
  if (!std::has_single_bit(header->bucket_count) || header->bucket_count < 2 ||
      !region_fits(header->index_offset, header->bucket_count, sizeof(Bucket), sessions_end, end)) {
    return malformed("its index does not fit");
  }
  const std::uint64_t index_end = header->index_offset + header->bucket_count * sizeof(Bucket);
  if (!std::has_single_bit(header->blobs_count) ||
      !region_fits(header->blobs_offset, header->blobs_count, sizeof(BlobEntry), index_end, end)) {
    return malformed("its blob table does not fit");
  }
  const std::uint64_t blobs_end = header->blobs_offset + header->blobs_count * sizeof(BlobEntry);
  if (!region_fits(header->arena_offset, header->arena_bytes, 1, blobs_end, end) || end > slot_offset_mask) {
    return malformed("its arena does not fit");
  }

  SegmentReader reader;
  reader.base_ = segment.data();
  reader.header_ = header;
  reader.buckets_ = reinterpret_cast<const Bucket*>(segment.data() + header->index_offset);
  reader.sessions_ = reinterpret_cast<const SessionEntry*>(segment.data() + header->sessions_offset);
  reader.blobs_ = reinterpret_cast<const BlobEntry*>(segment.data() + header->blobs_offset);
  reader.bucket_count_ = header->bucket_count;
  reader.blob_mask_ = header->blobs_count - 1;
  reader.session_mask_ = header->sessions_count - 1;
  reader.seed_ = header->hash_seed;
  reader.arena_begin_ = header->arena_offset;
  reader.arena_end_ = header->arena_offset + header->arena_bytes;
  return reader;
}


// Acquire: pairs with the release in BlobTable::clear(); the entries that were cleared before are seen cleared.
std::uint64_t SegmentReader::blobs_dropped() const {
  return header_->blobs_dropped.load(std::memory_order_acquire);
}

// Relaxed: a hint to give memory back, nothing is read through it.
bool SegmentReader::blob_live(std::uint64_t blob) const {
  return blobs_[blob & blob_mask_].id.load(std::memory_order_relaxed) == blob;
}

std::uint64_t SegmentReader::epoch() const {
  return header_->epoch;
}

// Acquire: pairs with IndexWriter::split(); the words that belong to the newest bucket are in it.
inline std::uint64_t SegmentReader::buckets_used() const {
  return std::clamp<std::uint64_t>(header_->buckets_used.load(std::memory_order_acquire), 2, bucket_count_);
}

// How a look-up asks whether its session is still good: not at all, or by the session table. Types and not a flag: a look-up
// without a session is what it was.
struct SegmentReader::NoSession {
  bool good() const { return true; }
  void mark_used(PinPage&) const {}
};
struct SegmentReader::InSession {
  const std::atomic<std::uint64_t>& entry;
  std::uint64_t generation;
  std::uint64_t place;

  // Relaxed: it stands behind the slot load that found the record (acquire). Pairs with SegmentStore::set_session(), which stands
  // before the slot store of whatever is published under a later generation.
  bool good() const { return entry.load(std::memory_order_relaxed) == generation; }
  // Relaxed: nothing is ordered by it. Most hits find the mark set, and store nothing.
  void mark_used(PinPage& page) const {
    std::atomic<std::uint64_t>& marks = page.session_uses[place / 64];
    const std::uint64_t mark = std::uint64_t{1} << (place % 64);
    if ((marks.load(std::memory_order_relaxed) & mark) == 0) marks.fetch_or(mark, std::memory_order_relaxed);
  }
};

bool SegmentReader::good(const SessionGrant& session) const {
  return sessions_[session.number & session_mask_].generation.load(std::memory_order_acquire) == session.generation;
}

SegmentReader::Packed SegmentReader::find(std::string_view key, KeyHash hash, PinPage& page, std::uint32_t line,
                                          LineUse use) const {
  return look(key, hash, page, line, use, NoSession{});
}

LookupResult SegmentReader::lookup_in_session(std::string_view key, KeyHash hash, PinPage& page, std::uint32_t line, LineUse use,
                                              const SessionGrant& session) const {
  const std::uint64_t place = session.number & session_mask_;
  return std::bit_cast<LookupResult>(look(key, hash, page, line, use, InSession{sessions_[place].generation, session.generation, place}));
}

template <typename Session>
inline SegmentReader::Packed SegmentReader::look(std::string_view key, KeyHash hash, PinPage& page, std::uint32_t line, LineUse use,
                                                 Session session) const {
  const auto without_value = [](LookupOutcome outcome) {
    return Packed{nullptr, fields_of(0, outcome, Freshness::fresh, false, false)};
  };
  ONCED_ASSERT(line < client_pin_lines);
  if (!alive()) return without_value(LookupOutcome::dead);
  const std::uint64_t tag_bits = make_slot(tag_of(hash), 0);

  for (int attempt = 0; attempt < lookup_retries_max; ++attempt) {
    const std::uint64_t used = buckets_used();
    const Bucket* const first = &buckets_[first_bucket(hash, used)];
    const Bucket* const second = &buckets_[second_bucket(hash, used)];
    __builtin_prefetch(second);
    bool changed = false;
    for (const Bucket* bucket = first;; bucket = second) {
      for (unsigned matches = slots_with_tag(*bucket, tag_bits); matches != 0; matches &= matches - 1) {
        const std::atomic<std::uint64_t>& slot = bucket->slots[std::countr_zero(matches)];
        // Acquire, like slots_with_tag(): it may be gone by now because it moved.
        const std::uint64_t word = slot.load(std::memory_order_acquire);
        const auto* const record = reinterpret_cast<const RecordHeader*>(base_ + (word & slot_offset_mask));
        std::uint64_t fields = 0;
        switch (probe(slot, word, key, page, line, use, session, fields)) {
          case Probe::hit:
            session.mark_used(page);
            count_hit(page, line, use, word, *record);
            return {record, fields};
          case Probe::other:
            break;
          case Probe::changed:
            changed = true;
            break;
          case Probe::expired:
            return without_value(LookupOutcome::miss);  // a key has one slot: no need to look further
          case Probe::no_pin:
            return without_value(LookupOutcome::no_pin);
          case Probe::ended:
            return without_value(LookupOutcome::ended);
        }
      }
      if (bucket == second) break;
    }
    // After the slots: who has seen a slot cleared, whose word has moved to a new bucket, sees the new number of them too.
    std::atomic_signal_fence(std::memory_order_acquire);
    if (!changed && buckets_used() == used) return without_value(LookupOutcome::miss);
  }
  return without_value(LookupOutcome::unstable);
}

// Of a record that is not simply fresh: how it can be used; nothing when it cannot.
std::optional<SegmentReader::Life> SegmentReader::life_of(const RecordHeader& record) const {
  const std::uint64_t fresh_until = fresh_until_ms(record);
  const std::uint64_t grace = live_field(record.grace_ms).load(std::memory_order_relaxed);
  const bool refreshing = live_field(record.refreshing).load(std::memory_order_relaxed) != 0;
  const std::uint64_t now = time_ms();
  if (now < fresh_until) return Life{Freshness::early, refreshing};
  if (now - fresh_until < grace) return Life{Freshness::stale, refreshing};
  return std::nullopt;
}

// One slot whose word carried the right tag: pin, look again, compare. Leaves a pin set only for a hit.
template <typename Session>
inline SegmentReader::Probe SegmentReader::probe(const std::atomic<std::uint64_t>& slot, std::uint64_t word,
                                          std::string_view key, PinPage& page, std::uint32_t line,
                                          LineUse use, Session session, std::uint64_t& fields) const {
  const std::uint64_t offset = word & slot_offset_mask;
  if (!plausible(offset)) return Probe::other;  // a free slot, for tag 0
  const std::byte* const at = base_ + offset;
  // Header, key and a small value, while the pin is being claimed. A prefetch reads nothing.
  for (std::size_t ahead = 0; ahead < 3; ++ahead) __builtin_prefetch(at + ahead * 64);

  const std::size_t pin = claim_pin(page.client_lines[line], offset, use);
  if (pin == pins_per_line) return Probe::no_pin;
  const std::uint32_t pin_number = static_cast<std::uint32_t>(line * pins_per_line + pin);
  // Seq_cst, after the pin: pairs with the writer's slot store, or with the barrier that follows it. Acquire: the
  // record's bytes were written before it.
  if (slot.load(std::memory_order_seq_cst) != word) {
    release_pin(page, pin_number);
    return Probe::changed;
  }

  // From here to the pin's release the record does not change: plain reads.
  const auto* const record = reinterpret_cast<const RecordHeader*>(at);
  const std::size_t room = arena_end_ - offset - sizeof(RecordHeader);
  if (record->key_bytes != key.size() || key.size() > room ||
      !same_key(at + sizeof(RecordHeader), key)) {
    release_pin(page, pin_number);
    return Probe::other;
  }
  if (!session.good()) {
    release_pin(page, pin_number);
    return Probe::ended;
  }
  fields = fields_of(pin_number, LookupOutcome::hit, Freshness::fresh, false, pin == copying_pin);
  // Not fresh_until_ms - early_ms, which would wrap.
  if (time_ms() + record->early_ms >= fresh_until_ms(*record)) [[unlikely]] {
    const auto other = life_of(*record);
    if (!other) {
      release_pin(page, pin_number);
      return Probe::expired;
    }
    fields = fields_of(pin_number, LookupOutcome::hit, other->freshness, other->refreshing, pin == copying_pin);
  }
  return Probe::hit;
}

const RecordHeader* SegmentReader::record_at(std::uint64_t offset, std::string_view key) const {
  if (!plausible(offset)) return nullptr;
  const auto* const record = reinterpret_cast<const RecordHeader*>(base_ + offset);
  const std::size_t room = arena_end_ - offset - sizeof(RecordHeader);
  if (record->key_bytes != key.size() || key.size() > room || key_of(record) != key) return nullptr;
  return record;
}

std::uint32_t SegmentReader::fresh_left_ms(const RecordHeader* record) const {
  const std::uint64_t until = fresh_until_ms(*record);
  const std::uint64_t now = time_ms();
  return until > now ? static_cast<std::uint32_t>(std::min<std::uint64_t>(until - now, 0xffff'ffff)) : 0;
}

std::string_view SegmentReader::key_of(const RecordHeader* record) const {
  return {reinterpret_cast<const char*>(record) + sizeof(RecordHeader), record->key_bytes};
}

std::optional<SegmentReader::PartView> SegmentReader::part(const RecordHeader* record, std::size_t number) const {
  const std::uint64_t record_bytes = record->record_bytes;
  const std::uint64_t at = record->parts_offset;
  const auto* const start = reinterpret_cast<const std::byte*>(record);
  if (number >= record->part_count || record_bytes > arena_end_ - offset_of(record)) return std::nullopt;
  if (record->flags == record_plain) [[likely]] {
    PartView view;
    if (number != 0 || !plain_part(record, view.bytes, view.content_type)) return std::nullopt;
    view.length = view.bytes.size();
    return view;
  }
  if (at % alignof(PartEntry) != 0 || at < sizeof(RecordHeader) ||
      at + (number + 1) * sizeof(PartEntry) > record_bytes) {
    return std::nullopt;
  }
  const auto* const entry = reinterpret_cast<const PartEntry*>(start + at) + number;
  const std::uint64_t names_end = std::uint64_t{entry->name_offset} + entry->name_bytes + entry->content_type_bytes;
  if (names_end > record_bytes) return std::nullopt;
  const auto* const name = reinterpret_cast<const char*>(start) + entry->name_offset;
  PartView view{{name, entry->name_bytes}, {name + entry->name_bytes, entry->content_type_bytes}, {}, entry->blob, 0,
                entry->bytes};
  if (entry->blob != 0) {
    view.offset = entry->bytes_offset;
    return view;
  }
  if (entry->bytes_offset > record_bytes || entry->bytes > record_bytes - entry->bytes_offset) return std::nullopt;
  view.bytes = {start + entry->bytes_offset, static_cast<std::size_t>(entry->bytes)};
  return view;
}

std::optional<std::size_t> SegmentReader::find_part(const RecordHeader* record, std::string_view name) const {
  for (std::size_t number = 0; number < record->part_count; ++number) {
    const auto view = part(record, number);
    if (!view) return std::nullopt;
    if (view->name == name) return number;
  }
  return std::nullopt;
}

}  // namespace onced::protocol
