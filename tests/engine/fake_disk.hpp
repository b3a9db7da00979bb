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

// Of one function.
inline const std::string disk_key = key_of("chart", 1), other_disk_key = key_of("chart", 2);

class FakeDisk : public DiskTier {
 public:
  FakeDisk();
  ~FakeDisk() override;

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

  void put(DiskTicket ticket, const DiskImage& image, std::shared_ptr<const std::vector<protocol::Part>> parts, bool) override;
  void drop(DiskTicket ticket, std::string_view key) override;
  void drop_label(DiskTicket ticket, Label kind, std::string_view name) override;
  bool may_have(std::string_view key) const override;
  bool load(DiskTicket ticket, std::string_view key) override;
  void set_merit(std::string_view key, float merit) override;
  bool keeps_sessions() const override;
  void keep_session(DiskTicket ticket, const DiskSession& session) override;
  void use_session(std::uint64_t number) override;
  void end_session(DiskTicket ticket, std::uint64_t number) override;
  void drop_in_session(DiskTicket ticket, std::uint64_t number) override;
  // After `later_ms`, as DiskTier's first event brings them.
  SessionsFound found() const;
  Usage usage() const override;
  protocol::DiskReport report(protocol::DiskAction) override;

  std::optional<DiskWritten> next_written();

 private:
  bool has_upstreams(const DiskValue& value) const;
  struct Dropped {
    Label kind;
    std::string name;
    std::uint64_t up_to;
    std::optional<std::uint64_t> session{};
  };
  static bool carries(const Stored& stored, const Dropped& label);
  std::optional<DiskValue> aged(DiskValue value) const;
  std::map<DiskTicket, Dropped> labels_;
  std::uint64_t last_number_ = 0;
};

struct DiskScene : Scene {
  explicit DiskScene(FakeDisk& its_disk, std::uint64_t epoch = 7);
  DiskScene(FakeDisk& its_disk, Settings its_settings);
  ~DiskScene();
  static Settings with_epoch(std::uint64_t epoch);

  // Everything that the disk has under way comes to its end.
  void deliver();
  bool deliver_loads();
  void deliver_written();
  // Memory loses its only value; the disk does not.
  void evict();
  protocol::Acquire get(const std::string& key) const;
  bool says(const std::string& key, const std::string& line);

  // The first event.
  bool tell_sessions();

  FakeDisk& disk;
  const bool told = tell_sessions();
  ConnectionId a = connect("pid 1 (a)"), b = connect("pid 2 (b)"), admin = connect("pid 9 (oncectl)");
  int last_filler = 0;
};

// With a value that memory has lost and the disk has.
struct OnDisk : DiskScene {
  OnDisk(FakeDisk& its_disk, const std::string& key) : DiskScene(its_disk) {
    put(a, key, "of before");
    evict();
  }
};

inline protocol::Put tagged(const std::string& of, const std::string& bytes, std::vector<std::string> tags) {
  return {of, Scene::value(bytes), {.ttl_ms = 0, .tags = std::move(tags)}};
}

}  // namespace onced::engine
