// A disk tier that keeps what engine/disk_tier.hpp promises and nothing beyond: whatever the contract leaves open is drawn by lot, and most often
// drawn so that it hurts.
//
//   - Each operation ends at some later time, in no order. A load finds its key as it was when it was called, or as it is when it ends.
//   - A value that was computed from others is found while each of these is, as it was then, by the same lots.
//   - A label drop that is not written yet is mostly not seen by loads that begin before it is.
//   - Values vanish, some of them until the daemon is killed only, puts are refused, for some time everything fails, load() has no room, may_have() says yes of keys that it has not.
//   - Each part in a blob comes back in a blob of its own, which begins with it; now and then there is no memory for them.
//   - crash(): what was not acknowledged is there or not.
//   - Sessions are kept, unless the schedule says otherwise (simulated_sessions.hpp), and their values are there as long as they are.
//
// Per key: the changes in the order of their calls, the oldest first. What is written takes all values before it away for good.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "blob_contents.hpp"
#include "engine/disk_tier.hpp"
#include "memory/memfd_blob_store.hpp"
#include "schedule.hpp"
#include "simulated_sessions.hpp"

namespace onced::simulation {

class SimulatedDisk final : public engine::DiskTier {
 public:
  struct Copy {
    std::uint64_t epoch = 0;
    std::uint64_t version = 0;
    std::uint64_t fresh_until_ms = 0;  // by the time word
    std::uint32_t early_ms = 0;
    std::uint32_t grace_ms = 0;
    Time stored{};
    std::uint64_t cost_us = 0;
    bool was_put = false;
    std::string origin;
    std::vector<std::string> tags;
    std::string family;
    std::string function;
    std::vector<protocol::Part> parts;  // in place of blobs: contents
    std::string text;                   // of all of them
    std::vector<engine::DiskUpstream> upstreams;
    std::uint64_t session = 0;  // 0: none
  };
  // A time at which something is to be done, and the event that it comes to.
  using After = std::function<void(engine::Duration, std::function<void()>)>;
  using Deliver = std::function<void(engine::Event)>;

  SimulatedDisk(Schedule& schedule, BlobContents& contents, After after, Deliver deliver);
  // For the daemon that begins now.
  void attach(memory::MemfdBlobStore& blobs) { blobs_ = &blobs; }

  void put(engine::DiskTicket ticket, const engine::DiskImage& image, std::shared_ptr<const std::vector<protocol::Part>> parts, bool durable) override;
  void drop(engine::DiskTicket ticket, std::string_view key) override;
  void drop_label(engine::DiskTicket ticket, Label kind, std::string_view name) override;
  bool may_have(std::string_view key) const override;
  bool load(engine::DiskTicket ticket, std::string_view key) override;
  void set_merit(std::string_view, float) override {}
  bool keeps_sessions() const override { return schedule_.profile.keeps_sessions; }
  void keep_session(engine::DiskTicket ticket, const engine::DiskSession& session) override;
  void use_session(std::uint64_t number) override;
  void end_session(engine::DiskTicket ticket, std::uint64_t number) override;
  void drop_in_session(engine::DiskTicket ticket, std::uint64_t number) override;
  Usage usage() const override;
  protocol::DiskReport report(protocol::DiskAction) override { return {}; }

  // For the model -------------------------------------------------------------------------------------------------------
  // Of what was brought last, with the blobs that it got; nothing: there was no place for them.
  const std::optional<std::vector<protocol::Part>>& placed() const { return placed_; }
  // Of the load that has just ended.
  const std::string& key_of_load() const { return key_of_load_; }
  bool was_wanted() const { return was_wanted_; }
  bool is_loading(const std::string& key) const;
  // From here on nobody waits for the loads of this key that are under way.
  void loads_are_over(const std::string& key);
  bool labels_are_open() const { return labels_open_ != 0; }
  // What would be found of the key if the daemon were killed now: one of these, or nothing.
  std::vector<const Copy*> survivors(const std::string& key) const;
  std::vector<std::string> keys() const;
  bool is_durable(const std::string& key, std::uint64_t epoch, std::uint64_t version) const { return durable_.contains({key, epoch, version}); }
  bool has_failed() const { return failures_ != 0; }
  std::uint64_t puts() const { return puts_; }
  const Copy& last_put() const { return last_put_; }
  const SimulatedSessions& sessions() const { return sessions_; }

  // The daemon is killed.
  void crash();
  // What the next one is to know first, where sessions are kept.
  engine::SessionsFound found();

 private:
  enum class Kind : std::uint8_t { put, drop, label };
  // What a label drop means.
  struct Meant {
    Label kind{};
    std::string name{};
    std::uint64_t session = 0;  // not 0: all in this one, and nothing else counts
  };
  struct Change {
    std::uint64_t order = 0;
    Kind kind = Kind::put;
    std::optional<Copy> value{};
    bool written = false;
    bool failed = false;
    bool hidden = false;  // not found, and not gone: as what was evicted, which a crash may bring back
    Meant meant{};
  };
  struct Load {
    std::string key;
    std::optional<Copy> found;
    bool wanted = true;
  };

  engine::Duration delay();
  bool fails();
  void later(std::function<void()> action);
  static bool carries(const Copy& copy, const Meant& meant);
  const Copy* view(const std::string& key);
  const Copy* view_alone(const std::string& key);
  bool is_over(const Copy& copy) const;
  Change* change_at(const std::string& key, std::uint64_t order);
  void put_ends(const std::string& key, std::uint64_t order, engine::DiskTicket ticket, bool durable, std::uint64_t epoch, std::uint64_t version);
  void drop_ends(const std::string& key, std::uint64_t order, engine::DiskTicket ticket);
  void drop_all(engine::DiskTicket ticket, Meant meant);
  void label_ends(std::uint64_t order, const Meant& meant, engine::DiskTicket ticket);
  void told_of_session(std::uint64_t number, std::uint64_t generation, engine::DiskTicket ticket);
  // Of a key's operation: it is on stable storage, and what comes before it in its session.
  void is_written(const std::string& key, std::uint64_t order);
  bool is_of_ended_session(const std::string& key) const;
  void load_ends(engine::DiskTicket ticket);
  // What a load brings: there is memory for it, and places when the engine has made room.
  class Brought final : public engine::BroughtParts {
   public:
    Brought(SimulatedDisk& disk, std::vector<protocol::Part> contents, std::size_t blobs) : disk_(disk), contents_(std::move(contents)), blobs_(blobs) {}
    std::size_t blobs() const override { return blobs_; }
    Result<void> place(std::vector<protocol::Part>& parts) override;

   private:
    SimulatedDisk& disk_;
    std::vector<protocol::Part> contents_;
    std::size_t blobs_;
  };
  static std::size_t blobs_in(const std::vector<protocol::Part>& parts);
  bool has_memory_for(std::size_t blobs);
  std::vector<engine::BlobId> make_blobs(std::vector<protocol::Part>& parts);
  void forget_written(const std::string& key);
  void tell(engine::DiskTicket ticket, engine::DiskOutcome outcome);

  Schedule& schedule_;
  BlobContents& contents_;
  memory::MemfdBlobStore* blobs_ = nullptr;
  Random random_;
  After after_;
  Deliver deliver_;
  std::uint64_t vanish_percent_;
  std::uint64_t refuse_percent_;
  std::uint64_t busy_percent_;
  std::uint64_t hang_percent_;
  std::uint64_t no_memory_percent_;
  bool degrades_;
  std::uint64_t delay_us_max_;
  bool failing_ = false;
  Time until_{};                                   // failing_ lasts, or does not begin
  std::uint64_t life_ = 0;                         // of the daemon; what an earlier one began is over
  std::uint64_t last_order_ = 0;
  std::map<std::string, std::vector<Change>> keys_;
  std::map<engine::DiskTicket, Load> loads_;
  std::string key_of_load_;
  bool was_wanted_ = false;
  std::optional<std::vector<protocol::Part>> placed_;
  std::size_t labels_open_ = 0;
  std::set<std::tuple<std::string, std::uint64_t, std::uint64_t>> durable_;
  std::uint64_t failures_ = 0;
  std::uint64_t puts_ = 0;
  Copy last_put_;
  SimulatedSessions sessions_;
};

}  // namespace onced::simulation
