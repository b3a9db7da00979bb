// Sessions on disk, in a real directory: they go on after restarts and kill -9, and of those that ended nothing can be found.
#include <doctest/doctest.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "process/on_disk.hpp"

using namespace onced;
using namespace onced::testing;
using namespace std::chrono_literals;

namespace {

Key key_in(const Session& session, const std::string& text, int number = 0) {
  const auto key = session.key("basket", "v1").add(text).add(number).build();
  REQUIRE(key.ok());
  return *key;
}
std::optional<std::string> text_in(Session& session, const Key& key) {
  const auto found = session.get(key.bytes());
  CAPTURE(found ? std::string() : found.error().text);
  REQUIRE(found.ok());
  if (!*found) return std::nullopt;
  return std::string((*found)->text());
}
Session session_of(Client& client, const std::string& id) {
  auto session = client.session(id);
  REQUIRE_MESSAGE(session.ok(), session.error().text);
  return std::move(*session);
}
bool is_over(Client& client, const std::string& id) {
  const auto session = client.session(id);
  return !session.ok() && session.error().code == ErrorCode::session_ended;
}

// Of all sessions in the file (DISK.md): digests and keys, by number. What a search has to look for.
struct Secrets {
  std::string digest;
  std::string key;
};
std::map<std::uint64_t, Secrets> secrets_in(const std::string& directory) {
  const std::string file = read_file(directory + "/sessions");
  std::map<std::uint64_t, Secrets> found;
  for (std::size_t at = 0; at + 256 <= file.size(); at += 256) {
    if (file.compare(at, 4, "onse") != 0) continue;
    std::uint64_t number = 0;
    std::memcpy(&number, file.data() + at + 16, sizeof(number));
    found[number] = {file.substr(at + 64, 32), file.substr(at + 96, 32)};
  }
  return found;
}
std::string store_of(const OnDisk& disk) { return disk.path() + "/default"; }

}  // namespace

TEST_CASE("sessions go on after a restart and after kill -9, with their values; those that ended stay ended") {
  OnDisk disk;
  std::string kept;
  std::string rotated_from;
  std::string rotated;
  std::string ended;
  std::uint64_t number = 0;
  std::uint64_t ended_number = 0;
  {
    Client client = disk.client();
    auto session = client.new_session();
    REQUIRE(session.ok());
    kept = session->id();
    number = session->number();
    REQUIRE(session->put(key_in(*session, "small").bytes(), value_of(1, 1, small_bytes), durable_put()).ok());
    REQUIRE(session->put(key_in(*session, "large").bytes(), value_of(2, 1, large_bytes), durable_put()).ok());
    auto computed = session->get_or_compute(key_in(*session, "computed"), {.durable = true}, [](Computation&) { return value_of(3, 1, large_bytes); });
    REQUIRE(computed.ok());
    CHECK_FALSE(computed->not_durable().has_value());
    auto other = client.new_session();
    rotated_from = other->id();
    REQUIRE(other->put(key_in(*other, "small").bytes(), value_of(4, 1), durable_put()).ok());
    rotated = other->rotate()->id();
    auto over = client.new_session();
    ended = over->id();
    ended_number = over->number();
    REQUIRE(over->put(key_in(*over, "small").bytes(), value_of(5, 1), durable_put()).ok());
    REQUIRE(over->end().ok());
  }
  for (int round = 0; round < 3; ++round) {
    CAPTURE(round);
    if (round == 1) disk.restart();
    else disk.crash();
    Client client = disk.client();
    CHECK(number_in(client, "sessions") == 2);
    CHECK(number_in(client, "disk_sessions") == 2);
    CHECK(is_over(client, ended));
    CHECK(is_over(client, rotated_from));
    Session session = session_of(client, kept);
    CHECK(session.number() == number);
    CHECK(text_in(session, key_in(session, "small")) == value_of(1, 1, small_bytes));
    CHECK(text_in(session, key_in(session, "large")) == value_of(2, 1, large_bytes));
    CHECK(text_in(session, key_in(session, "computed")) == value_of(3, 1, large_bytes));
    CHECK(session.peek(key_in(session, "small").bytes()).has_value());  // and is in memory from then on
    Session other = session_of(client, rotated);
    CHECK(text_in(other, key_in(other, "small")) == value_of(4, 1));
    auto next = client.new_session();
    REQUIRE(next.ok());
    CHECK(next->number() > ended_number);
    REQUIRE(next->end().ok());
    const auto listed = client.list_sessions();
    REQUIRE(listed.ok());
    CHECK(listed->rows.size() == 2);
    const auto report = client.disk();
    REQUIRE(report.ok());
    CHECK(std::find(report->begin(), report->end(), std::pair<std::string, protocol::Number>{"sessions", std::uint64_t{2}}) != report->end());
  }
}

TEST_CASE("a session that a client has goes on when the daemon has been restarted, if it is kept, and ends there with one that keeps nothing") {
  OnDisk disk;
  Client client = disk.client();
  auto session = client.new_session();
  REQUIRE(session.ok());
  const Key key = key_in(*session, "small");
  REQUIRE(session->put(key.bytes(), value_of(1, 1), durable_put()).ok());
  disk.crash();
  CHECK(text_in(*session, key) == value_of(1, 1));
  CHECK(session->peek(key.bytes()).has_value());
  CHECK(session->touch().ok());
  REQUIRE(session->put(key_in(*session, "more").bytes(), value_of(2, 1), durable_put()).ok());
  CHECK(session->end().ok());
  CHECK(session->get(key.bytes()).error().code == ErrorCode::session_ended);
  disk.crash();
  CHECK(session->get(key.bytes()).error().code == ErrorCode::session_ended);

  DaemonProcess forgetful(DaemonProcess::options({}));
  ClientOptions options = options_for(forgetful.socket());
  options.strict = true;
  Client of_memory(options);
  auto lost = of_memory.new_session();
  REQUIRE(lost.ok());
  const Key other = key_in(*lost, "small");
  REQUIRE(lost->put(other.bytes(), "value").ok());
  forgetful.kill(SIGKILL);
  forgetful.wait();
  forgetful.start();
  CHECK(lost->get(other.bytes()).error().code == ErrorCode::session_ended);
}

TEST_CASE("of a session that has ended, and of one that ended while its value was computed, nothing can be found in any file") {
  OnDisk disk;
  Client client = disk.client();
  const std::string marked_key = "MARKED-ARGUMENT-of-this-user";
  const std::string marked_value = "MARKED-VALUE-of-this-user";
  const std::string marked_large = "MARKED-LARGE-VALUE-of-this-user " + value_of(1, 1, large_bytes);
  const std::string late = "MARKED-LATE-VALUE-of-this-user";
  const std::string open = "FOR-EVERYBODY";
  REQUIRE(client.put(key_named(open).bytes(), open, durable_put()).ok());
  auto session = client.new_session();
  auto bystander = client.new_session();
  REQUIRE((session.ok() && bystander.ok()));
  const std::string id = session->id();
  PutOptions tagged = durable_put();
  tagged.tags = {"MARKED-TAG"};
  REQUIRE(session->put(key_in(*session, marked_key, 1).bytes(), marked_value, tagged).ok());
  REQUIRE(session->put(key_in(*session, marked_key, 2).bytes(), marked_large, durable_put()).ok());
  for (int i = 10; i < 60; ++i) REQUIRE(session->put(key_in(*session, marked_key, i).bytes(), marked_value + std::to_string(i)).ok());
  REQUIRE(bystander->put(key_in(*bystander, marked_key, 1).bytes(), marked_value, durable_put()).ok());
  const auto secrets = secrets_in(store_of(disk));
  REQUIRE(secrets.contains(session->number()));
  const Secrets of_session = secrets.at(session->number());
  CHECK(is_in_a_file_of(disk.path(), of_session.key));  // what the end will have to take away
  CHECK(is_in_a_file_of(disk.path(), of_session.digest));
  CHECK(part_files_in(store_of(disk)) == 1);
  // One computes while another ends the session.
  auto computing = session->get_or_compute(key_in(*session, marked_key, 3), {.durable = true}, [&](Computation&) {
    Client another = disk.client();
    Session same = session_of(another, id);
    CHECK(same.end().ok());
    // From here on, before anything else:
    CHECK_FALSE(is_in_a_file_of(disk.path(), of_session.key));
    CHECK_FALSE(is_in_a_file_of(disk.path(), of_session.digest));
    return late;
  });
  CHECK(part_files_in(store_of(disk)) == 0);
  CHECK(session->put(key_in(*session, marked_key, 4).bytes(), late, durable_put()).error().code == ErrorCode::session_ended);
  const auto search = [&] {
    for (const std::string& text : {marked_key, marked_value, marked_large.substr(0, 30), late, std::string("MARKED"), id, id.substr(0, 12), std::string("basket")}) {
      CAPTURE(text);
      CHECK_FALSE(is_in_a_file_of(disk.path(), text));
    }
    CHECK_FALSE(is_in_a_file_of(disk.path(), of_session.key));
    CHECK_FALSE(is_in_a_file_of(disk.path(), of_session.digest));
    CHECK(is_in_a_file_of(disk.path(), open));  // it would be found
  };
  search();
  disk.crash();
  search();
  Client after = disk.client();
  CHECK(is_over(after, id));
  Session other = session_of(after, bystander->id());
  CHECK(text_in(other, key_in(other, marked_key, 1)) == marked_value);
  search();
  disk.restart();
  search();
}

TEST_CASE("a session whose time was over while no daemon ran is wiped at the start, with its values") {
  OnDisk disk;
  Client client = disk.client();
  auto lasting = client.new_session();
  REQUIRE(lasting.ok());
  for (std::chrono::milliseconds ttl = 500ms; ; ttl *= 2) {  // longer on a machine that is slower
    REQUIRE(ttl < 1min);
    const auto begun = std::chrono::system_clock::now();
    SessionOptions options;
    options.absolute_ttl = ttl;
    auto session = client.new_session(options);
    REQUIRE(session.ok());
    const auto put = session->put(key_in(*session, "k").bytes(), value_of(1, 1, large_bytes), durable_put());
    const auto secrets = secrets_in(store_of(disk));
    disk.daemon().kill(SIGKILL);
    disk.daemon().wait();
    const bool was_there = put.ok() && secrets.contains(session->number()) && is_in_a_file_of(disk.path(), secrets.at(session->number()).key);
    wait_until([&] { return std::chrono::system_clock::now() > begun + ttl + 100ms; }, "the session's time to be over");
    disk.daemon().start();
    if (!was_there) continue;
    const Secrets& of_session = secrets.at(session->number());
    CHECK_FALSE(is_in_a_file_of(disk.path(), of_session.key));  // before anybody has asked for anything
    CHECK_FALSE(is_in_a_file_of(disk.path(), of_session.digest));
    CHECK(part_files_in(store_of(disk)) == 0);
    CHECK(is_over(client, session->id()));
    CHECK(text_in(*lasting, key_in(*lasting, "k")) == std::nullopt);
    break;
  }
}

TEST_CASE("kill -9 with sessions under load, ten times: none comes back, none that was there is missing, every value is whole and its own") {
  OnDisk disk({"--set", "disk.size=256MiB"});
  constexpr int threads = 3;
  constexpr int keys = 4;  // of each session
  struct Known {
    bool over = false;          // its end was answered
    bool may_be_over = false;   // it was asked for
    bool has_old = false;       // its id may be this one, or one that nobody was told
    std::vector<std::set<std::uint64_t>> allowed = std::vector<std::set<std::uint64_t>>(keys, {0});  // versions; 0: none
  };
  std::mutex mutex;
  std::map<std::string, Known> sessions;  // by id
  std::vector<std::string> dead;          // ids that must not open any more
  std::atomic<std::uint64_t> version{0};
  std::uint64_t seed = 4'711;
  std::size_t survived = 0;
  std::size_t ended = 0;
  for (int cycle = 0; cycle < 10; ++cycle) {
    CAPTURE(seed);
    CAPTURE(cycle);
    std::atomic<int> done{0};
    {
      std::vector<std::jthread> writers;
      std::vector<std::vector<std::string>> own(threads);  // each session has one writer
      int next = 0;
      for (const auto& [id, known] : sessions)
        if (!known.over) own[static_cast<std::size_t>(next++ % threads)].push_back(id);
      for (int thread = 0; thread < threads; ++thread) {
        writers.emplace_back([&, thread, mine = own[static_cast<std::size_t>(thread)]]() mutable {
          Client client = disk.client();
          std::minstd_rand random(static_cast<unsigned>(seed + static_cast<std::uint64_t>(cycle * threads + thread)));
          for (;;) {
            const auto kind = random() % 20;
            if (mine.empty() || kind < 2) {
              const auto made = client.new_session();
              if (!made) return;
              const std::lock_guard lock(mutex);
              sessions[made->id()];
              mine.push_back(made->id());
              ++done;
              continue;
            }
            const std::string id = mine[random() % mine.size()];
            auto session = client.session(id);
            if (!session) {
              std::erase(mine, id);
              if (session.error().code == ErrorCode::session_ended) continue;  // looked into after the crash
              return;
            }
            if (kind < 4) {
              {
                const std::lock_guard lock(mutex);
                sessions[id].may_be_over = true;
              }
              if (!session->end()) return;
              const std::lock_guard lock(mutex);
              sessions[id].over = true;
              dead.push_back(id);
              std::erase(mine, id);
              ++ended;
            } else if (kind < 6) {
              {
                const std::lock_guard lock(mutex);
                sessions[id].has_old = true;
              }
              const auto rotated = session->rotate();
              if (!rotated) return;
              const std::lock_guard lock(mutex);
              Known known = sessions[id];
              known.has_old = false;
              sessions.erase(id);
              sessions[rotated->id()] = known;
              dead.push_back(id);
              std::replace(mine.begin(), mine.end(), id, rotated->id());
            } else {
              const int key = static_cast<int>(random() % keys);
              const std::uint64_t its = ++version;
              const bool durable = kind < 12;
              {
                const std::lock_guard lock(mutex);
                auto& may_be = sessions[id].allowed[static_cast<std::size_t>(key)];
                may_be.insert(its);
                if (!durable) may_be.insert(0);
              }
              if (!session->put(key_in(*session, "k", key).bytes(), value_of(key, its), durable ? durable_put() : PutOptions())) return;
              if (!durable) continue;
              const std::lock_guard lock(mutex);
              sessions[id].allowed[static_cast<std::size_t>(key)] = {its};
            }
            ++done;
          }
        });
      }
      const int enough = 60 + static_cast<int>(std::minstd_rand(static_cast<unsigned>(seed + static_cast<std::uint64_t>(cycle)))() % 100);
      wait_until([&] { return done >= enough; }, "work to be done");
      disk.daemon().kill(SIGKILL);
      disk.daemon().wait();
    }  // the writers have found out
    disk.daemon().start();
    Client client = disk.client();
    for (const std::string& id : dead) CHECK(is_over(client, id));
    std::set<std::uint64_t> numbers;
    for (auto& [id, known] : sessions) {
      if (known.over) continue;
      auto session = client.session(id);
      if (!session) {
        CHECK(session.error().code == ErrorCode::session_ended);
        CHECK((known.may_be_over || known.has_old));
        known.over = true;  // or it has an id that nobody was told
        continue;
      }
      ++survived;
      known.may_be_over = known.has_old = false;  // it is not, then
      CHECK(numbers.insert(session->number()).second);
      for (int key = 0; key < keys; ++key) {
        const auto text = text_in(*session, key_in(*session, "k", key));
        const std::optional<std::uint64_t> found = text ? version_in(key, *text) : std::optional<std::uint64_t>(0);
        REQUIRE(found.has_value());  // or some byte is wrong
        CHECK(known.allowed[static_cast<std::size_t>(key)].contains(*found));
        known.allowed[static_cast<std::size_t>(key)] = {*found};
      }
    }
    CHECK_FALSE(is_in_a_file_of(disk.path(), "basket"));
  }
  CHECK(survived > 20);
  CHECK(ended > 10);
}

TEST_CASE("a namespace that begins anew ends its sessions on disk, too") {
  const TempDirectory files;
  const std::string path = (files / "onced").string();
  const std::string file = (files / "onced.toml").string();
  const auto write = [&](std::string_view more) {
    write_file(file, "[disk]\npath = \"" + path + "\"\n[namespaces.charts]\nmemory = \"4MiB\"\n" + std::string(more));
  };
  write("");
  DaemonProcess daemon(DaemonProcess::options({"--config", file}));
  ClientOptions options = options_for(daemon.socket());
  options.namespace_name = "charts";
  options.strict = true;
  std::string id;
  std::uint64_t number = 0;
  {
    Client client(options);
    auto session = client.new_session();
    REQUIRE(session.ok());
    id = session->id();
    number = session->number();
    REQUIRE(session->put(key_in(*session, "k").bytes(), "value", durable_put()).ok());
  }
  const Secrets secrets = secrets_in(path + "/charts").at(number);
  write("allow_uids = [12345]\n");
  daemon.kill(SIGHUP);
  daemon.wait_for_log("reloaded the configuration");
  {
    Client client(options);
    CHECK(is_over(client, id));
    const auto next = client.new_session();
    REQUIRE(next.ok());
    CHECK(next->number() > number);
    CHECK_FALSE(is_in_a_file_of(path, secrets.key));
  }
  daemon.kill(SIGTERM);
  CHECK(daemon.wait() == ExitStatus{0, 0});
  daemon.start();
  Client client(options);
  CHECK(is_over(client, id));
}
