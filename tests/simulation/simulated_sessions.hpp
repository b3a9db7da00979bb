// The sessions of the simulated disk: what daemon/disk/DISK.md promises of them, and nothing beyond.
//
//   - What is asked for holds in memory at once; it is written later, or fails. What is written behind a failure takes along all that has failed.
//   - A crash leaves of each session one of the states since the one that is stable, and none of its values that was put behind that state: a session's
//     values and what was told of it survive in the order of the calls.
//   - A new daemon is not told of those whose time is over. It gives each half its idle time, for what the disk does not know of its uses.
//   - A number whose session was never written may be given again.
//
// Orders are those of the disk's operations. Generation 0: the session has ended.
#pragma once

#include <cstdint>
#include <limits>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "engine/disk_tier.hpp"
#include "schedule.hpp"

namespace onced::simulation {

class SimulatedSessions {
 public:
  struct Facts {
    std::uint64_t number = 0;
    std::uint64_t generation = 0;
    std::string digest;
    Time made{};
    Time used{};
    Duration idle_ttl{};
    std::optional<Time> end{};
  };

  void keep(std::uint64_t order, const engine::DiskSession& session, Time now);
  void use(std::uint64_t order, std::uint64_t number, Time now);
  void end(std::uint64_t order, std::uint64_t number);
  // Of the operation with this order, or of a value of the session.
  void is_written(std::uint64_t number, std::uint64_t order);
  void has_failed(std::uint64_t number, std::uint64_t order);
  // Somebody is told so.
  void note_failure(std::uint64_t number, std::uint64_t generation) { failures_.insert({number, generation}); }
  // Something was written: what had failed before is on the disk by now.
  void works();

  // Values can be read and written in it.
  bool has(std::uint64_t number) const { return live(number) != nullptr; }
  // After the crash: nothing of the session that was asked for from this order on is left.
  void crash(Random& random);
  std::uint64_t cut_of(std::uint64_t number) const;
  // Those that are over are gone.
  engine::SessionsFound found(Time now);

  // For the model -------------------------------------------------------------------------------------------------------
  std::vector<Facts> alive() const;
  // As they were told, in the order of the calls, by the present daemon.
  const std::vector<Facts>& kept() const { return kept_; }
  // A crash may bring the session back, as it was before it had this generation or as if it had never begun; of generation 0: at all.
  bool may_go_back(std::uint64_t number, std::uint64_t generation) const;
  // A crash may bring back a value that was put with this order.
  bool may_bring(std::uint64_t number, std::uint64_t order) const;
  bool was_failure(std::uint64_t number, std::uint64_t generation) const { return failures_.contains({number, generation}); }

 private:
  static constexpr std::uint64_t last_order = std::numeric_limits<std::uint64_t>::max();
  struct Change {
    std::uint64_t order = 0;
    Facts facts;
    bool failed = false;
  };
  // The first change is stable if `has_stable`, the others are not. The last one is what holds in memory.
  struct Session {
    bool has_stable = false;
    std::vector<Change> changes;
  };

  const Facts* live(std::uint64_t number) const;
  void settle(std::uint64_t number, Session& session, std::size_t up_to);

  std::map<std::uint64_t, Session> sessions_;  // but those whose end is stable
  std::uint64_t numbers_below_ = 1;
  std::vector<Facts> kept_;
  std::set<std::pair<std::uint64_t, std::uint64_t>> failures_;  // numbers and generations
  std::map<std::uint64_t, std::uint64_t> cuts_;                 // of the latest crash
};

}  // namespace onced::simulation
