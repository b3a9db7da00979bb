// A disk tier of maps: what is asked of it happens when the test says so, as late as the contract allows.
#pragma once

#include <algorithm>
#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include <onced/protocol/session.hpp>

#include "engine/disk_tier.hpp"
#include "engine/key_fields.hpp"
#include "scene.hpp"

namespace onced::engine {

class FakeDisk : public DiskTier {
 public:
  // What a test sets --------------------------------------------------------------------------------------------------
  DiskOutcome outcome = DiskOutcome::done;  // of what is delivered from now on
  bool takes_loads = true;
  bool with_sessions = false;               // it keeps them
  std::uint64_t later_ms = 0;               // what its clock says more than when values were put
  std::string problem;                      // loads bring this

  // What a test looks at ----------------------------------------------------------------------------------------------
  struct Stored {
    DiskValue value;
    std::string function;
    std::string family;
    std::uint64_t number = 0;
  };
  std::map<std::string, Stored, std::less<>> values;
  std::map<std::string, float> merits;
  std::deque<DiskTicket> written;  // to be told
  std::deque<DiskLoaded> loaded;   // likewise
  std::size_t loads = 0;
  std::map<std::uint64_t, DiskSession> sessions;
  std::uint64_t session_numbers = 0;  // above all that were kept
  std::size_t uses = 0;               // that it was told

  void put(DiskTicket ticket, const DiskImage& image, std::shared_ptr<const std::vector<protocol::Part>> parts, bool) override {
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
  void drop(DiskTicket ticket, std::string_view key) override {
    values.erase(std::string(key));
    written.push_back(ticket);
  }
  void drop_label(DiskTicket ticket, Label kind, std::string_view name) override {
    labels_[ticket] = {kind, std::string(name), last_number_, {}};
    written.push_back(ticket);
  }
  bool may_have(std::string_view key) const override { return values.contains(key); }
  bool load(DiskTicket ticket, std::string_view key) override {
    if (!takes_loads) return false;
    ++loads;
    DiskLoaded event{.ticket = ticket, .value = {}, .problem = problem};
    if (const auto found = values.find(key); found != values.end() && !has_upstreams(found->second.value)) values.erase(found);
    else if (found != values.end() && problem.empty()) event.value = aged(found->second.value);
    loaded.push_back(std::move(event));
    return true;
  }
  void set_merit(std::string_view key, float merit) override { merits[std::string(key)] = merit; }
  bool keeps_sessions() const override { return with_sessions; }
  void keep_session(DiskTicket ticket, const DiskSession& session) override {
    sessions[session.number] = session;
    session_numbers = std::max(session_numbers, session.number + 1);
    written.push_back(ticket);
  }
  void use_session(std::uint64_t number) override {
    ++uses;
    if (const auto found = sessions.find(number); found != sessions.end()) found->second.idle_for_ms = 0;
  }
  void end_session(DiskTicket ticket, std::uint64_t number) override {
    sessions.erase(number);
    std::erase_if(values, [&](const auto& one) { return protocol::session_in(one.first) == number; });
    written.push_back(ticket);
  }
  void drop_in_session(DiskTicket ticket, std::uint64_t number) override {
    labels_[ticket] = {Label::everything, {}, last_number_, number};
    written.push_back(ticket);
  }
  // After `later_ms`, as DiskTier's first event brings them.
  SessionsFound found() const {
    SessionsFound found{.sessions = {}, .numbers_from = session_numbers};
    for (auto [number, session] : sessions) {
      session.age_ms += later_ms;
      session.idle_for_ms += later_ms;
      if (session.left_ms != protocol::as_configured) session.left_ms -= std::min(session.left_ms, later_ms);
      found.sessions.push_back(session);
    }
    return found;
  }
  Usage usage() const override { return {.values = values.size()}; }
  protocol::DiskReport report(protocol::DiskAction) override { return {{{"values", std::uint64_t{values.size()}}}}; }

  std::optional<DiskWritten> next_written() {
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

 private:
  bool has_upstreams(const DiskValue& value) const {
    return std::all_of(value.upstreams.begin(), value.upstreams.end(), [&](const DiskUpstream& upstream) {
      const auto found = values.find(upstream.key);
      return found != values.end() && DiskIdentity{found->second.value.epoch, found->second.value.version} == upstream.identity;
    });
  }
  struct Dropped {
    Label kind;
    std::string name;
    std::uint64_t up_to;
    std::optional<std::uint64_t> session{};
  };
  static bool carries(const Stored& stored, const Dropped& label) {
    switch (label.kind) {
      case Label::everything: return true;
      case Label::function: return stored.function == label.name;
      case Label::family: return stored.family == label.name;
      case Label::tag: break;
    }
    return std::count(stored.value.tags.begin(), stored.value.tags.end(), label.name) > 0;
  }
  std::optional<DiskValue> aged(DiskValue value) const {
    value.age_ms = later_ms;
    if (value.life.fresh_ms == protocol::as_configured) return value;
    const std::uint64_t over = later_ms - std::min(later_ms, value.life.fresh_ms);
    if (over > 0 && over >= value.life.grace_ms) return std::nullopt;
    value.life.fresh_ms -= std::min(value.life.fresh_ms, later_ms);
    if (value.life.fresh_ms == 0) value.life.grace_ms -= static_cast<std::uint32_t>(over);
    return value;
  }
  std::map<DiskTicket, Dropped> labels_;
  std::uint64_t last_number_ = 0;
};

struct DiskScene : Scene {
  explicit DiskScene(FakeDisk& its_disk, std::uint64_t epoch = 7) : DiskScene(its_disk, with_epoch(epoch)) {}
  DiskScene(FakeDisk& its_disk, Settings its_settings) : Scene(std::move(its_settings), &its_disk), disk(its_disk) {}
  static Settings with_epoch(std::uint64_t epoch) {
    Settings settings;
    settings.epoch = epoch;
    return settings;
  }

  // Everything that the disk has under way comes to its end.
  void deliver() {
    for (bool any = true; any;) {
      any = false;
      while (const auto event = disk.next_written()) {
        step(*event);
        any = true;
      }
      any = deliver_loads() || any;
    }
  }
  bool deliver_loads() {
    bool any = false;
    while (!disk.loaded.empty()) {
      DiskLoaded event = std::move(disk.loaded.front());
      disk.loaded.pop_front();
      step(std::move(event));
      any = true;
    }
    return any;
  }
  void deliver_written() {
    while (const auto event = disk.next_written()) step(*event);
  }
  // Memory loses its only value; the disk does not.
  void evict() {
    REQUIRE(store.records.size() == 1);
    store.records_max = 1;
    put(admin, key_of("filler", ++last_filler), "filler");
    store.records_max = 1000;
  }
  protocol::Acquire get(const std::string& key) const { return protocol::Acquire{.key = key, .may_compute = false, .wait_ms = 0, .held = {}}; }
  bool says(const std::string& key, const std::string& line) {
    const auto lines = take<protocol::Explanation>(admin, ask(admin, protocol::Explain{key})).lines;
    return std::any_of(lines.begin(), lines.end(), [&](const std::string& one) { return one.find(line) != std::string::npos; });
  }

  // The first event.
  bool tell_sessions() {
    if (disk.with_sessions) step(disk.found());
    return disk.with_sessions;
  }

  FakeDisk& disk;
  const bool told = tell_sessions();
  ConnectionId a = connect("pid 1 (a)"), b = connect("pid 2 (b)"), admin = connect("pid 9 (oncectl)");
  int last_filler = 0;
};

}  // namespace onced::engine
