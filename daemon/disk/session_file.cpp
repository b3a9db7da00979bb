#include "disk/session_file.hpp"

#include <algorithm>
#include <cstring>
#include <utility>

namespace onced::disk {
namespace {

constexpr std::uint64_t session_file_bytes_max = std::uint64_t{1} << 30;
constexpr std::uint64_t numbers_per_second = 65'536;         // when nobody knows any more which were given
constexpr std::uint64_t year_2020_ms = 1'577'836'800'000;

SessionFacts facts_of(const SessionSlot& slot) {
  return {.number = slot.number, .generation = slot.generation, .digest = slot.digest, .made_ms = slot.made_ms, .used_ms = slot.used_ms,
          .idle_ms = slot.idle_ms, .ends_ms = slot.ends_ms};
}

bool is_zero(Bytes bytes) {
  return std::all_of(bytes.begin(), bytes.end(), [](std::byte byte) { return byte == std::byte{0}; });
}

// Pages with keys, which are wiped however the caller leaves.
struct Pages {
  std::vector<std::byte> bytes;
  explicit Pages(std::vector<std::byte> from) : bytes(std::move(from)) {}
  ~Pages() { wipe(bytes); }
  Pages(const Pages&) = delete;
  Pages& operator=(const Pages&) = delete;

  void resize(std::size_t size) {
    std::vector<std::byte> other(size);
    std::copy_n(bytes.begin(), std::min(size, bytes.size()), other.begin());
    wipe(bytes);
    bytes = std::move(other);
  }
};

}  // namespace

// ---- reading --------------------------------------------------------------------------------------------------------

Result<std::uint64_t> SessionFile::open() {
  if (const auto opened = open_file(); !opened) return opened.error();
  if (!file_) return std::uint64_t{0};
  auto read = read_whole(*file_, session_file_bytes_max);
  if (!read) return read.error();
  Pages pages(std::move(*read));
  const std::size_t size = pages.bytes.size();
  to_repair_ = size == 0 || size % pair_bytes != 0;  // its making or growing was cut off
  pairs_ = std::max<std::uint64_t>(1, (size + pair_bytes - 1) / pair_bytes);
  if (size != pairs_ * pair_bytes) pages.resize(pairs_ * pair_bytes);
  const Bytes bytes = pages.bytes;

  const std::array<std::optional<SessionsHeader>, 2> headers{sessions_header_at(bytes, header_place, seed_), sessions_header_at(bytes, header_place + page_bytes, seed_)};
  for (const auto& one : headers) {
    if (!one) continue;
    numbers_below_ = std::max(numbers_below_, one->numbers_below);
    sequence_ = std::max(sequence_, one->sequence);
  }
  for (unsigned copy = 0; copy < 2; ++copy) header_.sequences[copy] = headers[copy] ? headers[copy]->sequence : 0;
  to_repair_ = to_repair_ || !headers[0] || !headers[1];

  std::uint64_t newest_ms = 0;
  std::size_t lost = 0;
  for (std::size_t slot = 0; slot < (pairs_ - 1) * slots_per_pair; ++slot) {
    std::optional<SessionSlot> best;
    bool empty = true;
    bool damaged = false;
    std::array<std::uint64_t, 2> sequences{};
    std::array<std::uint64_t, 2> generations{};
    for (unsigned copy = 0; copy < 2; ++copy) {
      const std::size_t at = place_of(slot) + copy * page_bytes;
      auto found = session_slot_at(bytes, at, slot_seed(slot));
      const bool zeros = is_zero(bytes.subspan(at, sizeof(SessionSlot)));
      empty = empty && zeros;
      damaged = damaged || !found;
      sequences[copy] = found ? found->sequence : 0;
      generations[copy] = found ? found->generation : 0;
      if (found && (!best || found->sequence > best->sequence)) best = found;
      if (found) wipe(found->key);
    }
    if (!best) {
      if (!empty) ++lost;
      to_repair_ = to_repair_ || !empty;
      free_.push_back(slot);
      continue;
    }
    to_repair_ = to_repair_ || damaged;
    sequence_ = std::max(sequence_, best->sequence);
    newest_ms = std::max({newest_ms, best->made_ms, best->used_ms});
    numbers_below_ = std::max(numbers_below_, best->number + 1);
    to_repair_ = to_repair_ || generations[0] != generations[1];  // a rotation that was cut off
    Live live{.facts = facts_of(*best), .key = {}, .slot = slot, .copies = {.sequences = sequences}};
    live.key.bytes = best->key;
    wipe(best->key);
    const auto [before, is_new] = live_.try_emplace(best->number, live);
    if (!is_new) {  // a beginning that was cut off, and came again elsewhere
      to_repair_ = true;
      const auto& its = before->second.copies.sequences;
      if (std::max(its[0], its[1]) < best->sequence) std::swap(before->second, live);
      free_.push_back(live.slot);
    }
  }
  std::reverse(free_.begin(), free_.end());  // the first ones first
  if (lost > 0) say_(std::to_string(lost) + " sessions on disk are damaged, or were just being made, and have ended");
  if (!headers[0] && !headers[1] && !live_.empty()) say_("the header of the file of sessions was damaged, and is written anew");
  return newest_ms;
}

Result<void> SessionFile::begin(std::uint64_t now_ms) {
  const bool lost_header = file_ && header_.sequences == Copies{}.sequences;
  if (lost_header) numbers_below_ = std::max(numbers_below_, (now_ms - std::min(now_ms, year_2020_ms)) / 1000 * numbers_per_second);
  for (auto at = live_.begin(); at != live_.end();) {
    if (!at->second.facts.is_over(now_ms)) {
      ++at;
      continue;
    }
    free_.push_back(at->second.slot);
    to_repair_ = true;
    at = live_.erase(at);
  }
  if (!file_ || !to_repair_) return {};
  return write_all();
}

Result<void> SessionFile::open_file() {
  file_.reset();
  if (const auto status = files_.status(sessions_name); !status) {
    if (status.error().code == ErrorCode::not_found) return {};
    return status.error();
  }
  if (const auto access = check_access(files_, sessions_name, FileSystem::Kind::file); !access) return access;
  auto opened = files_.open(sessions_name, true);
  if (!opened) return opened.error();
  file_ = std::move(*opened);
  return {};
}

// ---- writing --------------------------------------------------------------------------------------------------------

SessionSlot SessionFile::slot_of(const Live& live, std::uint64_t sequence) const {
  SessionSlot slot;
  slot.sequence = sequence;
  slot.number = live.facts.number;
  slot.generation = live.facts.generation;
  slot.made_ms = live.facts.made_ms;
  slot.used_ms = live.facts.used_ms;
  slot.idle_ms = live.facts.idle_ms;
  slot.ends_ms = live.facts.ends_ms;
  slot.digest = live.facts.digest;
  slot.key = live.key.bytes;
  seal(slot, slot_seed(live.slot));
  return slot;
}

SessionsHeader SessionFile::header(std::uint64_t sequence) const {
  SessionsHeader header;
  header.sequence = sequence;
  header.numbers_below = numbers_below_;
  seal(header, seed_);
  return header;
}

// One is stable at any time: what was written since the last sync is written over again, else it is the older one.
unsigned SessionFile::Copies::next() const {
  if (unstable != none) return unstable;
  return sequences[0] <= sequences[1] ? first : second;
}

void SessionFile::Copies::written(unsigned which, std::uint64_t sequence) {
  for (unsigned copy = 0; copy < 2; ++copy)
    if ((which & (1U << copy)) != 0) sequences[copy] = sequence;
  unstable |= which;
}

Result<void> SessionFile::write(Live& live, unsigned which) {
  SessionSlot slot = slot_of(live, ++sequence_);
  if (live.copies.unstable == none) written_.push_back(live.facts.number);
  live.copies.written(which, slot.sequence);
  const auto written = write_copies(which, image_of(slot), place_of(live.slot));
  wipe(slot.key);
  return written;
}

Result<void> SessionFile::write_header() {
  const SessionsHeader image = header(++sequence_);
  const unsigned which = header_.next();
  header_.written(which, image.sequence);
  return write_copies(which, image_of(image), header_place);
}

Result<void> SessionFile::write_copies(unsigned which, Bytes image, std::uint64_t place) {
  if (broken_ || !file_) return broken();
  dirty_ = true;
  for (unsigned copy = 0; copy < 2; ++copy) {
    if ((which & (1U << copy)) == 0) continue;
    if (const auto written = file_->write(image, place + copy * page_bytes); !written) {
      broken_ = true;
      return written;
    }
  }
  return {};
}

Result<void> SessionFile::make_file() {
  auto made = files_.create(sessions_name);
  if (!made) return made.error();
  file_ = std::move(*made);
  return write_all();
}

// Everything, from memory: one copy of all is stable at any time, the old one or the new one.
Result<void> SessionFile::write_all() {
  Pages pages{std::vector<std::byte>(page_bytes)};
  std::vector<std::byte>& page = pages.bytes;
  std::vector<Live*> of_slot((pairs_ - 1) * slots_per_pair, nullptr);
  for (auto& [number, live] : live_) of_slot[live.slot] = &live;
  const std::uint64_t sequence = ++sequence_;
  for (unsigned copy = 0; copy < 2; ++copy) {
    for (std::uint64_t pair = 0; pair < pairs_; ++pair) {
      std::fill(page.begin(), page.end(), std::byte{0});
      if (pair == 0) {
        const SessionsHeader image = header(sequence);
        std::memcpy(page.data(), &image, sizeof(image));
      } else {
        for (std::size_t i = 0; i < slots_per_pair; ++i) {
          Live* const live = of_slot[(pair - 1) * slots_per_pair + i];
          if (live == nullptr) continue;
          SessionSlot slot = slot_of(*live, sequence);
          std::memcpy(page.data() + i * sizeof(slot), &slot, sizeof(slot));
          wipe(slot.key);
        }
      }
      if (const auto written = file_->write(page, pair * pair_bytes + copy * page_bytes); !written) return written;
    }
    if (const auto synced = file_->sync(); !synced) return synced;
    // Its name, too, when it is new.
    if (copy == 0) {
      if (const auto synced = files_.sync_directory(""); !synced) return synced;
    }
  }
  const Copies stable{.sequences = {sequence, sequence}};
  for (auto& [number, live] : live_) live.copies = stable;
  header_ = stable;
  written_.clear();
  written_changes_ = stable_changes_ = changes_;
  dirty_ = to_repair_ = false;
  free_.insert(free_.end(), freed_.begin(), freed_.end());
  freed_.clear();
  return {};
}

std::size_t SessionFile::free_slot() {
  if (!free_.empty()) {
    const std::size_t slot = free_.back();
    free_.pop_back();
    return slot;
  }
  const std::size_t begin = (pairs_++ - 1) * slots_per_pair;
  for (std::size_t i = slots_per_pair; i > 1; --i) free_.push_back(begin + i - 1);
  return begin;
}

Result<void> SessionFile::keep(const SessionFacts& facts) {
  ONCED_ASSERT(facts.number != 0);
  ++changes_;
  const bool more_numbers = facts.number >= numbers_below_;
  const std::uint64_t pairs_before = pairs_;
  auto found = live_.find(facts.number);
  const bool is_new = found == live_.end();
  {
    const std::lock_guard lock(mutex_);
    if (more_numbers) numbers_below_ = facts.number + numbers_step;
    if (is_new) {
      found = live_.try_emplace(facts.number).first;
      random_(found->second.key.bytes);
      found->second.slot = free_slot();
    }
    found->second.facts = facts;
  }
  Live& live = found->second;
  if (broken_) return broken();
  if (!file_) {
    const auto made = make_file();
    broken_ = !made;
    return made;
  }
  if (pairs_ != pairs_before) {
    const std::vector<std::byte> zeros(pair_bytes);
    dirty_ = true;
    if (const auto written = file_->write(zeros, pairs_before * pair_bytes); !written) {
      broken_ = true;
      return written;
    }
  }
  if (more_numbers) {
    if (const auto written = write_header(); !written) return written;
    header_.other_too = true;
  }
  if (is_new) return write(live, both);
  if (const auto written = write(live, live.copies.next()); !written) return written;
  live.copies.other_too = live.copies.unstable != both;
  return {};
}

Result<void> SessionFile::use(std::uint64_t number, std::uint64_t used_ms) {
  const auto found = live_.find(number);
  if (found == live_.end()) return {};
  {
    const std::lock_guard lock(mutex_);
    found->second.facts.used_ms = std::max(found->second.facts.used_ms, used_ms);
  }
  return write(found->second, found->second.copies.next());
}

Result<void> SessionFile::end(std::uint64_t number) {
  const auto found = live_.find(number);
  if (found == live_.end()) return {};
  ++changes_;
  const std::size_t slot = found->second.slot;
  {
    const std::lock_guard lock(mutex_);
    live_.erase(found);
  }
  freed_.push_back(slot);
  return write_copies(both, std::array<std::byte, sizeof(SessionSlot)>{}, place_of(slot));
}

Result<void> SessionFile::sync() {
  if (broken_) return broken();
  if (!dirty_) return {};
  const auto sync_file = [&]() -> Result<void> {
    const auto synced = file_->sync();
    broken_ = !synced;
    return synced;
  };
  if (const auto synced = sync_file(); !synced) return synced;
  written_changes_ = changes_;
  std::vector<Live*> others;
  for (const std::uint64_t number : std::exchange(written_, {})) {
    const auto found = live_.find(number);
    if (found == live_.end()) continue;
    found->second.copies.unstable = none;
    if (std::exchange(found->second.copies.other_too, false)) others.push_back(&found->second);
  }
  header_.unstable = none;
  const bool header_too = std::exchange(header_.other_too, false);
  if (!others.empty() || header_too) {
    for (Live* const live : others) {
      if (const auto written = write(*live, live->copies.next()); !written) return written;
    }
    if (header_too) {
      if (const auto written = write_header(); !written) return written;
    }
    if (const auto synced = sync_file(); !synced) return synced;
    for (Live* const live : others) live->copies.unstable = none;
    written_.clear();
    header_.unstable = none;
  }
  stable_changes_ = changes_;
  dirty_ = false;
  free_.insert(free_.end(), freed_.begin(), freed_.end());
  freed_.clear();
  return {};
}

Result<void> SessionFile::recover() {
  if (const auto opened = open_file(); !opened) return opened;
  if (!file_ && live_.empty()) {
    broken_ = dirty_ = false;
    written_changes_ = stable_changes_ = changes_;
    return {};
  }
  const auto written = file_ ? write_all() : make_file();
  broken_ = !written;
  return written;
}

// ---- looking --------------------------------------------------------------------------------------------------------

std::optional<SessionKey> SessionFile::key_of(std::uint64_t number) const {
  const std::lock_guard lock(mutex_);
  const auto found = live_.find(number);
  return found == live_.end() ? std::nullopt : std::optional(found->second.key);
}

std::size_t SessionFile::size() const {
  const std::lock_guard lock(mutex_);
  return live_.size();
}

std::uint64_t SessionFile::numbers_below() const {
  const std::lock_guard lock(mutex_);
  return numbers_below_;
}

std::vector<SessionFacts> SessionFile::all() const {
  const std::lock_guard lock(mutex_);
  std::vector<SessionFacts> facts;
  for (const auto& [number, live] : live_) facts.push_back(live.facts);
  return facts;
}

}  // namespace onced::disk
