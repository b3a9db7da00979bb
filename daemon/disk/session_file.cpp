#include "disk/session_file.hpp"

#include <algorithm>
#include <cstring>
#include <utility>

namespace onced::disk {
namespace {

constexpr std::uint64_t file_bytes_max = std::uint64_t{1} << 30;
constexpr std::uint64_t numbers_per_second = 65'536;         // when nobody knows any more which were given
constexpr std::uint64_t year_2020_ms = 1'577'836'800'000;

SessionFacts facts_of(const SessionSlot& slot) {
  return {.number = slot.number, .generation = slot.generation, .digest = slot.digest, .made_ms = slot.made_ms, .used_ms = slot.used_ms,
          .idle_ms = slot.idle_ms, .ends_ms = slot.ends_ms};
}

bool is_zero(Bytes bytes) {
  return std::all_of(bytes.begin(), bytes.end(), [](std::byte byte) { return byte == std::byte{0}; });
}

}  // namespace

// ---- reading --------------------------------------------------------------------------------------------------------

Result<std::uint64_t> SessionFile::open() {
  if (const auto opened = open_file(); !opened) return opened.error();
  if (!file_) return std::uint64_t{0};
  auto read = read_whole(*file_, file_bytes_max);
  if (!read) return read.error();
  std::vector<std::byte>& bytes = *read;
  const std::size_t whole = bytes.size() / pair_bytes * pair_bytes;
  to_repair_ = bytes.size() != whole || whole == 0;  // its making or growing was cut off
  pairs_ = std::max<std::uint64_t>(1, whole / pair_bytes + (bytes.size() != whole ? 1 : 0));
  bytes.resize(pairs_ * pair_bytes);

  const std::array<std::optional<SessionsHeader>, 2> headers{sessions_header_at(bytes, 0, seed_), sessions_header_at(bytes, page_bytes, seed_)};
  for (const auto& one : headers) {
    if (!one) continue;
    numbers_below_ = std::max(numbers_below_, one->numbers_below);
    sequence_ = std::max(sequence_, one->sequence);
  }
  for (unsigned copy = 0; copy < 2; ++copy) header_sequences_[copy] = headers[copy] ? headers[copy]->sequence : 0;
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
      const std::size_t at = place_of(slot, copy);
      const auto found = session_slot_at(bytes, at, slot_seed(slot));
      const bool zeros = is_zero(Bytes(bytes).subspan(at, sizeof(SessionSlot)));
      empty = empty && zeros;
      damaged = damaged || !found;
      sequences[copy] = found ? found->sequence : 0;
      generations[copy] = found ? found->generation : 0;
      if (found && (!best || found->sequence > best->sequence)) best = found;
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
    Live live{.facts = facts_of(*best), .key = {}, .slot = slot, .sequences = sequences};
    live.key.bytes = best->key;
    const auto [before, is_new] = live_.try_emplace(best->number, live);
    if (!is_new) {  // a beginning that was cut off, and came again elsewhere
      to_repair_ = true;
      if (std::max(before->second.sequences[0], before->second.sequences[1]) < best->sequence) std::swap(before->second, live);
      free_.push_back(live.slot);
    }
    wipe(best->key);
  }
  std::reverse(free_.begin(), free_.end());  // the first ones first
  wipe(bytes);
  if (lost > 0) say_(std::to_string(lost) + " sessions on disk are damaged, or were just being made, and have ended");
  lost_header_ = !headers[0] && !headers[1];
  if (lost_header_ && !live_.empty()) say_("the header of the file of sessions was damaged, and is written anew");
  return newest_ms;
}

Result<void> SessionFile::begin(std::uint64_t now_ms) {
  if (lost_header_) numbers_below_ = std::max(numbers_below_, (now_ms - std::min(now_ms, year_2020_ms)) / 1000 * numbers_per_second);
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

// One copy is stable at any time: what was written since the last sync is written over again, else it is the older one.
unsigned SessionFile::next_copies(const std::array<std::uint64_t, 2>& sequences, unsigned unstable) {
  if (unstable != none) return unstable;
  return sequences[0] <= sequences[1] ? first : second;
}

Result<void> SessionFile::write(Live& live, unsigned copies) {
  if (broken_ || !file_) return broken();
  SessionSlot slot = slot_of(live, ++sequence_);
  dirty_ = true;
  for (unsigned copy = 0; copy < 2; ++copy) {
    if ((copies & (1U << copy)) == 0) continue;
    live.sequences[copy] = slot.sequence;
    if (live.unstable == none) written_.push_back(live.facts.number);
    live.unstable |= 1U << copy;
    if (const auto written = file_->write(image_of(slot), place_of(live.slot, copy)); !written) {
      broken_ = true;
      wipe(slot.key);
      return written;
    }
  }
  wipe(slot.key);
  return {};
}

Result<void> SessionFile::write_header(unsigned copies) {
  if (broken_ || !file_) return broken();
  const SessionsHeader image = header(++sequence_);
  dirty_ = true;
  for (unsigned copy = 0; copy < 2; ++copy) {
    if ((copies & (1U << copy)) == 0) continue;
    header_sequences_[copy] = image.sequence;
    header_unstable_ |= 1U << copy;
    if (const auto written = file_->write(image_of(image), copy * page_bytes); !written) {
      broken_ = true;
      return written;
    }
  }
  return {};
}

Result<void> SessionFile::write_zeros(std::size_t slot) {
  if (broken_ || !file_) return broken();
  dirty_ = true;
  const std::array<std::byte, sizeof(SessionSlot)> zeros{};
  for (unsigned copy = 0; copy < 2; ++copy) {
    if (const auto written = file_->write(zeros, place_of(slot, copy)); !written) {
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
  pairs_ = std::max<std::uint64_t>(1, pairs_);
  return write_all();
}

// Everything, from memory: one copy of all is stable at any time, the old one or the new one.
Result<void> SessionFile::write_all() {
  std::vector<std::byte> page(page_bytes);
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
          const SessionSlot slot = slot_of(*live, sequence);
          std::memcpy(page.data() + i * sizeof(slot), &slot, sizeof(slot));
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
  wipe(page);
  for (auto& [number, live] : live_) {
    live.sequences = {sequence, sequence};
    live.unstable = none;
    live.other_too = false;
  }
  written_.clear();
  header_sequences_ = {sequence, sequence};
  header_unstable_ = none;
  other_header_too_ = dirty_ = to_repair_ = false;
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
  const std::size_t begin = (std::max<std::uint64_t>(1, pairs_) - 1) * slots_per_pair;
  pairs_ = std::max<std::uint64_t>(1, pairs_) + 1;
  for (std::size_t i = slots_per_pair; i > 1; --i) free_.push_back(begin + i - 1);
  return begin;
}

Result<void> SessionFile::keep(const SessionFacts& facts) {
  ONCED_ASSERT(facts.number != 0);
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
    if (const auto written = write_header(next_copies(header_sequences_, header_unstable_)); !written) return written;
    other_header_too_ = true;
  }
  if (is_new) return write(live, both);
  if (const auto written = write(live, next_copies(live.sequences, live.unstable)); !written) return written;
  live.other_too = live.unstable != both;
  return {};
}

Result<void> SessionFile::use(std::uint64_t number, std::uint64_t used_ms) {
  const auto found = live_.find(number);
  if (found == live_.end()) return {};
  {
    const std::lock_guard lock(mutex_);
    found->second.facts.used_ms = std::max(found->second.facts.used_ms, used_ms);
  }
  return write(found->second, next_copies(found->second.sequences, found->second.unstable));
}

Result<void> SessionFile::end(std::uint64_t number) {
  const auto found = live_.find(number);
  if (found == live_.end()) return {};
  const std::size_t slot = found->second.slot;
  {
    const std::lock_guard lock(mutex_);
    live_.erase(found);
  }
  freed_.push_back(slot);
  return write_zeros(slot);
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
  std::vector<Live*> others;
  for (const std::uint64_t number : std::exchange(written_, {})) {
    const auto found = live_.find(number);
    if (found == live_.end()) continue;
    found->second.unstable = none;
    if (std::exchange(found->second.other_too, false)) others.push_back(&found->second);
  }
  header_unstable_ = none;
  const bool header_too = std::exchange(other_header_too_, false);
  if (!others.empty() || header_too) {
    for (Live* const live : others) {
      if (const auto written = write(*live, next_copies(live->sequences, none)); !written) return written;
    }
    if (header_too) {
      if (const auto written = write_header(next_copies(header_sequences_, none)); !written) return written;
    }
    if (const auto synced = sync_file(); !synced) return synced;
    for (Live* const live : others) live->unstable = none;
    written_.clear();
    header_unstable_ = none;
  }
  dirty_ = false;
  free_.insert(free_.end(), freed_.begin(), freed_.end());
  freed_.clear();
  return {};
}

Result<void> SessionFile::recover() {
  if (const auto opened = open_file(); !opened) return opened;
  if (!file_ && live_.empty()) {
    broken_ = dirty_ = false;
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
