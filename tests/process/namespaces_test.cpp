// Namespaces that come, change and go with a reload, while clients work in them and beside them.
#include <doctest/doctest.h>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <set>

#include <onced/protocol/limits.hpp>
#include <onced/protocol/segment.hpp>
#include <onced/session.hpp>

#include "process/bystander.hpp"
#include "process/proc_files.hpp"
#include "process/processes.hpp"
#include "support/daemon_process.hpp"
#include "support/other_user.hpp"

using namespace onced;
using namespace onced::protocol;
using onced::testing::Bystander;
using onced::testing::DaemonProcess;
using onced::testing::key_bytes;
using onced::testing::open_descriptors;
using onced::testing::RawClient;
using onced::testing::TempDirectory;
using onced::testing::wait_until;

namespace {

// A daemon with a configuration file that the test rewrites.
class Reloadable {
 public:
  explicit Reloadable(std::string_view text) {
    write(text);
    daemon_.emplace(DaemonProcess::options({"--config", file_, "--set", "socket_mode=0666"}));
  }
  DaemonProcess& daemon() { return *daemon_; }
  std::string socket() const { return daemon_->socket(); }
  void write(std::string_view text) const { onced::testing::write_file(file_, text); }
  // Returns when the daemon has read it; whether it took it.
  bool reload(std::string_view text) {
    write(text);
    const std::size_t taken = count("reloaded the configuration");
    const std::size_t refused = count("not reloaded, nothing has changed");
    daemon_->kill(SIGHUP);
    wait_until([&] { return count("reloaded the configuration") + count("not reloaded, nothing has changed") > taken + refused; }, "the reload");
    return count("reloaded the configuration") > taken;
  }

 private:
  std::size_t count(std::string_view text) const {
    const std::string log = daemon_->log();
    std::size_t found = 0;
    for (std::size_t at = 0; (at = log.find(text, at)) != std::string::npos; at += text.size()) ++found;
    return found;
  }
  TempDirectory directory_;
  std::string file_ = (directory_ / "onced.toml").string();
  std::optional<DaemonProcess> daemon_;
};

constexpr std::string_view charts = "[namespaces.charts]\nmemory = \"4MiB\"\n";

Refused refusal_in(const std::string& socket, const std::string& name) {
  RawClient client(socket);
  Hello hello = RawClient::hello_message(false);
  hello.namespace_name = name;
  client.request(1, hello);
  const auto end = client.receive_end();
  REQUIRE(end.has_value());
  return *end;
}

// What a client maps of its namespace, and keeps whatever the daemon says.
class KeptSegment {
 public:
  KeptSegment(RawClient& client, const Welcome& welcome) : bytes_(welcome.segment_bytes) {
    memory_ = ::mmap(nullptr, bytes_, PROT_READ, MAP_SHARED, client.descriptors().at(0), 0);
    REQUIRE(memory_ != MAP_FAILED);
  }
  ~KeptSegment() { ::munmap(memory_, bytes_); }
  bool alive() const { return (static_cast<const SegmentHeader*>(memory_)->life.load() & life_owner_died) == 0; }
  bool contains(std::string_view text) const {
    return std::string_view(static_cast<const char*>(memory_), bytes_).find(text) != std::string_view::npos;
  }

 private:
  std::size_t bytes_;
  void* memory_;
};

void put(RawClient& client, const std::string& key, const std::string& bytes) {
  client.request(800, Put{key, {{"", "", bytes}}, {}});
  CHECK(client.receive_only<Published>().stored);
}

}  // namespace

TEST_CASE("a new namespace is there after a reload, and nobody else notices") {
  Reloadable setup("");
  Bystander bystander(setup.socket());
  CHECK(refusal_in(setup.socket(), "charts").code == ErrorCode::not_found);
  REQUIRE(setup.reload(charts));
  setup.daemon().wait_for_log("changed namespaces.charts is new");
  RawClient client(setup.socket());
  const Welcome welcome = client.hello(true, "charts");
  CHECK(welcome.segment_bytes >= 4 << 20);
  put(client, key_bytes("f", 1), "in charts");
  Acquire acquire;
  acquire.key = key_bytes("f", 1);
  acquire.may_compute = false;
  bystander.client().request(70, acquire);
  CHECK(bystander.client().receive_only<Refused>().code == ErrorCode::not_found);
  bystander.check();
  // The same again changes nothing: who is connected stays so.
  REQUIRE(setup.reload(std::string(charts) + "blobs = \"9MiB\"\n"));
  client.request(71, acquire);
  CHECK(client.receive_only<protocol::Value>().record != 0);
}

TEST_CASE("a namespace that is gone answers its waiters, ends its connections and lets no reader go on") {
  Reloadable setup(charts);
  Bystander bystander(setup.socket());
  RawClient reader(setup.socket());
  const Welcome welcome = reader.hello(true, "charts");
  const KeptSegment segment(reader, welcome);
  put(reader, key_bytes("f", 1), "value");
  ClientOptions options = onced::testing::options_for(setup.socket());
  options.namespace_name = "charts";
  Client client(options);
  REQUIRE(client.connect().ok());
  REQUIRE(client.peek(key_bytes("f", 1)).has_value());

  Acquire acquire;
  acquire.key = key_bytes("f", 2);
  reader.request(10, acquire);
  reader.receive_only<Lease>();
  RawClient waiter(setup.socket());
  waiter.hello(false, "charts");
  acquire.wait_ms = 60'000;
  waiter.request(11, acquire);
  waiter.request(12, GetStatus{});
  waiter.receive_only<StatusReport>();
  RawClient shut(setup.socket());  // half-way out: the daemon waits for its client end to be closed
  shut.hello(true, "charts");
  shut.shut_down_writing();
  CHECK(shut.receive().has_value());

  REQUIRE(setup.reload(""));
  const auto answer = waiter.receive();
  REQUIRE(answer.has_value());
  CHECK(answer->first == 11);
  CHECK(std::get<Refused>(answer->second).code == ErrorCode::unavailable);
  const auto end = waiter.receive_end();
  REQUIRE(end.has_value());
  CHECK(end->text == "the namespace \"charts\" is gone from the daemon's configuration");
  const auto of_reader = reader.receive_end();
  REQUIRE(of_reader.has_value());
  CHECK(of_reader->code == ErrorCode::unavailable);
  CHECK_FALSE(segment.alive());
  CHECK_FALSE(client.peek(key_bytes("f", 1)).has_value());
  // The client was told that there is none: it does not compute beside a mistake in the configuration.
  const auto refused = client.get_or_compute(key_bytes("f", 1), {}, [](Computation&) { return std::string("computed"); });
  REQUIRE_FALSE(refused.ok());
  CHECK(refused.error().code == ErrorCode::not_found);
  CHECK(refusal_in(setup.socket(), "charts").code == ErrorCode::not_found);
  bystander.check();

  // It may come back: empty, and under another epoch, so that nothing of before has a meaning in it.
  REQUIRE(setup.reload(charts));
  RawClient again(setup.socket());
  CHECK(again.hello(true, "charts").epoch != welcome.epoch);
  again.request(20, Explain{key_bytes("f", 1)});
  CHECK(again.receive_only<Explanation>().row.state == KeyState::absent);
  // The client asks again after a while.
  wait_until([&] { return client.get_or_compute(key_bytes("f", 1), {}, [](Computation&) { return std::string("computed"); }).ok(); },
             "the client to find it again");
  CHECK(client.peek(key_bytes("f", 1))->text() == "computed");
}

TEST_CASE("when fewer may use a namespace than before it begins anew, and who is still let in goes on") {
  if (!onced::testing::can_be_other_users()) {
    MESSAGE("skipped: only root can be other users");
    return;
  }
  constexpr uid_t staying = 54321;
  constexpr uid_t leaving = 54322;
  Reloadable setup(std::string(charts) + "allow_uids = [54321, 54322]\n");
  REQUIRE(::chmod(setup.daemon().directory().c_str(), 0755) == 0);
  Bystander bystander(setup.socket());

  // The one who goes keeps what it has mapped, and looks into it when all is over.
  int go[2];
  int report[2];
  REQUIRE(::pipe(go) == 0);
  REQUIRE(::pipe(report) == 0);
  const pid_t child = ::fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    ::close(go[1]);
    onced::testing::become({leaving, leaving});
    RawClient client(setup.socket());
    const KeptSegment segment(client, client.hello(true, "charts"));
    put(client, key_bytes("f", 1), "of before");
    const bool was_alive = segment.alive() && segment.contains("of before");
    static_cast<void>(!::write(report[1], "r", 1));
    char byte = 0;
    static_cast<void>(!::read(go[0], &byte, 1));
    const bool ended = client.receive_end().has_value();
    const bool sees_nothing = !segment.alive() && !segment.contains("of afterwards");
    const bool refused = refusal_in(setup.socket(), "charts").code == ErrorCode::not_found;
    ::_exit((was_alive ? 0 : 1) + (ended ? 0 : 2) + (sees_nothing ? 0 : 4) + (refused ? 0 : 8));
  }
  ::close(report[1]);
  char byte = 0;
  REQUIRE(::read(report[0], &byte, 1) == 1);

  REQUIRE(setup.reload(std::string(charts) + "allow_uids = [54321]\n"));
  const std::string after = onced::testing::as_user({staying, staying}, [&]() -> std::string {
    ClientOptions options = onced::testing::options_for(setup.socket());
    options.namespace_name = "charts";
    Client client(options);
    if (client.peek(key_bytes("f", 1))) return "what was there is there still";
    const auto stored = client.put(key_bytes("f", 3), "of afterwards");
    if (!stored.ok()) return stored.error().text;
    const auto value = client.peek(key_bytes("f", 3));
    return value ? std::string(value->text()) : "nothing";
  });
  CHECK(after == "of afterwards");
  ::close(go[1]);
  int status = -1;
  REQUIRE(::waitpid(child, &status, 0) == child);
  CHECK(status == 0);
  ::close(go[0]);
  ::close(report[0]);
  setup.daemon().wait_for_log("begins anew, empty: fewer may use it than before");
  bystander.check();
}

TEST_CASE("who waits in a namespace that begins anew is told that, and not that the daemon shuts down") {
  Reloadable setup(std::string(charts) + "allow_uids = [1, 2]\n");
  RawClient holder(setup.socket());
  holder.hello(false, "charts");
  holder.request(2, Acquire{.key = key_bytes("f", 1), .held = {}});
  holder.receive_only<Lease>();
  RawClient waiter(setup.socket());
  waiter.hello(false, "charts");
  waiter.request(2, Acquire{.key = key_bytes("f", 1), .wait_ms = 600'000, .held = {}});
  RawClient witness(setup.socket());
  witness.hello(false, "charts");
  wait_until([&] {
    witness.request(3, Explain{key_bytes("f", 1)});
    return witness.receive_only<Explanation>().row.waiting == 1;
  }, "the waiter");
  REQUIRE(setup.reload(std::string(charts) + "allow_uids = [1]\n"));
  const auto told = waiter.receive_only<Refused>();
  CHECK(told.code == ErrorCode::unavailable);
  CHECK(told.text == "the namespace \"charts\" begins anew, empty: fewer may use it than before; ask again");
}

TEST_CASE("a client that works in a namespace goes on when that begins anew, as after a restart") {
  Reloadable setup(std::string(charts) + "allow_uids = [1, 2]\n");
  ClientOptions options = onced::testing::options_for(setup.socket());
  options.namespace_name = "charts";
  options.reconnect_delay_max = Milliseconds(20);
  Client client(options);
  REQUIRE(client.put(key_bytes("f", 1), "before").ok());
  auto acquired = client.acquire(key_bytes("f", 2));
  REQUIRE(acquired.ok());
  auto* computation = std::get_if<Computation>(&*acquired);
  REQUIRE(computation != nullptr);
  REQUIRE(setup.reload(std::string(charts) + "allow_uids = [1]\n"));
  // A token of before is worth nothing in the new one: its holder has its own value, and nobody else has.
  static_cast<void>(computation->publish("of an old lease"));
  wait_until(
      [&] {
        const auto value = client.get(key_bytes("f", 1));
        return value.ok() && !value->has_value();
      },
      "the new namespace, which is empty");
  const auto value = client.get_or_compute(key_bytes("f", 1), {}, [](Computation&) { return std::string("after"); });
  REQUIRE(value.ok());
  CHECK(value->text() == "after");
  RawClient witness(setup.socket());
  witness.hello(false, "charts");
  wait_until([&] { return client.peek(key_bytes("f", 1)).has_value(); }, "a hit");
  // More may use it: nothing begins anew.
  REQUIRE(setup.reload(std::string(charts) + "allow_uids = [1, 7]\n"));
  witness.request(5, GetStatus{});
  witness.receive_only<StatusReport>();
  REQUIRE(setup.reload(charts));
  witness.request(6, GetStatus{});
  witness.receive_only<StatusReport>();
}

TEST_CASE("a reload that cannot be carried out changes nothing") {
  Reloadable setup(charts);
  RawClient client(setup.socket());
  client.hello(true, "charts");
  put(client, key_bytes("f", 1), "kept");
  const auto still_there = [&] {
    client.request(30, Explain{key_bytes("f", 1)});
    return client.receive_only<Explanation>().row.state == KeyState::ready;
  };
  // A name that nobody has, in a file that would also end the namespace.
  CHECK_FALSE(setup.reload("[namespaces.maps]\nmemory = \"4MiB\"\nallow_groups = [\"no-such-group-here\"]\n"));
  setup.daemon().wait_for_log("there is no group \"no-such-group-here\" on this machine");
  CHECK(still_there());
  CHECK(refusal_in(setup.socket(), "maps").code == ErrorCode::not_found);
  // No room for the second of two new ones: the first is not there either, and the old one has not gone.
  rlimit all{};
  REQUIRE(::prlimit(setup.daemon().pid(), RLIMIT_FSIZE, nullptr, &all) == 0);
  const rlimit small{16 << 20, all.rlim_max};
  REQUIRE(::prlimit(setup.daemon().pid(), RLIMIT_FSIZE, &small, nullptr) == 0);
  CHECK_FALSE(setup.reload("[namespaces.n0]\nmemory = \"1MiB\"\n[namespaces.n1]\nmemory = \"64MiB\"\n"));
  setup.daemon().wait_for_log("File too large");
  REQUIRE(::prlimit(setup.daemon().pid(), RLIMIT_FSIZE, &all, nullptr) == 0);
  CHECK(still_there());
  CHECK(refusal_in(setup.socket(), "n0").code == ErrorCode::not_found);
#if !defined(__SANITIZE_ADDRESS__)  // its companion for undefined behaviour opens a pipe to see whether an object is readable
  // The same without descriptors.
  REQUIRE(::prlimit(setup.daemon().pid(), RLIMIT_NOFILE, nullptr, &all) == 0);
  std::set<std::size_t> open;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/" + std::to_string(setup.daemon().pid()) + "/fd"))
    open.insert(std::stoul(entry.path().filename().string()));
  std::size_t below = 0;  // the daemon may open five more
  for (int free = 0; free < 5; ++below) free += open.contains(below) ? 0 : 1;
  const rlimit few{below, all.rlim_max};
  REQUIRE(::prlimit(setup.daemon().pid(), RLIMIT_NOFILE, &few, nullptr) == 0);
  std::string many;
  for (int i = 0; i < 40; ++i) many += "[namespaces.n" + std::to_string(i) + "]\nmemory = \"1MiB\"\n";
  CHECK_FALSE(setup.reload(many));
  setup.daemon().wait_for_log("Too many open files");
  REQUIRE(::prlimit(setup.daemon().pid(), RLIMIT_NOFILE, &all, nullptr) == 0);
  CHECK(still_there());
  CHECK(refusal_in(setup.socket(), "n0").code == ErrorCode::not_found);
#endif
}

TEST_CASE("a namespace has limits of its own for its sessions, and a reload changes them for new ones") {
  const std::string spaces = std::string(charts) + "[namespaces.maps]\nmemory = \"4MiB\"\n";
  Reloadable setup(spaces + "[sessions]\nsessions_max = 2\n[namespaces.charts.sessions]\nsessions_max = 1\nidle_ttl = \"1h\"\nentries_max = 1\n");
  const auto of = [&](const std::string& space) {
    ClientOptions options = onced::testing::options_for(setup.socket());
    options.namespace_name = space;
    return Client(options);
  };
  Client in_charts = of("charts");
  Client in_maps = of("maps");
  const auto left_after = [](Client& client, int made) {
    for (int i = 0; i < made; ++i) REQUIRE(client.new_session().ok());
    return client.list_sessions()->rows.size();
  };
  const auto values_kept = [](Client& client) {
    auto session = client.new_session();
    REQUIRE(session.ok());
    for (int i = 0; i < 3; ++i) REQUIRE(session->put(session->key("f").add(i).build()->bytes(), "value").ok());
    std::size_t kept = 0;
    for (int i = 0; i < 3; ++i) if (session->peek(*session->key("f").add(i).build())) ++kept;
    return kept;
  };
  CHECK(left_after(in_charts, 3) == 1);
  CHECK(left_after(in_maps, 3) == 2);
  CHECK(in_charts.new_session()->idle_ttl() == std::chrono::hours(1));
  CHECK(in_maps.new_session()->idle_ttl() == limits::session_idle_ttl_default);
  CHECK(values_kept(in_charts) == 1);
  CHECK(values_kept(in_maps) == 3);
  CHECK(setup.reload(spaces + "[namespaces.charts.sessions]\nsessions_max = 4\nentries_max = 2\n[namespaces.maps.sessions]\nsessions_max = 1\n"));
  setup.daemon().wait_for_log("changed namespaces.charts.sessions.sessions_max: 1 -> 4");
  CHECK(left_after(in_charts, 6) == 4);
  CHECK(values_kept(in_charts) == 2);
  CHECK(in_charts.new_session()->idle_ttl() == limits::session_idle_ttl_default);
  CHECK(left_after(in_maps, 2) == 1);
}

TEST_CASE("namespaces that come and go leave nothing behind") {
  Reloadable setup("");
  const auto threads = [&] {
    std::size_t count = 0;
    for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator("/proc/" + std::to_string(setup.daemon().pid()) + "/task")) ++count;
    return count;
  };
  const auto segments = [&] {
    std::ifstream maps("/proc/" + std::to_string(setup.daemon().pid()) + "/maps");
    std::size_t count = 0;
    for (std::string line; std::getline(maps, line);) count += line.find("onced-segment") != std::string::npos || line.find("onced-pins") != std::string::npos;
    return count;
  };
  const std::size_t descriptors_before = open_descriptors(setup.daemon().pid());
  const std::size_t threads_before = threads();
  const std::size_t segments_before = segments();
  std::vector<RawClient> stubborn;  // never close their ends
  for (int round = 0; round < 10; ++round) {
    REQUIRE(setup.reload(charts));
    RawClient& client = stubborn.emplace_back(setup.socket());
    client.hello(true, "charts");
    client.request(5, Reserve{1 << 20, 0});
    client.receive_only<Blob>();
    REQUIRE(setup.reload(""));
    // What it reads last is why; then the daemon has let go of it, though its end is open.
    CHECK(client.receive_end().has_value());
  }
  wait_until([&] { return open_descriptors(setup.daemon().pid()) <= descriptors_before; }, "the descriptors to be closed");
  CHECK(segments() == segments_before);
  CHECK(threads() == threads_before);
}
