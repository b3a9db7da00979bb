// One schedule: what is drawn from its seed before it begins, and what every part of it shares.
#pragma once

#include <cstdint>
#include <cstdio>
#include <stdexcept>
#include <string>
#include <vector>

#include "engine/engine.hpp"
#include "random.hpp"

namespace onced::simulation {

using engine::Duration;
using engine::Time;

// The engine did what the laws forbid, or not what they demand.
struct Violation : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// The keys of all schedules: three functions of four keys, which are two versions of two.
const std::vector<std::string>& all_keys();
const std::vector<std::string>& all_functions();
const std::vector<std::string>& all_tags();
// Those of a session.
constexpr std::uint64_t keys_per_session = 4;
const std::string& key_in_session(std::uint64_t number, std::uint64_t which);
const std::string& function_of_key(const std::string& key);
// "f0(2)" for traces.
std::string name_of_key(const std::string& key);

struct Profile {
  explicit Profile(Random& random);
  std::size_t keys = 4;
  std::size_t processes = 3;
  std::size_t threads = 2;
  std::size_t steps = 60;         // what all threads decide to do, before everything runs to its end
  bool small_arena = false;       // values that do not all fit, pins that block
  bool nested = true;
  std::uint64_t kill_percent = 2;
  std::uint64_t stall_percent = 3;
  std::uint64_t late_tick_percent = 10;
  std::uint64_t subscribe_percent = 10;
  std::uint64_t disturb_percent = 10;  // invalidate, cancel, put
  std::uint64_t blob_percent = 10;     // reserve
  std::uint64_t accept_stale_percent = 50;
  std::uint64_t tag_percent = 40;
  std::uint64_t background_percent = 0;
  std::uint64_t relimit_percent = 0;  // another limit of a function
  std::uint64_t relimit_bytes_percent = 0;  // the same of what its values may have
  std::uint64_t retire_older_percent = 20;
  std::uint64_t session_percent = 0;   // of what is done: in a session
  std::uint64_t session_request_percent = 0;  // about one: begun, opened, ended
  std::uint64_t dependency_percent = 40;
  std::uint64_t foreign_held_percent = 0;  // of requests: they claim a lease of somebody else
  bool reserves_early = false;  // a large share of the budget, as soon as there is something to compute
  std::size_t blobs_max = 1024;
  bool disk = false;                   // values are kept on disk
  bool calm_disk = false;              // which works, and fast
  bool derived_from_disk = false;  // values that were computed from others are what comes back mostly
  bool keeps_sessions = false;         // on that disk
  std::uint64_t durable_percent = 0;
  std::uint64_t restart_percent = 0;   // of what is done: the daemon is killed
  std::uint64_t delay_us_max = 2000;
  engine::Settings settings;
  std::uint64_t function_bytes(Random& lots) const;  // for function_bytes_max

 private:
  void tie_sessions(Random random);
  void put_on_disk(Random random);
  void keep_sessions(Random random);
  void put_blobs_on_disk(Random random);
  void limit_functions(Random random);
};

struct Schedule {
  explicit Schedule(std::uint64_t seed_, bool trace_) : seed(seed_), tracing(trace_), random(seed_), profile(random) {
    // Not drawn, so that other schedules stay as they were.
    if (seed % 8 == 3) profile.foreign_held_percent = 20;
    if (seed % 8 == 5 && profile.blob_percent > 0) {
      profile.reserves_early = true;
      profile.settings.blob_bytes_max = 40'000 + seed % 7 * 10'000;
    }
  }
  std::uint64_t seed;
  bool tracing;
  Random random;
  Profile profile;
  Time now{};

  // `say` makes a line; only a replay pays for it.
  template <typename Say>
  void trace(Say say) const {
    if (tracing) std::printf("%12.6f  %s\n", static_cast<double>(now.count()) / 1e9, std::string(say()).c_str());
  }
};

}  // namespace onced::simulation
