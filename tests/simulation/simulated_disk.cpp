#include "simulated_disk.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>

#include <onced/protocol/key.hpp>
#include <onced/protocol/session.hpp>

#include "engine/context.hpp"
#include "memory/memfd.hpp"

namespace onced::simulation {

using engine::DiskOutcome;
using engine::DiskTicket;
using engine::time_word;

SimulatedDisk::SimulatedDisk(Schedule& schedule, BlobContents& contents, After after, Deliver deliver)
    : schedule_(schedule), contents_(contents), random_(schedule.seed ^ 0xd15cULL), after_(std::move(after)), deliver_(std::move(deliver)) {
  vanish_percent_ = random_.percent(50) ? random_.between(1, 10) : 0;
  refuse_percent_ = random_.percent(40) ? random_.between(1, 20) : 0;
  busy_percent_ = random_.percent(40) ? random_.between(1, 40) : 0;
  hang_percent_ = random_.percent(40) ? random_.between(1, 20) : 0;
  degrades_ = random_.percent(40);
  delay_us_max_ = random_.percent(50) ? 3'000 : 300'000;
  no_memory_percent_ = schedule_.seed % 3 == 0 ? 10 : 0;  // not drawn, so that others are what they were
  if (!schedule.profile.calm_disk) return;
  vanish_percent_ = refuse_percent_ = busy_percent_ = hang_percent_ = 0;
  degrades_ = false;
}

engine::Duration SimulatedDisk::delay() {
  if (random_.percent(hang_percent_)) return std::chrono::milliseconds(random_.between(100, 40'000));
  return std::chrono::microseconds(random_.between(1, delay_us_max_));
}

// In stretches.
bool SimulatedDisk::fails() {
  if (!degrades_) return false;
  if (schedule_.now >= until_) {
    failing_ = until_ != Time{} && !failing_;
    until_ = schedule_.now + std::chrono::milliseconds(random_.between(1, 1'500));
  }
  return failing_;
}

void SimulatedDisk::later(std::function<void()> action) {
  after_(delay(), [this, life = life_, action = std::move(action)] {
    if (life == life_) action();
  });
}

void SimulatedDisk::tell(DiskTicket ticket, DiskOutcome outcome) {
  failures_ += outcome == DiskOutcome::failed ? 1U : 0U;
  if (ticket != DiskTicket{}) deliver_(engine::DiskWritten{ticket, outcome});
}

// ---- writing --------------------------------------------------------------------------------------------------------

bool SimulatedDisk::carries(const Copy& copy, const Meant& meant) {
  if (meant.session != 0) return copy.session == meant.session;
  switch (meant.kind) {
    case Label::everything: return true;
    case Label::function: return copy.function == meant.name;
    case Label::family: return copy.family == meant.name;
    case Label::tag: break;
  }
  return std::find(copy.tags.begin(), copy.tags.end(), meant.name) != copy.tags.end();
}

bool SimulatedDisk::is_of_ended_session(const std::string& key) const {
  const auto session = protocol::session_in(key);
  return session && !sessions_.has(*session);
}

void SimulatedDisk::is_written(const std::string& key, std::uint64_t order) {
  if (const auto session = protocol::session_in(key)) sessions_.is_written(*session, order);
  sessions_.works();
}

void SimulatedDisk::put(DiskTicket ticket, const engine::DiskImage& image, std::shared_ptr<const std::vector<protocol::Part>> parts, bool durable) {
  const std::string key(image.key);
  if (protocol::names_session(key) && !keeps_sessions()) throw Violation("a value of a session is written to disk");
  if (is_of_ended_session(key)) throw Violation("a value is written to disk whose session has ended, or was never kept there");
  if (durable != (ticket != DiskTicket{})) throw Violation("a put is waited for and is not durable, or the other way round");
  ++puts_;
  Copy copy{.epoch = image.epoch, .version = image.version, .fresh_until_ms = protocol::never_expires, .early_ms = image.life.early_ms,
            .grace_ms = image.life.grace_ms, .stored = schedule_.now, .cost_us = image.cost_us, .was_put = image.was_put, .origin = std::string(image.origin),
            .tags = *image.tags, .family = std::string(image.family), .function = std::string(Key::parse(key).value().function()), .parts = *parts, .text = contents_.text_of(*parts), .upstreams = {},
            .session = protocol::session_in(key).value_or(0)};
  if (image.life.fresh_ms != protocol::as_configured) copy.fresh_until_ms = time_word(schedule_.now) + image.life.fresh_ms;
  if (image.upstreams != nullptr) copy.upstreams = *image.upstreams;
  for (protocol::Part& part : copy.parts) {
    const BlobContents::Place place = part.blob != 0 && part.length > 0 ? contents_.of(part.blob, part.offset) : BlobContents::Place{};
    part.blob = place.content;
    part.offset = place.offset;
  }
  last_put_ = copy;
  const std::uint64_t order = ++last_order_;
  keys_[key].push_back(Change{.order = order, .kind = Kind::put, .value = std::move(copy)});
  later([this, key, order, ticket, durable, epoch = image.epoch, version = image.version] { put_ends(key, order, ticket, durable, epoch, version); });
}

void SimulatedDisk::put_ends(const std::string& key, std::uint64_t order, DiskTicket ticket, bool durable, std::uint64_t epoch, std::uint64_t version) {
  Change& change = *change_at(key, order);
  DiskOutcome outcome = fails() ? DiskOutcome::failed : random_.percent(refuse_percent_) ? DiskOutcome::refused : DiskOutcome::done;
  if (outcome == DiskOutcome::failed) {
    change.failed = true;
  } else {
    change.written = true;
    if (outcome == DiskOutcome::refused) change.value.reset();
    else if (durable) durable_.insert({key, epoch, version});  // whatever was dropped since
    forget_written(key);
    is_written(key, order);
  }
  schedule_.trace([&] { return "        disk: put of " + name_of_key(key) + (outcome == DiskOutcome::done ? " is written" : outcome == DiskOutcome::failed ? " failed" : " refused"); });
  tell(ticket, outcome);
}

void SimulatedDisk::drop(DiskTicket ticket, std::string_view name) {
  const std::string key(name);
  const std::uint64_t order = ++last_order_;
  keys_[key].push_back(Change{.order = order, .kind = Kind::drop});
  later([this, key, order, ticket] { drop_ends(key, order, ticket); });
}

void SimulatedDisk::drop_ends(const std::string& key, std::uint64_t order, DiskTicket ticket) {
  Change& change = *change_at(key, order);
  const bool failed = fails();
  (failed ? change.failed : change.written) = true;
  if (!failed) {
    forget_written(key);
    is_written(key, order);
  }
  schedule_.trace([&] { return "        disk: drop of " + name_of_key(key) + (failed ? " failed" : " is written"); });
  tell(ticket, failed ? DiskOutcome::failed : DiskOutcome::done);
}

void SimulatedDisk::drop_label(DiskTicket ticket, Label kind, std::string_view name) { drop_all(ticket, {kind, std::string(name)}); }

void SimulatedDisk::drop_in_session(DiskTicket ticket, std::uint64_t number) { drop_all(ticket, {.session = number}); }

void SimulatedDisk::drop_all(DiskTicket ticket, Meant meant) {
  const std::uint64_t order = ++last_order_;
  for (auto& [key, changes] : keys_) {
    const bool concerned = std::any_of(changes.begin(), changes.end(), [&](const Change& one) { return one.value && carries(*one.value, meant); });
    if (concerned) changes.push_back(Change{.order = order, .kind = Kind::label, .meant = meant});
  }
  ++labels_open_;
  later([this, order, meant = std::move(meant), ticket] { label_ends(order, meant, ticket); });
}

// When it failed it holds all the same, for this daemon.
void SimulatedDisk::label_ends(std::uint64_t order, const Meant& meant, DiskTicket ticket) {
  const bool failed = fails();
  for (auto& [key, changes] : keys_) {
    for (Change& change : changes) {
      if (change.order == order) (failed ? change.failed : change.written) = true;
      if (change.order < order && !failed && change.value && carries(*change.value, meant)) change.value.reset();
    }
  }
  if (!failed) sessions_.works();
  --labels_open_;
  schedule_.trace([&] { return std::string("        disk: drop by a label ") + (failed ? "failed" : "is written"); });
  tell(ticket, failed ? DiskOutcome::failed : DiskOutcome::done);
}

SimulatedDisk::Change* SimulatedDisk::change_at(const std::string& key, std::uint64_t order) {
  std::vector<Change>& changes = keys_.at(key);
  const auto found = std::find_if(changes.begin(), changes.end(), [&](const Change& one) { return one.order == order; });
  if (found == changes.end()) throw Violation("the simulated disk has lost an operation");
  return &*found;
}

// What was put or dropped takes away all that was before it.
void SimulatedDisk::forget_written(const std::string& key) {
  bool gone = false;
  std::vector<Change>& changes = keys_.at(key);
  for (auto at = changes.rbegin(); at != changes.rend(); ++at) {
    if (gone) at->value.reset();
    gone |= at->written && at->kind != Kind::label;
  }
}

// ---- sessions -------------------------------------------------------------------------------------------------------

void SimulatedDisk::keep_session(DiskTicket ticket, const engine::DiskSession& session) {
  sessions_.keep(++last_order_, session, schedule_.now);
  told_of_session(session.number, session.generation, ticket);
}

void SimulatedDisk::use_session(std::uint64_t number) {
  sessions_.use(++last_order_, number, schedule_.now);
  told_of_session(number, 0, {});
}

void SimulatedDisk::end_session(DiskTicket ticket, std::uint64_t number) {
  sessions_.end(++last_order_, number);
  told_of_session(number, 0, ticket);
}

void SimulatedDisk::told_of_session(std::uint64_t number, std::uint64_t generation, DiskTicket ticket) {
  later([this, number, generation, order = last_order_, ticket] {
    const bool failed = fails();
    if (failed) {
      sessions_.has_failed(number, order);
      if (ticket != DiskTicket{}) sessions_.note_failure(number, generation);
    } else {
      sessions_.is_written(number, order);
      sessions_.works();
    }
    schedule_.trace([&] { return "        disk: what was told of session " + std::to_string(number) + (failed ? " failed" : " is written"); });
    tell(ticket, failed ? DiskOutcome::failed : DiskOutcome::done);
  });
}

engine::SessionsFound SimulatedDisk::found() {
  engine::SessionsFound found = sessions_.found(schedule_.now);
  std::erase_if(keys_, [&](const auto& one) { return is_of_ended_session(one.first); });
  return found;
}

// ---- loading --------------------------------------------------------------------------------------------------------

const SimulatedDisk::Copy* SimulatedDisk::view(const std::string& key) {
  const Copy* const found = view_alone(key);
  if (found == nullptr) return nullptr;
  for (const engine::DiskUpstream& upstream : found->upstreams) {
    const Copy* const of = view_alone(upstream.key);
    if (of == nullptr || engine::DiskIdentity{of->epoch, of->version} != upstream.identity || is_over(*of)) return nullptr;
  }
  return found;
}

const SimulatedDisk::Copy* SimulatedDisk::view_alone(const std::string& key) {
  if (is_of_ended_session(key)) return nullptr;
  std::vector<const Change*> labels;
  const std::vector<Change>& changes = keys_[key];
  for (auto at = changes.rbegin(); at != changes.rend(); ++at) {
    if (at->kind == Kind::label) {
      const bool must_hold = at->written || at->failed;
      if (must_hold || random_.percent(15)) labels.push_back(&*at);
      continue;
    }
    if (!at->value || at->hidden) return nullptr;  // dropped, refused, evicted
    const bool dropped = std::any_of(labels.begin(), labels.end(), [&](const Change* one) { return carries(*at->value, one->meant); });
    return dropped ? nullptr : &*at->value;
  }
  return nullptr;
}

bool SimulatedDisk::is_over(const Copy& copy) const {
  return copy.fresh_until_ms != protocol::never_expires && time_word(schedule_.now) >= copy.fresh_until_ms + copy.grace_ms;
}

// Never no of what would be found; yes of some that it has not.
bool SimulatedDisk::may_have(std::string_view name) const {
  const auto found = keys_.find(std::string(name));
  if (found == keys_.end()) return (name.size() + schedule_.seed) % 8 == 0;
  return std::any_of(found->second.begin(), found->second.end(), [](const Change& one) { return one.value && !one.hidden; }) || schedule_.seed % 8 == 0;
}

bool SimulatedDisk::load(DiskTicket ticket, std::string_view name) {
  if (random_.percent(busy_percent_)) return false;
  const std::string key(name);
  if (is_loading(key)) throw Violation("a key is loaded twice at a time");
  Load& load = loads_[ticket];
  load.key = key;
  if (const Copy* found = view(key)) load.found = *found;
  schedule_.trace([&] { return "        disk: load of " + name_of_key(key) + (load.found ? ", found version " + std::to_string(load.found->version) : ", finds nothing so far"); });
  later([this, ticket] { load_ends(ticket); });
  return true;
}

void SimulatedDisk::load_ends(DiskTicket ticket) {
  placed_.reset();
  Load load = std::move(loads_.at(ticket));
  loads_.erase(ticket);
  engine::DiskLoaded event{.ticket = ticket};
  if (random_.percent(25)) {
    const Copy* const found = view(load.key);
    if (found != nullptr) load.found = *found;
    else load.found.reset();
  }
  if (load.found && is_over(*load.found)) load.found.reset();
  if (fails()) {
    load.found.reset();
    event.problem = "the disk fails";
  } else if (random_.percent(vanish_percent_)) {  // evicted or damaged: it is gone for good, or nothing stable says so
    const bool for_good = random_.percent(50);
    for (Change& change : keys_[load.key]) {
      if (!change.written) continue;
      if (for_good) change.value.reset();
      else change.hidden = true;
    }
    if (random_.percent(50)) event.problem = "a checksum is wrong";
    load.found.reset();
  }
  const std::size_t blobs = load.found ? blobs_in(load.found->parts) : 0;
  if (load.found && !has_memory_for(blobs)) {
    event.problem = "no memory for a part";
    load.found.reset();
  }
  if (load.found) {
    const Copy& copy = *load.found;
    engine::DiskValue& value = event.value.emplace();
    const std::uint64_t present = time_word(schedule_.now);
    value.epoch = copy.epoch;
    value.version = copy.version;
    value.fresh_until_ms = copy.fresh_until_ms;
    value.life = {.fresh_ms = protocol::as_configured, .early_ms = copy.early_ms, .grace_ms = copy.grace_ms};
    if (copy.fresh_until_ms != protocol::never_expires) {
      const bool is_fresh = present < copy.fresh_until_ms;
      value.life.fresh_ms = is_fresh ? copy.fresh_until_ms - present : 0;
      if (!is_fresh) value.life.grace_ms = static_cast<std::uint32_t>(copy.fresh_until_ms + copy.grace_ms - present);
      // Its clock is coarser than the daemon's, which knows better what it numbered itself.
      if (is_fresh && copy.epoch == schedule_.profile.settings.epoch) value.life.fresh_ms += random_.between(0, 1000);
    }
    value.age_ms = static_cast<std::uint64_t>(std::chrono::floor<std::chrono::milliseconds>(schedule_.now - copy.stored).count());
    value.cost_us = copy.cost_us;
    value.was_put = copy.was_put;
    value.origin = copy.origin;
    value.tags = copy.tags;
    value.parts = copy.parts;
    for (protocol::Part& part : value.parts) part.blob = part.offset = 0;
    if (blobs > 0) value.brought = std::make_shared<Brought>(*this, copy.parts, blobs);
    value.upstreams = copy.upstreams;
  }
  key_of_load_ = load.key;
  was_wanted_ = load.wanted;
  schedule_.trace([&] { return "        disk: load of " + name_of_key(load.key) + (event.value ? " brings version " + std::to_string(event.value->version) : " brings nothing"); });
  deliver_(std::move(event));
}

std::size_t SimulatedDisk::blobs_in(const std::vector<protocol::Part>& parts) {
  return static_cast<std::size_t>(std::count_if(parts.begin(), parts.end(), [](const protocol::Part& one) { return one.blob != 0; }));
}

bool SimulatedDisk::has_memory_for(std::size_t blobs) {
  for (; blobs > 0; --blobs)
    if (random_.percent(no_memory_percent_)) return false;
  return true;
}

// The model hears of the parts, or that there was no place for them.
Result<void> SimulatedDisk::Brought::place(std::vector<protocol::Part>& parts) {
  const std::vector<engine::BlobId> made = disk_.make_blobs(contents_);
  if (made.empty()) return Error{ErrorCode::limit_reached, "no place for a part"};
  parts = contents_;
  disk_.placed_ = parts;
  return {};
}

// All that the parts name, which name them then. None: there is no place for one.
std::vector<engine::BlobId> SimulatedDisk::make_blobs(std::vector<protocol::Part>& parts) {
  std::vector<engine::BlobId> made;
  for (protocol::Part& part : parts) {
    if (part.blob == 0) continue;
    memory::FileDescriptor memory = memory::create_memfd("simulated-blob");
    const bool is_sealed = ::ftruncate(memory.get(), static_cast<off_t>(part.length)) == 0 &&
                           ::fcntl(memory.get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL) == 0;
    if (!is_sealed) throw Violation("this machine has no memory for a blob");
    const auto blob = blobs_->adopt(std::move(memory), part.length);
    if (!blob) {
      for (const engine::BlobId one : made) blobs_->release(one);
      return {};
    }
    made.push_back(*blob);
    contents_.fill(static_cast<std::uint64_t>(*blob), {part.blob, part.offset});
    part.blob = static_cast<std::uint64_t>(*blob);
    part.offset = 0;
  }
  return made;
}

bool SimulatedDisk::is_loading(const std::string& key) const {
  return std::any_of(loads_.begin(), loads_.end(), [&](const auto& one) { return one.second.key == key && one.second.wanted; });
}

void SimulatedDisk::loads_are_over(const std::string& key) {
  for (auto& [ticket, load] : loads_)
    if (load.key == key) load.wanted = false;
}

// ---- what is left ---------------------------------------------------------------------------------------------------

std::vector<const SimulatedDisk::Copy*> SimulatedDisk::survivors(const std::string& key) const {
  std::vector<const Copy*> all;
  const auto found = keys_.find(key);
  if (found == keys_.end()) return all;
  for (const Change& change : found->second) {
    if (!change.value || (change.value->session != 0 && !sessions_.may_bring(change.value->session, change.order))) continue;
    all.push_back(&*change.value);
  }
  return all;
}

std::vector<std::string> SimulatedDisk::keys() const {
  std::vector<std::string> all;
  for (const auto& [key, changes] : keys_) all.push_back(key);
  return all;
}

engine::DiskTier::Usage SimulatedDisk::usage() const {
  Usage usage;
  for (const auto& [key, changes] : keys_)
    usage.values += std::any_of(changes.begin(), changes.end(), [](const Change& one) { return one.value.has_value(); }) ? 1U : 0U;
  usage.sessions = sessions_.alive().size();
  usage.degraded = failing_;
  return usage;
}

// What was not written is, or is not; what failed may be there all the same.
void SimulatedDisk::crash() {
  ++life_;
  loads_.clear();
  labels_open_ = 0;
  sessions_.crash(random_);
  std::map<std::uint64_t, bool> labels;  // each is written for all keys or for none
  for (auto& [key, changes] : keys_) {
    std::optional<Copy> left;
    const std::uint64_t cut = sessions_.cut_of(protocol::session_in(key).value_or(0));
    for (Change& change : changes) {
      const auto by_lot = [&] { return random_.percent(50); };
      const bool is_there = change.kind != Kind::label ? change.written || by_lot() : labels.try_emplace(change.order, change.written || by_lot()).first->second;
      if (!is_there || change.order >= cut) continue;
      if (change.kind == Kind::label) {
        if (left && carries(*left, change.meant)) left.reset();
      } else {
        left = std::move(change.value);
      }
    }
    changes.clear();
    if (left && !is_of_ended_session(key)) changes.push_back(Change{.order = ++last_order_, .kind = Kind::put, .value = std::move(left), .written = true});
  }
  std::erase_if(keys_, [](const auto& one) { return one.second.empty(); });
}

}  // namespace onced::simulation
