#include "fake_disk.hpp"

namespace onced::engine {

FakeDisk::FakeDisk() = default;

FakeDisk::~FakeDisk() = default;

void FakeDisk::put(DiskTicket ticket, const DiskImage& image, std::shared_ptr<const std::vector<protocol::Part>> parts, bool) {
  Stored& stored = values[std::string(image.key)];
  stored = {};
  stored.value = DiskValue{.epoch = image.epoch, .version = image.version, .fresh_until_ms = image.fresh_until_ms, .life = image.life,
                           .cost_us = image.cost_us, .was_put = image.was_put, .origin = std::string(image.origin), .tags = *image.tags, .parts = *parts};
  if (image.upstreams != nullptr) stored.value.upstreams = *image.upstreams;
  stored.function = function_of(image.key);
  stored.family = image.family;
  stored.number = ++last_number_;
  if (ticket != DiskTicket{}) written.push_back(ticket);
}

void FakeDisk::drop(DiskTicket ticket, std::string_view key) {
  values.erase(std::string(key));
  written.push_back(ticket);
}

void FakeDisk::drop_label(DiskTicket ticket, Label kind, std::string_view name) {
  labels_[ticket] = {kind, std::string(name), last_number_, {}};
  written.push_back(ticket);
}

bool FakeDisk::may_have(std::string_view key) const { return values.contains(key); }

bool FakeDisk::load(DiskTicket ticket, std::string_view key) {
  if (!takes_loads) return false;
  ++loads;
  DiskLoaded event{.ticket = ticket, .value = {}, .problem = problem};
  if (const auto found = values.find(key); found != values.end() && !has_upstreams(found->second.value)) values.erase(found);
  else if (found != values.end() && problem.empty()) event.value = aged(found->second.value);
  loaded.push_back(std::move(event));
  return true;
}

void FakeDisk::set_merit(std::string_view key, float merit) { merits[std::string(key)] = merit; }

bool FakeDisk::keeps_sessions() const { return with_sessions; }

void FakeDisk::keep_session(DiskTicket ticket, const DiskSession& session) {
  sessions[session.number] = session;
  session_numbers = std::max(session_numbers, session.number + 1);
  written.push_back(ticket);
}

void FakeDisk::use_session(std::uint64_t number) {
  ++uses;
  if (const auto found = sessions.find(number); found != sessions.end()) found->second.idle_for_ms = 0;
}

void FakeDisk::end_session(DiskTicket ticket, std::uint64_t number) {
  sessions.erase(number);
  std::erase_if(values, [&](const auto& one) { return protocol::session_in(one.first) == number; });
  written.push_back(ticket);
}

void FakeDisk::drop_in_session(DiskTicket ticket, std::uint64_t number) {
  labels_[ticket] = {Label::everything, {}, last_number_, number};
  written.push_back(ticket);
}

SessionsFound FakeDisk::found() const {
  SessionsFound found{.sessions = {}, .numbers_from = session_numbers};
  for (auto [number, session] : sessions) {
    session.age_ms += later_ms;
    session.idle_for_ms += later_ms;
    if (session.left_ms != protocol::as_configured) session.left_ms -= std::min(session.left_ms, later_ms);
    found.sessions.push_back(session);
  }
  return found;
}

FakeDisk::Usage FakeDisk::usage() const { return {.values = values.size()}; }

protocol::DiskReport FakeDisk::report(protocol::DiskAction) { return {{{"values", std::uint64_t{values.size()}}}}; }

std::optional<DiskWritten> FakeDisk::next_written() {
  if (written.empty()) return std::nullopt;
  const DiskTicket ticket = written.front();
  written.pop_front();
  if (const auto label = labels_.find(ticket); label != labels_.end()) {
    std::erase_if(values, [&](const auto& one) {
      if (one.second.number > label->second.up_to) return false;
      return label->second.session ? protocol::session_in(one.first) == label->second.session : carries(one.second, label->second);
    });
    labels_.erase(label);
  }
  return DiskWritten{ticket, outcome};
}

bool FakeDisk::has_upstreams(const DiskValue& value) const {
  return std::all_of(value.upstreams.begin(), value.upstreams.end(), [&](const DiskUpstream& upstream) {
    const auto found = values.find(upstream.key);
    return found != values.end() && DiskIdentity{found->second.value.epoch, found->second.value.version} == upstream.identity;
  });
}

bool FakeDisk::carries(const Stored& stored, const Dropped& label) {
  switch (label.kind) {
    case Label::everything: return true;
    case Label::function: return stored.function == label.name;
    case Label::family: return stored.family == label.name;
    case Label::tag: break;
  }
  return std::count(stored.value.tags.begin(), stored.value.tags.end(), label.name) > 0;
}

std::optional<DiskValue> FakeDisk::aged(DiskValue value) const {
  value.age_ms = later_ms;
  if (value.life.fresh_ms == protocol::as_configured) return value;
  const std::uint64_t over = later_ms - std::min(later_ms, value.life.fresh_ms);
  if (over > 0 && over >= value.life.grace_ms) return std::nullopt;
  value.life.fresh_ms -= std::min(value.life.fresh_ms, later_ms);
  if (value.life.fresh_ms == 0) value.life.grace_ms -= static_cast<std::uint32_t>(over);
  return value;
}

DiskScene::DiskScene(FakeDisk& its_disk, std::uint64_t epoch) : DiskScene(its_disk, with_epoch(epoch)) {}

DiskScene::DiskScene(FakeDisk& its_disk, Settings its_settings) : Scene(std::move(its_settings), &its_disk), disk(its_disk) {}

DiskScene::~DiskScene() = default;

Settings DiskScene::with_epoch(std::uint64_t epoch) {
  Settings settings;
  settings.epoch = epoch;
  return settings;
}

void DiskScene::deliver() {
  for (bool any = true; any;) {
    any = false;
    while (const auto event = disk.next_written()) {
      step(*event);
      any = true;
    }
    any = deliver_loads() || any;
  }
}

bool DiskScene::deliver_loads() {
  bool any = false;
  while (!disk.loaded.empty()) {
    DiskLoaded event = std::move(disk.loaded.front());
    disk.loaded.pop_front();
    step(std::move(event));
    any = true;
  }
  return any;
}

void DiskScene::deliver_written() {
  while (const auto event = disk.next_written()) step(*event);
}

void DiskScene::evict() {
  REQUIRE(store.records.size() == 1);
  store.records_max = 1;
  put(admin, key_of("filler", ++last_filler), "filler");
  store.records_max = 1000;
}

protocol::Acquire DiskScene::get(const std::string& key) const { return protocol::Acquire{.key = key, .may_compute = false, .wait_ms = 0, .held = {}}; }

bool DiskScene::says(const std::string& key, const std::string& line) {
  const auto lines = take<protocol::Explanation>(admin, ask(admin, protocol::Explain{key})).lines;
  return std::any_of(lines.begin(), lines.end(), [&](const std::string& one) { return one.find(line) != std::string::npos; });
}

bool DiskScene::tell_sessions() {
  if (disk.with_sessions) step(disk.found());
  return disk.with_sessions;
}

}  // namespace onced::engine
