// A host whose namespace keeps its values on a disk that hangs: nobody waits for it who did not ask to.
#include <doctest/doctest.h>

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <onced/protocol/key.hpp>

#include "disk/gated_files.hpp"
#include "running_host.hpp"
#include "support/raw_client.hpp"
#include "support/temp_directory.hpp"
#include "support/watchdog.hpp"

using namespace onced;
using namespace onced::testing;
using protocol::Acquire;
using protocol::Published;

namespace {

std::string key_of(int argument) { return std::string(KeyBuilder("chart").add(argument).build().value().bytes()); }
protocol::Put put_of(int argument, const std::string& bytes, bool durable = false) {
  return {key_of(argument), {protocol::Part{"", "text/plain", bytes}}, {.ttl_ms = 0, .durable = durable}};
}
Acquire get_of(int argument) { return {.key = key_of(argument), .may_compute = false, .wait_ms = 0, .held = {}}; }
protocol::Invalidate invalidation_of(int argument) { return {{protocol::ScopeKind::key, key_of(argument)}, false}; }

struct Stage {
  TempDirectory directory;
  FileGate gate;
  std::optional<RunningHost> host;

  ~Stage() { gate.let_go(); }
  net::HostSettings settings(std::uint64_t memory_bytes = 8 << 20) {
    net::HostSettings settings = RunningHost::settings();
    settings.namespaces["default"] = {.memory_bytes = memory_bytes, .blob_bytes_max = 64 << 20,
                                      .disk_directory = (directory / "store").string(), .disk_bytes_max = 64 << 20};
    settings.disk.files = [this](const std::string& path) { return open_gated_files(path, gate); };
    settings.disk.tier.retry_first = std::chrono::milliseconds(5);
    return settings;
  }
  RawClient client() {
    RawClient client(host->path());
    client.hello();
    return client;
  }
};

// All that has come, by request.
std::map<protocol::RequestId, protocol::Reply> receive(RawClient& client, std::size_t count) {
  std::map<protocol::RequestId, protocol::Reply> replies;
  while (replies.size() < count) {
    auto next = client.receive();
    REQUIRE(next);
    replies.insert(std::move(*next));
  }
  return replies;
}

std::string value_of(int i) { return std::string(16 * 1024, static_cast<char>('a' + i % 26)) + std::to_string(i); }
// 200 of them into 1 MiB.
void put_more_than_memory_holds(RawClient& client) {
  for (int i = 0; i < 200; ++i) {
    client.request(static_cast<protocol::RequestId>(2 + i), put_of(i, value_of(i)));
    CHECK(client.receive_only<Published>().stored);
  }
}

}  // namespace

TEST_CASE("while the disk hangs all is answered that does not ask for it, and the rest when it goes on") {
  Stage stage;
  stage.host.emplace(stage.settings());
  RawClient client = stage.client();
  client.request(2, put_of(1, "before", true));
  CHECK(client.receive_only<Published>().durable);

  stage.gate.shut();
  client.request(3, put_of(2, "durable", true));
  stage.gate.wait_until_somebody_waits();
  client.request(4, invalidation_of(1));
  for (int i = 0; i < 50; ++i) {
    const auto id = static_cast<protocol::RequestId>(100 + 10 * i);
    client.request(id, put_of(100 + i, "x"));
    CHECK(client.receive_only<Published>().stored);
    client.request(id + 1, get_of(100 + i));
    CHECK(client.receive_only<protocol::Value>().parts.at(0).bytes == "x");
    client.request(id + 2, Acquire{.key = key_of(1000 + i), .wait_ms = 0, .held = {}});
    const auto lease = client.receive_only<protocol::Lease>();
    client.request(id + 3, protocol::Abandon{lease.token});
    client.receive_only<protocol::Done>();
  }
  // The invalidated value is gone, though that is not written yet: whoever asks now computes.
  client.request(5, get_of(1));
  client.request(6, protocol::GetStatus{});
  client.receive_only<protocol::StatusReport>();
  stage.gate.let_go();
  auto replies = receive(client, 3);
  CHECK(std::get<Published>(replies.at(3)).durable);
  CHECK(std::get<protocol::Done>(replies.at(4)).count == 1);
  CHECK(std::get<protocol::Refused>(replies.at(5)).code == ErrorCode::not_found);
}

TEST_CASE("a host that starts again has what was there before, and not what was invalidated") {
  Stage stage;
  stage.host.emplace(stage.settings());
  {
    RawClient client = stage.client();
    for (int i = 0; i < 20; ++i) {
      client.request(static_cast<protocol::RequestId>(2 + i), put_of(i, "value " + std::to_string(i)));
      client.receive_only<Published>();
    }
    client.request(50, invalidation_of(7));
    CHECK(client.receive_only<protocol::Done>().count == 1);
  }
  stage.host.reset();
  stage.host.emplace(stage.settings());
  RawClient client = stage.client();
  for (int i = 0; i < 20; ++i) {
    client.request(static_cast<protocol::RequestId>(2 + i), get_of(i));
    if (i == 7) {
      const auto answer = client.receive();
      REQUIRE(answer);
      CHECK(std::get<protocol::Refused>(answer->second).code == ErrorCode::not_found);
    } else {
      CHECK(client.receive_only<protocol::Value>().parts.at(0).bytes == "value " + std::to_string(i));
    }
  }
}

TEST_CASE("what memory has no room for is read from disk") {
  Stage stage;
  stage.host.emplace(stage.settings(1 << 20));
  RawClient client = stage.client();
  put_more_than_memory_holds(client);
  for (int i = 0; i < 200; ++i) {
    client.request(static_cast<protocol::RequestId>(1000 + i), get_of(i));
    CHECK(client.receive_only<protocol::Value>().parts.at(0).bytes == value_of(i));
  }
}

TEST_CASE("a value whose reading hangs keeps nobody else waiting") {
  Stage stage;
  stage.host.emplace(stage.settings(1 << 20));
  RawClient client = stage.client();
  put_more_than_memory_holds(client);
  client.request(300, put_of(300, "durable", true));  // nothing waits to be written any more
  CHECK(client.receive_only<Published>().durable);
  stage.gate.gates_reads = true;
  stage.gate.shut();
  client.request(301, get_of(0));  // the first of 200 equals is not in memory any more
  stage.gate.wait_until_somebody_waits();
  for (int i = 0; i < 20; ++i) {
    client.request(static_cast<protocol::RequestId>(400 + i), Acquire{.key = key_of(1000 + i), .wait_ms = 0, .held = {}});
    client.receive_only<protocol::Lease>();
  }
  stage.gate.let_go();
  CHECK(client.receive_only<protocol::Value>().parts.at(0).bytes == value_of(0));
}

TEST_CASE("a disk that fails refuses what must be durable, and heals") {
  Stage stage;
  stage.host.emplace(stage.settings());
  RawClient client = stage.client();
  client.request(2, put_of(1, "before", true));
  CHECK(client.receive_only<Published>().durable);
  stage.gate.broken = true;
  client.request(3, put_of(2, "not kept", true));
  const auto published = client.receive_only<Published>();
  CHECK(published.stored);
  CHECK_FALSE(published.durable);
  client.request(4, invalidation_of(1));
  const auto refused = client.receive();
  REQUIRE(refused);
  CHECK(std::get<protocol::Refused>(refused->second).code == ErrorCode::not_durable);
  client.request(5, get_of(1));
  CHECK(std::get<protocol::Refused>(client.receive()->second).code == ErrorCode::not_found);
  stage.gate.broken = false;
  protocol::RequestId id = 10;
  wait_until(
      [&] {
        client.request(++id, put_of(3, "again", true));
        return client.receive_only<Published>().durable;
      },
      "the disk to be used again");
}

TEST_CASE("a namespace that begins anew finds nothing on disk of what was there before") {
  Stage stage;
  stage.host.emplace(stage.settings());
  {
    RawClient client = stage.client();
    client.request(2, put_of(1, "of the many", true));
    CHECK(client.receive_only<Published>().durable);
    net::HostSettings narrower = stage.settings();
    narrower.namespaces["default"].access = {.restricted = true, .uids = {::getuid()}};
    stage.host->run([&](net::Host& host) { CHECK(host.reconfigure(narrower).ok()); });
    client.receive_end();
  }
  RawClient client = stage.client();
  client.request(2, get_of(1));
  CHECK(std::get<protocol::Refused>(client.receive()->second).code == ErrorCode::not_found);
  client.request(3, put_of(1, "of the few", true));
  CHECK(client.receive_only<Published>().durable);
  stage.host.reset();
  stage.host.emplace(stage.settings());
  RawClient later = stage.client();
  later.request(2, get_of(1));
  CHECK(later.receive_only<protocol::Value>().parts.at(0).bytes == "of the few");
}

TEST_CASE("who is let in no more leaves nothing to those who still are, whether the daemon is told while it runs or between two runs") {
  Stage stage;
  const engine::AccessRule few{.restricted = true, .uids = {::getuid()}};
  const auto start = [&](const engine::AccessRule& rule) {
    stage.host.reset();
    net::HostSettings settings = stage.settings();
    settings.namespaces["default"].access = rule;
    stage.host.emplace(settings);
  };
  const auto put = [&](int argument, bool durable) {
    RawClient client = stage.client();
    client.request(2, put_of(argument, "x", true));
    CHECK(client.receive_only<Published>().durable == durable);
  };
  const auto is_found = [&](int argument) {
    RawClient client = stage.client();
    client.request(2, get_of(argument));
    return std::holds_alternative<protocol::Value>(client.receive()->second);
  };
  const auto reload = [&](const engine::AccessRule& rule) {
    net::HostSettings settings = stage.settings();
    settings.namespaces["default"].access = rule;
    stage.host->run([&](net::Host& host) { CHECK(host.reconfigure(settings).ok()); });
  };

  start({});
  put(1, true);
  start(few);  // between two runs
  CHECK_FALSE(is_found(1));
  put(2, true);
  start(few);
  CHECK(is_found(2));
  reload({});  // wider: what is there stays, and what comes may be of anybody
  CHECK(is_found(2));
  put(3, true);
  start(few);
  CHECK_FALSE(is_found(2));
  CHECK_FALSE(is_found(3));
  put(4, true);

  start({});
  CHECK(is_found(4));
  put(5, true);
  stage.gate.broken = true;
  put(6, false);
  reload(few);  // cannot be written before the daemon ends
  CHECK_FALSE(is_found(5));
  stage.host.reset();
  stage.gate.broken = false;
  start(few);
  for (const int argument : {4, 5, 6}) CHECK_FALSE(is_found(argument));
  put(7, true);
  start(few);
  CHECK(is_found(7));
}

TEST_CASE("a directory that is somebody else's ends the start, and says which") {
  Stage stage;
  stage.host.emplace(stage.settings());
  boost::asio::io_context context{1};
  net::Host second(context, stage.settings(), [](net::LogLevel, std::string_view) {});
  const auto opened = second.open_namespaces();
  REQUIRE_FALSE(opened.ok());
  CHECK(opened.error().text.find((stage.directory / "store").string()) != std::string::npos);
}
