// A million hits, expiry included, without one system call: a seccomp filter kills the process at the first.
#include <doctest/doctest.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include <cstddef>

#include <onced/session.hpp>

#include "process/processes.hpp"
#include "support/daemon_process.hpp"

using namespace onced;
using namespace onced::testing;

namespace {

// From here on every system call but exit_group kills the process (SIGSYS).
void forbid_system_calls() {
  sock_filter program[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_exit_group, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
  };
  const sock_fprog filter{std::size(program), program};
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) != 0) _exit(90);
}

constexpr int lasting = 1000;
constexpr int expiring = 100;

}  // namespace

TEST_CASE("the filter kills: without that the next case would prove nothing") {
  Worker worker([] {
    forbid_system_calls();
    return static_cast<int>(syscall(SYS_getppid) & 0);
  });
  CHECK(worker.wait() == 128 + SIGSYS);
}

TEST_CASE("a million hits make no system call, and neither do values that expire meanwhile") {
  DaemonProcess daemon;
  Client writer(options_for(daemon.socket()));
  for (int i = 0; i < lasting; ++i) REQUIRE(writer.put(key_named("lasting", i).bytes(), "value " + std::to_string(i)).ok());
  Shared<std::atomic<int>> ready;
  Worker worker([&] {
    Client client(options_for(daemon.socket()));
    std::vector<Key> keys;
    std::vector<Key> expiring_keys;
    std::vector<std::string> expected;
    for (int i = 0; i < lasting; ++i) {
      keys.push_back(key_named("lasting", i));
      expected.push_back("value " + std::to_string(i));
    }
    for (int i = 0; i < expiring; ++i) expiring_keys.push_back(key_named("expiring", i));
    if (!client.peek(keys[0])) return 1;
    *ready = 1;
    wait_until([&] { return *ready == 2; }, "values that expire");

    forbid_system_calls();
    int hits = 0;
    int fresh = 0;
    while (hits < 1'000'000) {
      const auto number = static_cast<std::size_t>(hits % lasting);
      const auto value = client.peek(keys[number]);
      if (!value || !value->in_shared_memory() || value->text() != expected[number]) return 2;
      ++hits;
      if (hits % 50 == 0) fresh += client.peek(expiring_keys[static_cast<std::size_t>(hits / 50 % expiring)]).has_value();
    }
    if (fresh == 0) return 3;  // they were there in the beginning
    // Until the last of them has expired: by the daemon's clock, seen without asking for the time.
    for (;;) {
      int left = 0;
      for (const Key& key : expiring_keys) left += client.peek(key).has_value();
      if (left == 0) _exit(0);  // without destructors: closing a connection is a system call
    }
  });
  wait_until([&] { return *ready == 1; }, "the reader");
  PutOptions options;
  options.ttl = Milliseconds(3000);
  for (int i = 0; i < expiring; ++i) REQUIRE(writer.put(key_named("expiring", i).bytes(), "for a while", options).ok());
  *ready = 2;
  CHECK(worker.wait() == 0);
}

TEST_CASE("hits in a session make no system call, and neither does finding out that it has ended") {
  DaemonProcess daemon;
  Client owner(options_for(daemon.socket()));
  auto session = owner.new_session();
  std::vector<Key> keys;
  for (int i = 0; i < 100; ++i) {
    keys.push_back(*session->key("f").add(i).build());
    REQUIRE(session->put(keys.back().bytes(), "value " + std::to_string(i)).ok());
  }
  Shared<std::atomic<int>> hits;
  Worker worker([&] {
    Client client(options_for(daemon.socket()));
    auto kept = client.session(session->id());
    if (!kept || !kept->peek(keys[0])) return 1;
    std::vector<std::string> expected;
    for (int i = 0; i < 100; ++i) expected.push_back("value " + std::to_string(i));
    forbid_system_calls();
    for (std::size_t i = 0;; ++i) {
      const auto value = kept->peek(keys[i % 100]);
      if (!value) break;
      if (value->text() != expected[i % 100]) return 2;
      ++*hits;
    }
    for (const Key& key : keys) {
      if (kept->peek(key)) return 3;
    }
    _exit(0);
  });
  wait_until([&] { return *hits > 100'000; }, "a hundred thousand hits");
  REQUIRE(session->end().ok());
  CHECK(worker.wait() == 0);
}

TEST_CASE("a stale value that somebody refreshes costs its readers no system call") {
  DaemonProcess daemon;
  Client holder(options_for(daemon.socket()));
  const Key key = key_named("stale");
  PutOptions options;
  options.ttl = Milliseconds(1);
  options.grace = std::chrono::hours(1);
  REQUIRE(holder.put(key.bytes(), "old", options).ok());
  wait_until([&] { return holder.peek(key)->stale(); }, "the value to become stale");
  auto lease = holder.acquire(key);
  REQUIRE(std::holds_alternative<Computation>(*lease));
  Worker worker([&] {
    Client client(options_for(daemon.socket()));
    const auto right = [&] {
      const auto value = client.get_or_compute(key, {}, [](Computation&) { return std::string("new"); });
      return value.ok() && value->stale() && value->text() == "old" && value->in_shared_memory();
    };
    if (!client.connect().ok() || !right()) return 1;
    forbid_system_calls();
    for (int i = 0; i < 100'000; ++i) {
      if (!right()) return 2;
    }
    _exit(0);
  });
  CHECK(worker.wait() == 0);
}

TEST_CASE("the second hit on a large value makes no system call, and neither does the next look at a large part") {
  constexpr std::size_t bytes = std::size_t{64} << 20;
  DaemonOptions options;
  options.flags = {"--blobs", "256MiB"};
  DaemonProcess daemon(options);
  Client writer(options_for(daemon.socket()));
  REQUIRE(writer.put(key_named("large").bytes(), std::string(bytes, 'l')).ok());
  ValueBuilder builder = writer.builder();
  REQUIRE(builder.add("a", std::string(1'000'000, 'a')).ok());
  REQUIRE(builder.add("b", "small").ok());
  REQUIRE(writer.put(key_named("parts").bytes(), std::move(builder)).ok());
  Worker worker([&] {
    Client client(options_for(daemon.socket()));
    const Key large = key_named("large");
    const Key parts = key_named("parts");
    const auto right = [&] {
      const auto value = client.peek(large);
      if (!value || value->bytes().size() != bytes || value->text().back() != 'l') return false;
      const auto named = client.peek(parts);
      return named && named->part("a")->bytes.size() == 1'000'000 && named->part("a")->text().back() == 'a' && named->part("b")->text() == "small";
    };
    if (!right()) return 1;
    forbid_system_calls();
    for (int i = 0; i < 100'000; ++i) {
      if (!right()) return 2;
    }
    _exit(0);
  });
  CHECK(worker.wait() == 0);
}
