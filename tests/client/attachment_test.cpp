#include "attachment.hpp"

#include <doctest/doctest.h>
#include <sys/syscall.h>

#include <thread>
#include <vector>

#include <onced/client.hpp>

#include "child.hpp"
#include "fake_daemon.hpp"
#include "one_key.hpp"

using namespace onced;
using namespace onced::testing;
using client_detail::Process;

namespace {

ClientOptions options_for(const FakeDaemon& daemon) {
  ClientOptions options;
  options.socket = daemon.path();
  options.on_warning = [](std::string_view) {};
  return options;
}

// A client that is connected to a namespace with one value.
struct Connected {
  Connected() {
    space.place(f_key, "the value");
    client = std::make_unique<Client>(options_for(daemon));
    connection = connect(space);
  }
  FakeConnection connect(const FakeNamespace& to) {
    std::jthread connecting([&] { CHECK(client->connect().ok()); });
    return daemon.welcome(to);
  }
  FakeNamespace space;
  FakeDaemon daemon;
  std::unique_ptr<Client> client;
  std::optional<FakeConnection> connection;
};

}  // namespace

TEST_CASE("a hit is a view of the record, pinned while it lives") {
  Connected c;
  {
    const auto value = c.client->peek(f_key);
    REQUIRE(value.has_value());
    CHECK(value->text() == "the value");
    CHECK(value->content_type() == "text/plain");
    CHECK(value->version() == 1);
    CHECK(value->in_shared_memory());
    CHECK(reinterpret_cast<std::uintptr_t>(value->bytes().data()) % 64 == 0);
    CHECK(c.space.pins_set() == 1);
    CHECK(c.space.page->client_lines_used >= 1);
  }
  CHECK(c.space.pins_set() == 0);
  CHECK_FALSE(c.client->peek(key_named("g")).has_value());
  CHECK(c.client->counters().hits == 1);
  CHECK_FALSE(c.connection->readable());  // the daemon was asked nothing
}

TEST_CASE("values move, and drop their pin once") {
  Connected c;
  std::optional<Value> value = c.client->peek(f_key);
  Value moved(std::move(*value));
  value.reset();
  CHECK(c.space.pins_set() == 1);
  Value assigned;
  assigned = std::move(moved);
  CHECK(assigned.text() == "the value");
  CHECK(c.space.pins_set() == 1);
  std::jthread([&] { Value in_another_thread(std::move(assigned)); });
  CHECK(c.space.pins_set() == 0);
}

TEST_CASE("a thread without a free pin gets a copy") {
  Connected c;
  std::vector<Value> views;
  for (std::size_t i = 0; i < 20; ++i) views.push_back(std::move(*c.client->peek(f_key)));
  CHECK(c.space.pins_set() == protocol::pins_per_line - 1);
  CHECK(views.back().text() == "the value");
  CHECK(views.back().content_type() == "text/plain");
  CHECK_FALSE(views.back().in_shared_memory());
  CHECK(c.client->counters().copied_hits == 20 - (protocol::pins_per_line - 1));
  views.clear();
  CHECK(c.space.pins_set() == 0);
}

TEST_CASE("more threads than lines share the last ones, and lines come back") {
  Connected c;
  for (int round = 0; round < 3; ++round) {
    std::atomic<int> hits{0};
    std::atomic<bool> all{false};
    std::vector<std::jthread> threads;
    for (int i = 0; i < 80; ++i) {
      threads.emplace_back([&] {
        const auto value = c.client->peek(f_key);
        if (value && value->text() == "the value") ++hits;
        while (!all) std::this_thread::sleep_for(std::chrono::milliseconds(1));
      });
    }
    wait_until([&] { return hits == 80; }, "80 threads to hit");
    all = true;
  }
  CHECK(c.space.pins_set() == 0);
  CHECK(c.client->counters().hits == 240);
  CHECK(c.space.page->client_lines_used <= protocol::client_pin_lines);
}

TEST_CASE("a view outlives its client, and the socket is closed with the last one") {
  Connected c;
  std::optional<Value> value = c.client->peek(f_key);
  std::optional<Value> other = c.client->peek(f_key);
  c.client.reset();
  CHECK(value->text() == "the value");
  CHECK(Process::here().retired_attachments() == 1);
  CHECK_FALSE(c.connection->readable());
  value.reset();
  CHECK_FALSE(c.connection->readable());
  CHECK(other->text() == "the value");
  other.reset();
  c.connection->expect_closed();
  CHECK(Process::here().retired_attachments() == 0);
}

TEST_CASE("an orphaned mapping gives no hit, and its views stay") {
  Connected c;
  const std::optional<Value> old = c.client->peek(f_key);
  c.space.die();
  FakeNamespace successor(2);
  successor.place(f_key, "another value");
  std::optional<Value> fresh;
  std::jthread reading([&] { fresh = c.client->peek(f_key); });
  FakeConnection next = c.daemon.welcome(successor);
  reading.join();
  REQUIRE(fresh.has_value());
  CHECK(fresh->text() == "another value");
  CHECK(old->text() == "the value");
  CHECK(c.client->counters().reconnects == 1);
  CHECK(c.client->counters().hits == 2);
}

TEST_CASE("with the daemon gone and nobody in its place there is no hit") {
  Connected c;
  c.space.die();
  c.daemon.stop_listening();
  CHECK_FALSE(c.client->peek(f_key).has_value());
}

TEST_CASE("a view from before a fork keeps its pin in parent and child") {
  Connected c;
  std::optional<Value> before = c.client->peek(f_key);
  const int child = in_child([&] {
    if (before->text() != "the value") return 1;
    before.reset();  // must not touch the parent's pin
    return 0;
  });
  CHECK(child == 0);
  CHECK(c.space.pins_set() == 1);
  CHECK(before->text() == "the value");
  before.reset();
  CHECK(c.space.pins_set() == 1);  // another child may still read
  { const auto after = c.client->peek(f_key); }
  CHECK(c.space.pins_set() == 1);  // taken after the fork: cleared
}

TEST_CASE("a child leaves its parent's connection alone and makes its own") {
  Connected c;
  FakeNamespace for_child;
  for_child.place(f_key, "the value");
  const pid_t pid = fork();
  if (pid == 0) {
    const auto value = c.client->peek(f_key);
    const bool right = value && value->text() == "the value" && c.client->counters().hits == 1;
    _exit(right ? 0 : 1);
  }
  FakeConnection connection = c.daemon.welcome(for_child);
  connection.expect_closed();
  int status = 0;
  waitpid(pid, &status, 0);
  CHECK(status == 0);
  CHECK_FALSE(c.connection->readable());
  CHECK(c.space.pins_set() == 0);
  const auto value = c.client->peek(f_key);  // the parent reads on
  CHECK(value->text() == "the value");
}

TEST_CASE("a child made past glibc notices as well") {
  Connected c;
  const std::optional<Value> before = c.client->peek(f_key);
  FakeNamespace for_child;
  for_child.place(f_key, "the value");
  const pid_t pid = static_cast<pid_t>(syscall(SYS_clone, SIGCHLD, nullptr, nullptr, nullptr, nullptr));
  if (pid == 0) {
    const auto value = c.client->peek(f_key);
    _exit(value && value->text() == "the value" ? 0 : 1);
  }
  FakeConnection connection = c.daemon.welcome(for_child);
  connection.expect_closed();
  int status = 0;
  waitpid(pid, &status, 0);
  CHECK(status == 0);
  CHECK(c.space.pins_set() == 1);
}

TEST_CASE("a client may be destroyed in a child") {
  Connected c;
  const int child = in_child([&] {
    c.client.reset();
    return 0;
  });
  CHECK(child == 0);
  CHECK(c.client->peek(f_key).has_value());
  CHECK_FALSE(c.connection->readable());
}

TEST_CASE("the socket stays open for a child that reads on after its parent's views are gone") {
  Connected c;
  std::optional<Value> before = c.client->peek(f_key);
  int go[2];
  REQUIRE(pipe(go) == 0);
  const pid_t pid = fork();
  if (pid == 0) {
    char byte = 0;
    close(go[1]);
    const bool told = read(go[0], &byte, 1) == 1;
    _exit(told && before->text() == "the value" ? 0 : 1);
  }
  before.reset();
  c.client.reset();
  CHECK(Process::here().retired_attachments() == 0);
  CHECK_FALSE(c.connection->readable());  // the child has it still
  CHECK(c.space.pins_set() == 1);
  CHECK(write(go[1], "x", 1) == 1);
  c.connection->expect_closed();
  int status = 0;
  waitpid(pid, &status, 0);
  CHECK(status == 0);
  close(go[0]);
  close(go[1]);
}

TEST_CASE("a page that forks have worn out is replaced by a new connection") {
  Connected c;
  for (std::size_t i = 0; i < protocol::pins_per_line - 1; ++i) {
    std::optional<Value> view = c.client->peek(f_key);
    CHECK(view->in_shared_memory());
    CHECK(in_child([] { return 0; }) == 0);
  }
  CHECK(c.space.pins_set() == protocol::pins_per_line - 1);
  FakeNamespace fresh;
  fresh.place(f_key, "the value");
  std::optional<FakeConnection> next;
  std::jthread welcoming([&] { next = c.daemon.welcome(fresh); });
  const auto copied = c.client->peek(f_key);  // in this thread: it is this thread's pins that are gone
  welcoming.join();
  CHECK_FALSE(copied->in_shared_memory());
  const auto view = c.client->peek(f_key);
  CHECK(view->in_shared_memory());
  c.connection->expect_closed();
}

TEST_CASE("what is not sealed, not of the size it says, or no segment is not mapped") {
  FakeDaemon daemon;
  Client client(options_for(daemon));
  const auto refused = [&](const protocol::Welcome& welcome, const std::vector<int>& descriptors) {
    Client fresh(options_for(daemon));
    std::optional<Result<void>> connected;
    std::jthread connecting([&] { connected = fresh.connect(); });
    FakeConnection connection = daemon.accept();
    const auto hello = connection.expect<protocol::Hello>();
    connection.send_raw(FakeConnection::frame(hello.id, welcome), descriptors);
    connection.expect_closed();
    connecting.join();
    REQUIRE_FALSE(connected->ok());
    return connected->error();
  };
  FakeNamespace good;
  const auto both = good.descriptors();
  SUBCASE("seals missing from the segment") {
    SharedMemory unsealed("unsealed", good.segment.bytes, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);
    CHECK(refused(good.welcome, {unsealed.descriptor.number(), both[1]}).text.find("segment: not sealed against ") == 0);
  }
  SUBCASE("seals missing from the pin page") {
    SharedMemory unsealed("unsealed", good.pins.bytes, F_SEAL_SHRINK);
    CHECK(refused(good.welcome, {both[0], unsealed.descriptor.number()}).text.find("pin page: not sealed against ") == 0);
  }
  SUBCASE("a size that is not what the Welcome says") {
    protocol::Welcome other = good.welcome;
    other.segment_bytes += 4096;
    CHECK(refused(other, both).code == ErrorCode::malformed);
  }
  SUBCASE("a pin page that is too small") {
    SharedMemory small("small", 4096, pin_page_seals);
    protocol::Welcome other = good.welcome;
    other.pin_page_bytes = 4096;
    CHECK(refused(other, {both[0], small.descriptor.number()}).code == ErrorCode::malformed);
  }
  SUBCASE("a segment without its magic number") {
    SharedMemory empty("empty", good.segment.bytes, segment_seals);
    CHECK(refused(good.welcome, {empty.descriptor.number(), both[1]}).code == ErrorCode::malformed);
  }
  SUBCASE("a pin page without its magic number") {
    SharedMemory empty("empty", good.pins.bytes, pin_page_seals);
    CHECK(refused(good.welcome, {both[0], empty.descriptor.number()}).code == ErrorCode::malformed);
  }
  SUBCASE("no descriptors") { CHECK(refused(good.welcome, {}).text.find("0 descriptors") != std::string::npos); }
  SUBCASE("one descriptor") { CHECK(refused(good.welcome, {both[0]}).text.find("1 descriptors") != std::string::npos); }
  SUBCASE("too many descriptors") {
    CHECK(refused(good.welcome, std::vector<int>(9, both[0])).code == ErrorCode::malformed);
  }
  SUBCASE("something that is no memory at all") { CHECK(refused(good.welcome, {0, 0}).code == ErrorCode::malformed); }
  SUBCASE("another protocol version") {
    protocol::Welcome other = good.welcome;
    other.protocol_version = 77;
    const Error error = refused(other, both);
    CHECK(error.code == ErrorCode::version_mismatch);
    CHECK(error.text.find("77") != std::string::npos);
  }
  SUBCASE("a refusal keeps its code and text") {
    std::optional<Result<void>> connected;
    std::jthread connecting([&] { connected = client.connect(); });
    FakeConnection connection = daemon.accept();
    connection.expect<protocol::Hello>();
    connection.send(0, protocol::Refused{ErrorCode::not_permitted, "uid 7 may not use namespace x"});
    connecting.join();
    CHECK(connected->error().code == ErrorCode::not_permitted);
    CHECK(connected->error().text == "uid 7 may not use namespace x");
  }
}
