// What clients store and say stays in memory: it is neither in a core file nor in the log.
#include <doctest/doctest.h>

#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <map>
#include <optional>
#include <sstream>

#include "process/blob_client.hpp"
#include "process/bystander.hpp"
#include "support/daemon_process.hpp"

using namespace onced;
using namespace onced::protocol;
using onced::testing::BlobClient;
using onced::testing::DaemonOptions;
using onced::testing::DaemonProcess;
using onced::testing::key_bytes;
using onced::testing::RawClient;
using onced::testing::TempDirectory;

namespace {

// Not as one string in this program, for it is in the daemon's memory that it is looked for.
std::string secret(std::string_view what) { return std::string("the-secret") + "-of-" + std::string(what); }

// The directory that processes started meanwhile work in, and leave core files in.
class WorkingDirectory {
 public:
  explicit WorkingDirectory(const std::filesystem::path& path) : before_(std::filesystem::current_path()) { std::filesystem::current_path(path); }
  ~WorkingDirectory() { std::filesystem::current_path(before_); }

 private:
  std::filesystem::path before_;
};

// The daemon keeps, or has just had, a secret in each place where it may lie.
void store_secrets(const std::string& socket) {
  BlobClient blobs(socket);
  const auto blob = blobs.reserve(1 << 20);
  REQUIRE(blobs.put_filled(key_bytes("large", 1), blob, secret("a large part")).stored);
  RawClient client(socket);
  client.hello(true);
  client.request(2, Put{key_bytes(secret("a key"), 1), {{"", "", secret("a value") + std::string(4096, 'x')}}, {}});
  client.receive_only<Published>();
  Acquire acquire;
  acquire.key = key_bytes("computing", 1);
  client.request(3, acquire);
  const auto lease = client.receive_only<Lease>();
  client.request(4, Progress{lease.token, 0.5, secret("progress")});
  client.request(5, GetStatus{});
  client.receive_only<StatusReport>();
}

// What is in the core file that the daemon leaves when it aborts; nothing: it leaves none.
std::optional<std::string> core_of(DaemonProcess& daemon, const std::filesystem::path& directory) {
  daemon.kill(SIGQUIT);  // as a crash, for the kernel
  const auto ended = daemon.wait();
  CHECK(ended.signal == SIGQUIT);
  for (const auto& entry : std::filesystem::directory_iterator(directory))
    if (entry.path().filename().string().starts_with("core")) return onced::testing::read_file(entry.path());
  CHECK_FALSE(ended.dumped);
  return std::nullopt;
}

void allow_cores(pid_t pid) {
  rlimit limit{};
  REQUIRE(::prlimit(pid, RLIMIT_CORE, nullptr, &limit) == 0);
  limit.rlim_cur = limit.rlim_max;
  REQUIRE(::prlimit(pid, RLIMIT_CORE, &limit, nullptr) == 0);
}

}  // namespace

TEST_CASE("segments and pin pages are left out of core files") {
  DaemonProcess daemon;
  RawClient client(daemon.socket());
  client.hello(true);
  std::istringstream maps(onced::testing::read_file("/proc/" + std::to_string(daemon.pid()) + "/smaps"));
  std::string name;
  std::map<std::string, int> kept_out;
  for (std::string line; std::getline(maps, line);) {
    for (const char* one : {"onced-segment", "onced-pins"})
      if (line.find(std::string("memfd:") + one) != std::string::npos) name = one;
    if (!line.starts_with("VmFlags:")) continue;
    if (!name.empty()) {
      CAPTURE(name);
      CHECK((line + " ").find(" dd ") != std::string::npos);
      ++kept_out[name];
    }
    name.clear();
  }
  CHECK(kept_out["onced-segment"] == 1);
  CHECK(kept_out["onced-pins"] == 1);
}

TEST_CASE("a daemon that crashes leaves no core file, and one that is made all the same has no memory in it") {
  const TempDirectory directory;
  const WorkingDirectory here(directory.path());
  {
    DaemonProcess daemon;
    store_secrets(daemon.socket());
    CHECK_FALSE(core_of(daemon, directory.path()).has_value());
  }
  // As where cores go through a pipe, whatever the limit says.
  DaemonProcess daemon;
  allow_cores(daemon.pid());
  store_secrets(daemon.socket());
  const auto core = core_of(daemon, directory.path());
  if (!core) {
    MESSAGE("skipped: no core files are written here");
    return;
  }
  CHECK(core->starts_with("\x7f" "ELF"));
  for (const char* what : {"a large part", "a value", "a key", "progress"}) {
    CAPTURE(what);
    CHECK(core->find(secret(what)) == std::string::npos);
  }
  for (const auto& entry : std::filesystem::directory_iterator(directory.path())) std::filesystem::remove(entry.path());
  // This test would find them: with the filter of other programs the heap is in the file.
  DaemonProcess open;
  allow_cores(open.pid());
  onced::testing::write_file("/proc/" + std::to_string(open.pid()) + "/coredump_filter", "0x3f");
  store_secrets(open.socket());
  const auto whole = core_of(open, directory.path());
  REQUIRE(whole.has_value());
  CHECK(whole->find(secret("a key")) != std::string::npos);
}

TEST_CASE("the log has no values in it, whatever clients do") {
  DaemonProcess daemon(DaemonProcess::options({"--log-level", "debug"}));
  store_secrets(daemon.socket());
  RawClient client(daemon.socket());
  client.hello();
  Acquire acquire;
  acquire.key = key_bytes("failing", 1);
  client.request(2, acquire);
  client.request(3, Fail{client.receive_only<Lease>().token, secret("a failure"), 1000});
  client.receive_only<Done>();
  // Refused, unstored, malformed, cut: each with the secret in it.
  client.request(4, Publish{{1, 2}, {{"", "", secret("a refused value")}}, {}});
  client.receive_only<Refused>();
  client.request(5, Put{key_bytes("failing", 2), {{"a", "", secret("one")}, {"a", "", secret("another")}}, {}});
  client.receive_only<Refused>();
  acquire.key = key_bytes("failing", 3);
  client.request(6, acquire);
  client.receive_only<Lease>();
  client.send(RawClient::frame(4000, type_of(Request(Put{})), 7, secret("a malformed frame") + std::string(4000, 'y')));
  client.receive_end();
  RawClient stranger(daemon.socket());
  stranger.send(secret("garbage") + std::string(64, 'z'));
  stranger.receive_end();
  daemon.kill(SIGTERM);
  daemon.wait();
  const std::string log = daemon.log();
  CHECK(log.find("ended connection") != std::string::npos);
  CHECK(log.find(secret("")) == std::string::npos);
}
