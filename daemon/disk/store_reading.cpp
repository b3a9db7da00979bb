// Store: loading, verifying, and what is done about damage.
#include <algorithm>
#include <array>
#include <chrono>
#include <thread>
#include <utility>

#include "disk/sealed_value.hpp"
#include "disk/store.hpp"

namespace onced::disk {
namespace {

constexpr int tries_max = 8;  // a value may be moved or replaced while it is read
constexpr std::uint64_t progress_bytes = 4 << 20;
// Of the index at a time, and then a pause: a mutex is not fair, and who has waited for it must wake up before it is taken again.
constexpr std::size_t verify_piece = 512;
constexpr std::chrono::microseconds verify_pause{100};

}  // namespace

bool Store::may_have(std::string_view key) const {
  const std::optional<Digest> digest = place_of(key);
  if (!digest) return false;
  const std::lock_guard lock(mutex_);
  return index_.find(*digest) != nullptr;
}

void Store::set_merit(std::string_view key, float merit) {
  const std::optional<Digest> digest = place_of(key);
  if (!digest) return;
  const std::lock_guard lock(mutex_);
  index_.set_merit(*digest, merit);
}

bool Store::same(const Digest& digest, const IndexEntry& entry) const {
  const std::lock_guard lock(mutex_);
  const IndexEntry* const present = index_.find(digest);
  return present != nullptr && present->sequence == entry.sequence;
}

Result<Store::Found> Store::read_record(const Digest& digest, const IndexEntry& entry, Read& read) const {
  const std::shared_ptr<Segment> segment = log_.find(entry.segment);
  if (!segment) return Found::gone;
  read.record.resize(entry.length);
  const auto n = segment->file->read(read.record, entry.offset);
  if (!n) return n.error();
  const std::uint64_t seed = segment_seed(seed_, entry.segment);
  const auto header = record_header_at(read.record, 0, seed);
  if (*n != entry.length || !header || header->kind != (entry.is_sealed ? RecordKind::sealed : RecordKind::value) || header->digest != digest ||
      header->sequence != entry.sequence || header->length != entry.length || !is_whole(*header, read.record, seed)) {
    return Found::damaged;
  }
  Bytes readable = Bytes(read.record).subspan(sizeof(RecordHeader), read.record.size() - bare_record_bytes);
  read.key.reset();
  if (entry.is_sealed) {
    const std::optional<SessionKey> of_session = sessions_.key_of(digest.high);
    if (!of_session) return Found::gone;
    const std::optional<SealedHead> head = sealed_head(readable);
    if (!head) return Found::damaged;
    read.key = record_key(*of_session, head->salt);
    auto opened = open_body(readable, *head, *read.key);
    if (!opened) return Found::damaged;
    read.opened = std::move(*opened);
    readable = read.opened;
  }
  auto body = decode_body(readable);
  if (!body) return Found::damaged;
  read.body = std::move(*body);
  return Found::whole;
}

void Store::found_damaged(const Digest& digest, const IndexEntry& entry, std::string_view key, const std::string& what) {
  if (!erase_if_same(digest, entry)) return;
  if (const auto segment = log_.find(entry.segment)) segment->damaged.store(true, std::memory_order_relaxed);
  {
    const std::lock_guard lock(mutex_);
    ++damaged_;
  }
  const std::string value = entry.is_sealed ? "a value of a session on disk"
                            : key.empty()   ? "a value on disk, it is not known of which key,"
                                            : "the value of " + options_.name_of(key) + " on disk";
  options_.say(value + " is damaged, and is gone: " + what);
}

// A part's file itself to the sink, once this process knows that its bytes are right. False: it has none to hand over.
Result<bool> Store::hand_over(std::uint64_t id, std::uint32_t number, std::size_t part, const PartView& view, bool checked, PartSink& sink) const {
  auto file = parts_.open(id, number, view.bytes);
  if (!file) return file.error();
  if (!checked) {
    if (const auto whole = parts_.check(**file, id, number, view.bytes, view.content_check); !whole) return whole.error();
  }
  const int descriptor = (*file)->release_descriptor();
  if (descriptor >= 0) sink.take_file(part, view.bytes, descriptor);
  return descriptor >= 0;
}

std::optional<std::uint64_t> Store::find_entry(const Digest& digest, std::uint64_t now_ms, Read& read) const {
  const std::lock_guard lock(mutex_);
  const IndexEntry* const present = index_.find(digest);
  if (present == nullptr || present->usable_until_ms <= now_ms) return std::nullopt;
  read.entry = *present;
  const PartFiles* const files = index_.files(digest);
  read.checked = files != nullptr && files->checked;
  return files == nullptr ? 0 : files->bytes;
}

Result<bool> Store::find_record(std::string_view key, const Digest& digest, std::uint64_t now_ms, Read& read) {
  for (int tries = 0; tries < tries_max; ++tries) {
    if (!find_entry(digest, now_ms, read)) return false;
    const auto found = read_record(digest, read.entry, read);
    if (!found) return found.error();
    if (*found != Found::whole) {
      if (!same(digest, read.entry)) continue;
      if (*found == Found::damaged) found_damaged(digest, read.entry, key, "its record in the log");
      else erase_if_same(digest, read.entry);
      return false;
    }
    if (read.body.key != key) return false;  // another key of the same digest took its place
    if (!is_void(read.body.labels, read.entry.sequence)) return true;
    erase_if_same(digest, read.entry);
    return false;
  }
  return false;
}

Result<std::optional<Store::Summary>> Store::look(std::string_view key, std::uint64_t now_ms) {
  const std::optional<Digest> place = place_of(key);
  if (!place) return std::optional<Summary>();
  Read read;
  for (int tries = 0; tries < tries_max; ++tries) {
    const auto found = find_record(key, *place, now_ms, read);
    if (!found) return found.error();
    if (!*found) break;
    // A fence that voids it may have gone with its segment, and then the record has as well.
    if (same(*place, read.entry)) return std::optional(Summary{read.body.facts, std::string(read.body.attributes)});
  }
  return std::optional<Summary>();
}

Result<std::optional<Store::Loaded>> Store::load(std::string_view key, std::uint64_t now_ms, PartSink* sink, const Accept& accept) {
  const std::optional<Digest> place = place_of(key);
  if (!place) return std::optional<Loaded>();
  const Digest digest = *place;
  Read read;
  for (int tries = 0; tries < tries_max; ++tries) {
    const auto found = find_record(key, digest, now_ms, read);
    if (!found) return found.error();
    if (!*found) return std::optional<Loaded>();
    if (accept) {
      const auto accepted = accept(read.body.facts, read.body.attributes);
      if (!accepted) return accepted.error();
      if (!*accepted) return std::optional<Loaded>();  // it stays: who drops it must leave a tombstone, for a crash may bring back what it names
    }
    Loaded loaded{read.body.facts, read.body.labels, std::string(read.body.attributes), {}};
    std::optional<std::string> damage;
    std::uint32_t files = 0;
    for (std::size_t i = 0; i < read.body.parts.size() && !damage; ++i) {
      const PartView& view = read.body.parts[i];
      LoadedPart& part = loaded.parts.emplace_back(LoadedPart{std::string(view.name), std::string(view.type), view.bytes, view.in_file && sink != nullptr, {}});
      auto wrong = read_part(digest, read, i, files, sink, part);
      if (!wrong) return wrong.error();
      damage = std::move(*wrong);
      files += view.in_file ? 1U : 0U;
    }
    if (!same(digest, read.entry)) continue;
    if (damage) {
      found_damaged(digest, read.entry, key, *damage);
      return std::optional<Loaded>();
    }
    if (files != 0 && !read.checked) {
      const std::lock_guard lock(mutex_);
      index_.set_checked(digest, read.body.file_id);
    }
    return std::optional<Loaded>(std::move(loaded));
  }
  return std::optional<Loaded>();
}

// A part of a record that was read, to where it is wanted: what is wrong with its bytes, if anything is. `file`: the number of its file, if it has one.
Result<std::optional<std::string>> Store::read_part(const Digest& digest, const Read& read, std::size_t number, std::uint32_t file, PartSink* sink, LoadedPart& part) {
  const PartView& view = read.body.parts[number];
  if (!part.in_sink) part.bytes.resize(static_cast<std::size_t>(view.bytes));
  MemorySink own(std::as_writable_bytes(std::span(part.bytes)));
  const auto filled = !view.in_file  ? unpack(view, own.room(part.bytes.size()))
                      : part.in_sink ? fill_sink(read, number, file, *sink)
                                     : parts_.read(read.body.file_id, file, view.bytes, own, view.content_check, read.part_key());
  if (filled) return std::optional<std::string>();
  const ErrorCode code = filled.error().code;
  if (view.in_file && code != ErrorCode::malformed && code != ErrorCode::not_found) return filled.error();
  if (view.in_file && code == ErrorCode::malformed && same(digest, read.entry)) {
    const bool keep = aside_.has_room_for_damaged(view.bytes);
    parts_.set_aside(read.body.file_id, file, keep);
    if (keep) aside_.count_damaged(view.bytes);
  }
  return std::optional(filled.error().text);
}

Result<void> Store::fill_sink(const Read& read, std::size_t number, std::uint32_t file, PartSink& sink) const {
  const PartView& view = read.body.parts[number];
  if (sink.takes_files() && read.part_key() == nullptr) {  // a sealed one cannot be mapped
    const auto handed = hand_over(read.body.file_id, file, number, view, read.checked, sink);
    if (!handed) return handed.error();
    if (*handed) return {};
  }
  if (!sink.begin(number, view.bytes)) return Error{ErrorCode::out_of_memory, "no memory for a part of " + std::to_string(view.bytes) + " bytes"};
  return parts_.read(read.body.file_id, file, view.bytes, sink, view.content_check, read.part_key());
}

// In pieces, each under the lock for some tens of microseconds: loads and writes of others go between them.
std::optional<std::vector<Store::ToVerify>> Store::all_to_verify(std::uint64_t now_ms, const std::function<bool(std::uint64_t, std::uint64_t)>& progress) const {
  std::vector<ToVerify> all;
  std::vector<ToVerify> piece;
  std::uint64_t bytes = 0;
  KeyIndex::Walk walk;
  for (KeyIndex::Walked walked = KeyIndex::Walked::some; walked != KeyIndex::Walked::all;) {
    piece.clear();
    {
      const std::lock_guard lock(mutex_);
      walked = index_.walk(walk, verify_piece, [&](const Digest& digest, const IndexEntry& entry) {
        if (entry.usable_until_ms <= now_ms) return;
        const PartFiles* const files = entry.has_files ? index_.files(digest) : nullptr;
        piece.push_back({digest, entry.segment, entry.offset, entry.length + (files == nullptr ? 0 : files->bytes)});
      });
    }
    if (walked == KeyIndex::Walked::again) {
      all.clear();
      bytes = 0;
    }
    for (const ToVerify& each : piece) bytes += each.bytes;
    all.insert(all.end(), piece.begin(), piece.end());
    if (!progress(0, bytes)) return std::nullopt;
    std::this_thread::sleep_for(verify_pause);
  }
  std::sort(all.begin(), all.end(), [](const ToVerify& a, const ToVerify& b) { return std::pair(a.segment, a.offset) < std::pair(b.segment, b.offset); });
  return all;
}

// By what the index says of it now.
Result<void> Store::verify(const Digest& digest, std::uint64_t now_ms, Read& read, Verified& verified) {
  Nowhere nowhere;
  for (int tries = 0; tries < tries_max; ++tries) {
    const std::optional<std::uint64_t> file_bytes = find_entry(digest, now_ms, read);
    if (!file_bytes) return {};
    const auto found = read_record(digest, read.entry, read);
    if (!found) return found.error();
    std::optional<std::string> damage;
    if (*found == Found::damaged) damage = "its record in the log";
    if (*found == Found::whole) {
      if (is_void(read.body.labels, read.entry.sequence)) {
        erase_if_same(digest, read.entry);
        return {};
      }
      std::uint32_t file_number = 0;
      for (const PartView& part : read.body.parts) {
        if (!part.in_file) continue;
        const auto filled = parts_.read(read.body.file_id, file_number++, part.bytes, nowhere, part.content_check, read.part_key());
        if (filled) continue;
        if (filled.error().code == ErrorCode::unavailable) return filled.error();
        damage = filled.error().text;
      }
    }
    if (!same(digest, read.entry)) continue;  // moved or replaced while it was read
    if (*found == Found::gone) return {};     // with its session, which is just being ended
    ++verified.values;
    verified.bytes += read.entry.length + *file_bytes;
    if (!damage) return {};
    ++verified.damaged;
    found_damaged(digest, read.entry, *found == Found::whole ? read.body.key : std::string_view(), *damage);
    return {};
  }
  return {};
}

Result<Store::Verified> Store::verify(std::uint64_t now_ms, const std::function<bool(std::uint64_t, std::uint64_t)>& progress) {
  Verified verified;
  const auto all = all_to_verify(now_ms, progress);
  if (!all) {
    verified.stopped = true;
    return verified;
  }
  std::uint64_t total = 0;
  for (const ToVerify& each : *all) total += each.bytes;
  std::uint64_t looked_at = 0;
  std::uint64_t told = 0;
  Read read;
  for (const ToVerify& each : *all) {
    if (const auto done = verify(each.digest, now_ms, read, verified); !done) return done.error();
    looked_at += each.bytes;
    if (looked_at - told < progress_bytes) continue;
    told = looked_at;
    if (!progress(looked_at, total)) {
      verified.stopped = true;
      return verified;
    }
  }
  progress(total, total);
  return verified;
}

}  // namespace onced::disk
