#include "schedule.hpp"

#include <map>
#include <unordered_map>
#include <utility>

#include <onced/protocol/key.hpp>

namespace onced::simulation {

using namespace std::chrono_literals;

const std::vector<std::string>& all_functions() {
  static const std::vector<std::string> functions{"f0", "f1", "f2"};
  return functions;
}

const std::vector<std::string>& all_keys() {
  static const std::vector<std::string> keys = [] {
    std::vector<std::string> made;
    for (int number = 0; number < 4; ++number)
      for (const std::string& function : all_functions())
        made.emplace_back(KeyBuilder(function, number % 2 == 0 ? "" : "v2").add(number / 2).build().value().bytes());
    return made;
  }();
  return keys;
}

// Checks ask for these two at every step, of few keys.
const std::string& key_in_session(std::uint64_t number, std::uint64_t which) {
  static std::map<std::pair<std::uint64_t, std::uint64_t>, std::string> known;
  const auto [at, made] = known.try_emplace({number, which});
  if (made) at->second = KeyBuilder(all_functions()[which % 2], {}, number).add(which / 2).build().value().bytes();
  return at->second;
}

const std::string& function_of_key(const std::string& key) {
  static std::unordered_map<std::string, std::string> known;
  const auto [at, made] = known.try_emplace(key);
  if (made) at->second = Key::parse(key).value().function();
  return at->second;
}

const std::vector<std::string>& all_tags() {
  static const std::vector<std::string> tags{"t0", "t1", "t2"};
  return tags;
}

std::string name_of_key(const std::string& key) { return Key::parse(key).value().display(); }

Profile::Profile(Random& random) {
  keys = random.between(1, 6);
  processes = random.between(2, 5);
  threads = random.between(1, 3);
  steps = random.between(10, 220);
  small_arena = random.percent(12);
  nested = random.percent(60);
  kill_percent = random.percent(50) ? random.between(0, 6) : 0;
  stall_percent = random.percent(50) ? random.between(0, 12) : 0;
  late_tick_percent = random.percent(50) ? 30 : 0;
  subscribe_percent = random.between(0, 20);
  disturb_percent = random.percent(60) ? random.between(0, 25) : 0;
  blob_percent = random.percent(60) ? random.between(1, 25) : 0;
  accept_stale_percent = random.percent(60) ? random.between(30, 90) : 0;
  tag_percent = random.percent(50) ? random.between(20, 70) : 0;
  blobs_max = random.percent(15) ? 3 : 1024;
  settings.blob_bytes_max = random.percent(40) ? random.between(20'000, 100'000) : 1 << 30;
  if (random.percent(10)) settings.part_bytes_max = 10'000;
  delay_us_max = random.percent(70) ? 2000 : 400'000;
  settings.epoch = random.next() | 1U;
  settings.daemon_version = "simulated";
  settings.daemon_pid = 1;
  settings.holder_deaths_max = random.percent(30) ? 2 : 3;
  settings.holder_deaths_memory = std::chrono::milliseconds(random.between(50, 5000));
  settings.retention.all.failure_ttl_ms = random.between(0, 3000);
  if (random.percent(30)) settings.retention.all.ttl_ms = random.between(1, 1500);
  if (random.percent(30)) settings.retention.all.grace_ms = random.between(1, 1500);
  if (random.percent(30)) settings.retention.all.refresh_ahead_permille = random.between(1, 1000);
  if (random.percent(30)) settings.retention.functions["f1"] = {.ttl_ms = random.percent(50) ? 0 : random.between(1, 400), .grace_ms = 100};
  settings.waiters_per_key_max = random.percent(10) ? 2 : 1000;
  settings.subscriptions_per_connection_max = 3;
  settings.signals_queued_per_subscription_max = random.between(24, 32);  // one step makes fewer changes
  settings.invalidated_per_step_max = random.percent(60) ? random.between(1, 3) : 256;
  settings.signal_history = random.between(4, 40);
  const std::uint64_t limited_percent = random.percent(40) ? random.between(20, 100) : 0;
  for (const std::string& function : all_functions())
    if (random.percent(limited_percent)) settings.max_concurrent[function] = random.between(1, random.percent(50) ? 1 : 3);
  background_percent = random.percent(50) ? random.between(10, 70) : 0;
  relimit_percent = random.percent(25) ? random.between(1, 6) : 0;
  retire_older_percent = random.percent(40) ? random.between(20, 70) : 0;
  session_percent = random.percent(50) ? random.between(10, 60) : 0;
  session_request_percent = session_percent / 2;
  engine::SessionSettings& sessions = settings.sessions;
  sessions.idle_ttl = std::chrono::milliseconds(random.percent(40) ? random.between(100, 3000) : 0);
  sessions.absolute_ttl = std::chrono::milliseconds(random.percent(30) ? random.between(100, 6000) : 0);
  if (random.percent(40)) sessions.entries_max = random.between(1, 3);
  if (random.percent(40)) sessions.sessions_max = random.between(1, 3);
  dependency_percent = session_percent == 0 && random.percent(80) ? random.between(20, 80) : 0;
  if (dependency_percent > 0 && random.percent(10)) settings.dependency_edges_max = random.between(1, 12);
  tie_sessions(random);
  put_on_disk(random);
  keep_sessions(random);
  put_blobs_on_disk(random);
  limit_functions(random);
}

// Values that depend on a session's and outlive it. By lots of its own, so that other schedules are what they were.
void Profile::tie_sessions(Random random) {
  Random lots(random.next() ^ 0x71e5ULL);
  if (session_percent == 0 || !lots.percent(60)) return;
  dependency_percent = lots.between(20, 80);
  if (lots.percent(10)) settings.dependency_edges_max = lots.between(1, 12);
}

// By lots of its own, so that schedules without a disk are what they were. Values come back from it mostly when they do not fit into memory.
void Profile::put_on_disk(Random random) {
  disk = Random(random.next()).percent(25);
  if (!disk) return;
  small_arena = random.percent(70);
  if (small_arena) keys = random.between(4, 6);
  if (random.percent(50)) disturb_percent = random.between(10, 40);
  if (random.percent(50)) tag_percent = random.between(20, 70);
  if (random.percent(50)) {  // two versions of a function
    keys = random.between(4, 6);
    retire_older_percent = random.between(20, 70);
  }
  durable_percent = random.percent(60) ? random.between(5, 60) : 0;
  restart_percent = random.percent(40) ? random.between(1, 4) : 0;
  if (!random.percent(40)) return;
  // Values that were computed from others come back: what else there may be on a disk leaves most of these schedules alone.
  derived_from_disk = true;
  session_percent = session_request_percent = 0;
  dependency_percent = random.between(30, 75);
  calm_disk = random.percent(70);
  keys = random.between(4, 6);
  small_arena = random.percent(80);
  disturb_percent = random.between(0, 12);
  retire_older_percent = random.percent(20) ? random.between(10, 40) : 0;
  restart_percent = random.percent(60) ? random.between(1, 4) : 0;
  steps = random.between(60, 300);
}

// Sessions that go on when the daemon is killed, and whose values come back. By lots of its own.
void Profile::keep_sessions(Random random) {
  Random lots(random.next() ^ 0x5e55ULL);
  if (!disk || (derived_from_disk && !lots.percent(10)) || (session_percent == 0 && !lots.percent(30))) return;
  keeps_sessions = session_percent == 0 || lots.percent(90);
  if (session_percent != 0 && !lots.percent(75)) return;
  session_percent = lots.between(40, 80);
  session_request_percent = lots.between(3, 12);
  settings.sessions.idle_ttl = std::chrono::milliseconds(lots.percent(50) ? 0 : lots.between(1'000, 20'000));
  settings.sessions.absolute_ttl = std::chrono::milliseconds(lots.percent(60) ? 0 : lots.between(2'000, 20'000));
  if (lots.percent(70)) settings.sessions.sessions_max = lots.between(1, 4);
  if (lots.percent(70)) settings.sessions.entries_max = keys_per_session;
  keys = lots.between(1, 3);
  kill_percent = lots.between(0, 2);
  dependency_percent = lots.percent(30) ? lots.between(20, 60) : 0;
  calm_disk = calm_disk || lots.percent(30);
  small_arena = lots.percent(75);
  disturb_percent = lots.between(0, 15);
  restart_percent = lots.percent(80) ? lots.between(1, 4) : 0;
  steps = lots.between(80, 300);
}

// Values in blobs that come back in others. By lots of its own.
void Profile::put_blobs_on_disk(Random random) {
  if (!disk) return;
  Random lots(random.next() ^ 0xb10bULL);
  blob_percent = lots.percent(derived_from_disk ? 15 : 50) ? lots.between(10, 40) : 0;
  if (blob_percent == 0) return;
  small_arena = lots.percent(35);
  settings.blob_bytes_max = lots.percent(75) ? lots.between(30'000, 120'000) : 1 << 30;
  blobs_max = lots.percent(15) ? 3 : 1024;
}

// What the values of a function may have. By lots of its own.
void Profile::limit_functions(Random random) {
  Random lots(random.next() ^ 0x6c1aULL);
  if (!lots.percent(25)) return;
  for (const std::string& function : all_functions())
    if (lots.percent(60)) settings.function_bytes_max[function] = function_bytes(lots);
  if (lots.percent(30)) relimit_bytes_percent = lots.between(1, 6);
}

std::uint64_t Profile::function_bytes(Random& lots) const {
  if (small_arena) return lots.between(40'000, 150'000);
  return lots.between(60, lots.percent(70) ? 500 : 60'000);
}

}  // namespace onced::simulation
