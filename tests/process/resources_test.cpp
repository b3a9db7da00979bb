// Clients that take what they can get: memory, descriptors, connections. It costs a bounded amount and delays nobody.
#include <doctest/doctest.h>

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "process/bystander.hpp"
#include "process/proc_files.hpp"
#include "support/daemon_process.hpp"
#include "support/descriptor_passing.hpp"

using namespace onced;
using namespace onced::protocol;
using onced::testing::Bystander;
using onced::testing::DaemonOptions;
using onced::testing::DaemonProcess;
using onced::testing::key_bytes;
using onced::testing::RawClient;
using onced::testing::send_descriptor;
using onced::testing::wait_until;

namespace {

using onced::testing::memory_in_use;
using onced::testing::open_descriptors;

// Sends until the socket takes no more for a while: the daemon has stopped reading.
std::size_t send_until_full(RawClient& client, std::string_view request) {
  std::size_t sent = 0;
  for (;;) {
    const ssize_t count = ::send(client.socket(), request.data(), request.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (count == static_cast<ssize_t>(request.size())) {
      ++sent;
      continue;
    }
    if (count > 0) {  // the rest of that request, when there is room again
      client.send(request.substr(static_cast<std::size_t>(count)));
      ++sent;
      continue;
    }
    pollfd wait{client.socket(), POLLOUT, 0};
    if (::poll(&wait, 1, 500) == 0) return sent;
  }
}

#if defined(__SANITIZE_ADDRESS__)
constexpr bool memory_is_ours = false;  // the sanitizer's own memory would be measured
#else
constexpr bool memory_is_ours = true;
#endif

}  // namespace

TEST_CASE("a client that asks and never reads is not read from, and gets all its answers when it does") {
  DaemonProcess daemon;
  Bystander bystander(daemon.socket());
  bystander.check();
  const std::size_t before = memory_in_use(daemon.pid());
  RawClient greedy(daemon.socket());
  greedy.hello();
  const std::size_t asked = send_until_full(greedy, RawClient::encoded(2, GetStats{}));
  CHECK(asked > 100);
  bystander.check();
  if (memory_is_ours) CHECK(memory_in_use(daemon.pid()) - before < 16 * limits::send_queue_bytes_max);
  for (std::size_t i = 0; i < asked; ++i) greedy.receive_only<Statistics>();
  greedy.request(3, GetStatus{});
  greedy.receive_only<StatusReport>();
  bystander.check();
}

TEST_CASE("a client that is owed more than the daemon keeps for it is ended, and it alone") {
  DaemonProcess daemon(DaemonProcess::options({"--set", "limits.send_queue_bytes_max=64KiB"}));
  Bystander bystander(daemon.socket());
  RawClient holder(daemon.socket());
  holder.hello();
  Acquire acquire;
  acquire.key = key_bytes("owed", 1);
  holder.request(2, acquire);
  const auto lease = holder.receive_only<Lease>();
  RawClient greedy(daemon.socket());
  greedy.hello();
  acquire.wait_ms = 60'000;
  for (RequestId id = 10; id < 110; ++id) greedy.request(id, acquire);
  greedy.request(5, GetStatus{});
  greedy.receive_only<StatusReport>();  // now all hundred wait
  holder.request(3, Publish{lease.token, {{"", "", std::string(limits::value_bytes_max, 'v')}}, 0});
  CHECK(holder.receive_only<Published>().stored);
  std::size_t values = 0;
  bool ended = false;
  // Perhaps in the middle of a frame: then the stream just ends.
  while (!ended) {
    const auto answer = greedy.receive();
    if (!answer) ended = true;
    else if (std::holds_alternative<Value>(answer->second)) ++values;
  }
  CHECK(values < 100);
  daemon.wait_for_log("bytes of answers wait for it");
  bystander.check();
}

TEST_CASE("memory per connection that has not said HELLO is at most 16 KiB") {
  DaemonProcess daemon;
  Bystander bystander(daemon.socket());
  const auto hello = RawClient::frame(4000, 1, 1, std::string(3999, 'x'));  // one byte is missing
  const auto measure = [&](std::size_t count) {
    std::vector<RawClient> clients;
    const std::size_t before = memory_in_use(daemon.pid());
    for (std::size_t i = 0; i < count; ++i) {
      clients.emplace_back(daemon.socket());
      clients.back().send(hello);
    }
    bystander.check();
    wait_until([&] { return open_descriptors(daemon.pid()) >= 2 * count; }, "the connections");
    bystander.check();
    return memory_in_use(daemon.pid()) - before;
  };
  const std::size_t count = 400;
  const std::size_t used = measure(count);
  MESSAGE("bytes per connection: " << used / count);
  if (memory_is_ours) CHECK(used / count <= 16 * 1024);
}

TEST_CASE("descriptors that a client sends end its connection or never arrive") {
  DaemonProcess daemon;
  Bystander bystander(daemon.socket());
  bystander.check();
  const int null = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
  REQUIRE(null >= 0);
  const std::string status = RawClient::encoded(2, GetStatus{});
  const std::string hello = RawClient::encoded(1, RawClient::hello_message(false));
  const std::size_t descriptors_before = open_descriptors(daemon.pid());
  for (const bool after_hello : {false, true}) {
    RawClient client(daemon.socket());
    if (after_hello) client.hello();
    const int error = send_descriptor(client.socket(), after_hello ? status : hello, null);
    if (error != 0) {
      CHECK(error == EPERM);  // SO_PASSRIGHTS: the kernel refuses for the daemon
      continue;
    }
    const auto refused = client.receive_end();
    REQUIRE(refused.has_value());
    CHECK(refused->text.find("descriptors") != std::string::npos);
  }
  ::close(null);
  bystander.check();
  wait_until([&] { return open_descriptors(daemon.pid()) <= descriptors_before; }, "the daemon's descriptors to be closed");
}

TEST_CASE("clients that never read the descriptors they are owed do not keep others from theirs") {
  DaemonProcess daemon;
  std::vector<RawClient> greedy;
  for (int i = 0; i < 200; ++i) {
    greedy.emplace_back(daemon.socket());
    greedy.back().request(1, RawClient::hello_message(true));
  }
  RawClient client(daemon.socket());
  const Welcome welcome = client.hello(true);
  CHECK(client.descriptors().size() == 2);
  CHECK(welcome.segment_bytes > 0);
  Bystander(daemon.socket()).check();
}

TEST_CASE("without a free descriptor clients are told so, and the daemon neither spins nor stops serving") {
  DaemonProcess daemon;
  Bystander bystander(daemon.socket());
  bystander.check();
  rlimit all{};
  REQUIRE(::prlimit(daemon.pid(), RLIMIT_NOFILE, nullptr, &all) == 0);
  const rlimit few{open_descriptors(daemon.pid()) + 8, all.rlim_max};
  REQUIRE(::prlimit(daemon.pid(), RLIMIT_NOFILE, &few, nullptr) == 0);
  std::vector<RawClient> clients;
  int refused = 0;
  for (int i = 0; i < 20; ++i) {
    clients.emplace_back(daemon.socket());
    clients.back().request(1, RawClient::hello_message(false));
    const auto answer = clients.back().receive();
    if (!answer) continue;
    if (const auto* why = std::get_if<Refused>(&answer->second)) {
      CHECK(why->code == ErrorCode::limit_reached);
      CHECK(why->text.find("LimitNOFILE") != std::string::npos);
      ++refused;
    }
  }
  CHECK(refused > 0);
  bystander.check();
  daemon.wait_for_log("LimitNOFILE");
  // They leave: there is room again.
  clients.clear();
  wait_until(
      [&] {
        RawClient client(daemon.socket());
        client.request(1, RawClient::hello_message(false));
        const auto answer = client.receive();
        return answer && std::holds_alternative<Welcome>(answer->second);
      },
      "room for a client");
  bystander.check();
}

TEST_CASE("segments and blobs that together are larger than the memory cgroup are refused at start") {
  // Version 1 or version 2, where this process may make a group of its own.
  const std::string name = "onced-test-" + std::to_string(::getpid());
  std::string group;
  for (const char* root : {"/sys/fs/cgroup/memory/", "/sys/fs/cgroup/"}) {
    std::error_code error;
    if (!std::filesystem::create_directory(root + name, error)) continue;
    const std::string limit = root + name + "/memory.limit_in_bytes";
    const std::string limit_v2 = root + name + "/memory.max";
    const std::string file = std::filesystem::exists(limit) ? limit : limit_v2;
    std::ofstream out(file);
    out << 64 * 1024 * 1024 << std::flush;
    if (out && std::filesystem::exists(file)) {
      group = root + name;
      break;
    }
    std::filesystem::remove(root + name, error);
  }
  if (group.empty()) {
    MESSAGE("skipped: no memory cgroup can be made here");
    return;
  }
  const onced::testing::TempDirectory directory;
  const auto complaint_about = [&](const std::string& flags) {
    const std::string command = "echo $$ > " + group + "/cgroup.procs && exec " ONCED_BINARY " --socket " +
                                (directory / "onced.sock").string() + " " + flags + " 2> " + (directory / "error").string();
    const int status = ::system(command.c_str());
    CHECK(WIFEXITED(status));
    CHECK(WEXITSTATUS(status) == 1);
    return onced::testing::read_file(directory / "error");
  };
  const std::string of_segment = complaint_about("--memory 256MiB");
  const std::string of_both = complaint_about("--memory 40MiB --blobs 41MiB");
  std::error_code error;
  std::filesystem::remove(group, error);
  CAPTURE(of_segment);
  CHECK(of_segment.find("268435456") != std::string::npos);
  CHECK(of_segment.find("67108864") != std::string::npos);
  CAPTURE(of_both);
  CHECK(of_both.find("41943040 + 42991616 bytes") != std::string::npos);
  CHECK(of_both.find("67108864") != std::string::npos);
}
