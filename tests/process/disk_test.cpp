// Values on disk, in a real directory: what restarts and kill -9 leave, and what they must not bring back.
//
// Every value derives from its key and version, so that any wrong byte, and any older value in the place of a newer one, is seen.
#include <doctest/doctest.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <onced/session.hpp>

#include "process/on_disk.hpp"
#include "process/processes.hpp"
#include "support/daemon_process.hpp"
#include "support/temp_directory.hpp"

using namespace onced;
using namespace onced::testing;
using namespace std::chrono_literals;

TEST_CASE("an orderly restart finds all that was published, and nobody computes it again") {
  OnDisk disk;
  constexpr int keys = 200;
  {
    Client client = disk.client();
    for (int key = 0; key < keys; ++key) {
      if (key % 2 == 0) {
        REQUIRE(client.put(key_named("f", key).bytes(), value_of(key, 1)).ok());
      } else {
        REQUIRE(client.get_or_compute(key_named("f", key), {}, [&](Computation&) { return value_of(key, 1); }).ok());
      }
    }
    ValueBuilder builder = client.builder();
    REQUIRE(builder.add("pixels", value_of(1, 2, large_bytes), "image/x-raw").ok());
    REQUIRE(builder.add("caption", "the north face", "text/plain").ok());
    REQUIRE(client.put(key_named("parts").bytes(), std::move(builder)).ok());
  }
  disk.restart();
  Client client = disk.client();
  CHECK(number_in(client, "disk_values") == keys + 1);
  CHECK(number_in(client, "entries") == 0);  // nothing is loaded before somebody asks
  for (int key = 0; key < keys; ++key) {
    const auto value = client.get_or_compute(key_named("f", key), {}, [&](Computation&) -> std::string {
      FAIL("computed again: " << key);
      return {};
    });
    REQUIRE(value.ok());
    CHECK(value->text() == value_of(key, 1));
    CHECK(client.peek(key_named("f", key)).has_value());  // and is in memory from then on
  }
  const auto parts = client.get(key_named("parts").bytes());
  REQUIRE((parts.ok() && parts->has_value()));
  CHECK((*parts)->part("pixels")->text() == value_of(1, 2, large_bytes));
  CHECK((*parts)->part("pixels")->content_type == "image/x-raw");
  CHECK((*parts)->part("caption")->text() == "the north face");
  CHECK(number_in(client, "computations") == 0);
  CHECK(number_in(client, "disk_loads") == keys + 1);
}

TEST_CASE("however many ask for a value that is on disk only, it is read once") {
  OnDisk disk;
  {
    Client client = disk.client();
    REQUIRE(client.put(key_named("f").bytes(), value_of(0, 5), durable_put()).ok());
  }
  disk.crash();
  std::vector<Worker> workers;
  Shared<std::atomic<int>> ready;
  for (int i = 0; i < 8; ++i) {
    workers.emplace_back([&] {
      Client client = disk.client();
      if (!client.connect().ok()) return 1;
      ++*ready;
      wait_until([&] { return *ready == 8; }, "the others");
      const auto value = client.get_or_compute(key_named("f"), {}, [](Computation&) { return std::string("computed"); });
      return value.ok() && value->text() == value_of(0, 5) ? 0 : 2;
    });
  }
  for (Worker& worker : workers) CHECK(worker.wait() == 0);
  Client client = disk.client();
  CHECK(number_in(client, "disk_loads") == 1);
}

TEST_CASE("kill -9 under load, ten times: what was durable is there, nothing is wrong, nothing that was dropped comes back") {
  OnDisk disk({"--set", "disk.size=256MiB"});
  constexpr int threads = 3;
  constexpr int keys_per_thread = 8;
  constexpr int keys = threads * keys_per_thread;
  constexpr std::uint64_t none = 0;  // the version of a key that has no value
  // What a key may have after a crash: what was certain, and what was asked for since.
  std::vector<std::set<std::uint64_t>> allowed(keys, {none});
  std::vector<std::uint64_t> last_version(keys, 0);
  std::uint64_t durable_found = 0;
  std::uint64_t seed = 20'241;
  for (int cycle = 0; cycle < 10; ++cycle) {
    CAPTURE(seed);
    CAPTURE(cycle);
    std::atomic<int> done{0};
    std::atomic<int> wrong{0};
    std::vector<std::set<int>> durable(threads);  // keys whose latest word is certain
    {
      std::vector<std::jthread> writers;
      for (int thread = 0; thread < threads; ++thread) {
        writers.emplace_back([&, thread] {
          Client client = disk.client();
          std::minstd_rand random(static_cast<unsigned>(seed + static_cast<std::uint64_t>(cycle * threads + thread)));
          for (;;) {
            const int key = thread * keys_per_thread + static_cast<int>(random() % keys_per_thread);
            const std::string bytes(key_named("f", key).bytes());
            std::set<std::uint64_t>& may_be = allowed[static_cast<std::size_t>(key)];
            const auto kind = random() % 10;
            if (kind < 8) {  // half of them durable
              const std::uint64_t version = ++last_version[static_cast<std::size_t>(key)];
              may_be.insert(version);
              if (kind >= 4) may_be.insert(none);  // one that is only written behind may be lost, and what was there before with it
              const auto put = client.put(bytes, value_of(key, version), kind < 4 ? durable_put() : PutOptions());
              if (!put) return;
              durable[static_cast<std::size_t>(thread)].erase(key);
              if (kind < 4) may_be = {version}, durable[static_cast<std::size_t>(thread)].insert(key);
            } else if (kind < 9) {
              may_be.insert(none);
              if (!client.invalidate(bytes)) return;
              may_be = {none};
              durable[static_cast<std::size_t>(thread)].erase(key);
            } else {
              const auto found = client.get(bytes);
              if (!found) return;
              if (*found && !version_in(key, (*found)->text())) ++wrong;
            }
            ++done;
          }
        });
      }
      const int enough = 100 + static_cast<int>(std::minstd_rand(static_cast<unsigned>(seed + static_cast<std::uint64_t>(cycle)))() % 200);
      wait_until([&] { return done >= enough; }, "work to be done");
      disk.daemon().kill(SIGKILL);
      disk.daemon().wait();
    }  // the writers have found out
    CHECK(wrong == 0);
    disk.daemon().start();
    Client client = disk.client();
    for (int key = 0; key < keys; ++key) {
      CAPTURE(key);
      const auto text = text_of(client, key_named("f", key));
      const std::optional<std::uint64_t> version = text ? version_in(key, *text) : std::optional(none);
      REQUIRE(version.has_value());  // or some byte is wrong
      std::set<std::uint64_t>& may_be = allowed[static_cast<std::size_t>(key)];
      CAPTURE(*version);
      CHECK(may_be.contains(*version));
      if (durable[static_cast<std::size_t>(key / keys_per_thread)].contains(key) && may_be.size() == 1) {
        CHECK(*version != none);
        ++durable_found;
      }
      may_be = {*version};  // it has survived one crash
    }
  }
  CHECK(durable_found > 0);
}

TEST_CASE("what was dropped by key, function, tag or all at once stays so after kill -9, and what was put since is there") {
  OnDisk disk;
  PutOptions tagged = durable_put();
  tagged.tags = {"north"};
  {
    Client client = disk.client();
    for (const char* function : {"by_key", "by_function", "kept"}) REQUIRE(client.put(key_named(function, 1).bytes(), value_of(1, 1), durable_put()).ok());
    REQUIRE(client.put(key_named("by_tag", 1).bytes(), value_of(1, 1), tagged).ok());
    REQUIRE(client.put(key_named("softly", 1).bytes(), value_of(1, 1), durable_put()).ok());
    CHECK(*client.invalidate(key_named("by_key", 1).bytes()) == 1);
    CHECK(*client.invalidate_function("by_function") == 1);
    CHECK(*client.invalidate_tag("north") == 1);
    CHECK(*client.invalidate(key_named("softly", 1).bytes(), {.soft = true}) == 1);
  }
  disk.crash();
  {
    Client client = disk.client();
    for (const char* function : {"by_key", "by_function", "by_tag", "softly"}) {
      CAPTURE(function);
      CHECK_FALSE(text_of(client, key_named(function, 1)));
    }
    CHECK(text_of(client, key_named("kept", 1)) == value_of(1, 1));
    REQUIRE(client.put(key_named("by_function", 1).bytes(), value_of(1, 2), durable_put()).ok());
    REQUIRE(client.put(key_named("by_tag", 1).bytes(), value_of(1, 2), tagged).ok());
  }
  disk.crash();
  {
    Client client = disk.client();
    CHECK(text_of(client, key_named("by_function", 1)) == value_of(1, 2));
    // Dropped where it is on disk only: nobody has asked for it since the crash.
    CHECK(client.invalidate_tag("north").ok());
    CHECK_FALSE(text_of(client, key_named("by_tag", 1)));
  }
  disk.crash();
  Client client = disk.client();
  CHECK_FALSE(text_of(client, key_named("by_tag", 1)));
  CHECK(client.invalidate_all().ok());
  disk.crash();
  Client last = disk.client();
  for (const char* function : {"kept", "by_function"}) CHECK_FALSE(text_of(last, key_named(function, 1)));
}

TEST_CASE("a value's time goes on over a restart, and one that is over is not found") {
  OnDisk disk;
  PutOptions hour = durable_put();
  hour.ttl = 1h;
  PutOptions moment = durable_put();
  moment.ttl = 1ms;
  PutOptions stale = durable_put();
  stale.ttl = 1ms;
  stale.grace = 1h;
  {
    Client client = disk.client();
    REQUIRE(client.put(key_named("hour"), "an hour", hour).ok());
    REQUIRE(client.put(key_named("moment").bytes(), "a moment", moment).ok());
    REQUIRE(client.put(key_named("stale").bytes(), "stale", stale).ok());
  }
  disk.crash();
  Client client = disk.client();
  CHECK(text_of(client, key_named("hour")) == "an hour");
  const auto explained = client.explain(key_named("hour").bytes());
  REQUIRE(explained.ok());
  CHECK(explained->row.ttl_left_ms > 0);
  CHECK(explained->row.ttl_left_ms < 3'600'000);  // a millisecond has passed since, whatever the machine does
  CHECK_FALSE(text_of(client, key_named("moment")));
  const auto found = client.get(key_named("stale").bytes());
  REQUIRE((found.ok() && found->has_value()));
  CHECK((*found)->stale());
}

TEST_CASE("values that do not fit into memory are answered from disk, byte for byte") {
  OnDisk disk({"--set", "blobs=8MiB"}, "4MiB");
  Client client = disk.client();
  constexpr int small = 300;  // of 40 KB, in the segment: 12 MB
  constexpr int large = 100;  // of 300 KB: 30 MB
  for (int key = 0; key < small; ++key) REQUIRE(client.put(key_named("small", key).bytes(), value_of(key, 1, 40'000), durable_put()).ok());
  for (int key = 0; key < large; ++key) REQUIRE(client.put(key_named("large", key).bytes(), value_of(key, 1, 300'000), durable_put()).ok());
  CHECK(number_in(client, "evictions") > 0);
  for (int round = 0; round < 2; ++round) {
    for (int key = 0; key < small; ++key) CHECK(text_of(client, key_named("small", key)) == value_of(key, 1, 40'000));
    for (int key = 0; key < large; ++key) CHECK(text_of(client, key_named("large", key)) == value_of(key, 1, 300'000));
  }
  CHECK(number_in(client, "disk_loads") > small);
}

TEST_CASE("a newer value that is not written takes the older one's place on disk, too") {
  OnDisk disk;
  const std::string older = "written, and out of date";
  {
    Client client = disk.client();
    REQUIRE(client.put(key_named("f").bytes(), older, durable_put()).ok());
    PutOptions options = durable_put();
    options.depends_on = {key_named("that nobody has")};  // so it is stale at once
    CHECK(client.put(key_named("f").bytes(), "newer", options).error().code == ErrorCode::not_durable);
  }
  disk.crash();
  Client client = disk.client();
  CHECK_FALSE(text_of(client, key_named("f")));
}

TEST_CASE("everything in the directory is the daemon's alone") {
  OnDisk disk;
  Client client = disk.client();
  REQUIRE(client.put(key_named("f").bytes(), value_of(0, 5), durable_put()).ok());
  std::size_t files = 0;
  const auto mode_of = [](const std::filesystem::path& path) {
    struct stat found {};
    REQUIRE(::lstat(path.c_str(), &found) == 0);
    return found.st_mode & 07777U;
  };
  CHECK(mode_of(disk.path()) == 0700);
  for (const auto& entry : std::filesystem::recursive_directory_iterator(disk.path())) {
    CAPTURE(entry.path().string());
    CHECK(mode_of(entry.path()) == (entry.is_directory() ? 0700U : 0600U));
    if (entry.is_regular_file()) ++files;
  }
  CHECK(files >= 4);  // identity, lock, log, a part
}

TEST_CASE("a second daemon on the same directory is refused, and the first goes on") {
  OnDisk disk;
  Client client = disk.client();
  REQUIRE(client.put(key_named("f").bytes(), "value", durable_put()).ok());
  const TempDirectory elsewhere;
  const auto second = DaemonProcess::run({"--socket", (elsewhere / "onced.sock").string(), "--memory", "8MiB", "--disk", disk.path()});
  CHECK(second.status == ExitStatus{1, 0});
  CHECK(second.error.find("/default: the directory is in use by another daemon: give each its own") != std::string::npos);
  CHECK(text_of(client, key_named("f")) == "value");
  REQUIRE(client.put(key_named("g").bytes(), "value", durable_put()).ok());
}

TEST_CASE("a directory that others could get into, or that is of something else, is refused and left as it is") {
  const TempDirectory files;
  const auto start = [&](const std::string& path) {
    return DaemonProcess::run({"--socket", (files / "onced.sock").string(), "--memory", "8MiB", "--disk", path});
  };
  const std::string open = (files / "open").string();
  std::filesystem::create_directory(open);
  REQUIRE(::chmod(open.c_str(), 0755) == 0);
  const auto refused = start(open);
  CHECK(refused.status == ExitStatus{1, 0});
  CHECK(refused.error.find(open + " has mode 0755, it must be 0700") != std::string::npos);
  CHECK(std::filesystem::is_empty(open));

  const std::string foreign = (files / "foreign").string();
  std::filesystem::create_directories(foreign + "/default");
  for (const std::string& path : {foreign, foreign + "/default"}) REQUIRE(::chmod(path.c_str(), 0700) == 0);
  write_file(foreign + "/default/thesis.tex", "five years");
  const auto other = start(foreign);
  CHECK(other.status == ExitStatus{1, 0});
  CHECK(other.error.find("the disk of the namespace \"default\": " + foreign + "/default: ") != std::string::npos);
  CHECK(other.error.find("thesis.tex") != std::string::npos);
  CHECK(read_file(foreign + "/default/thesis.tex") == "five years");

  const auto nowhere = start((files / "no" ).string() + "/such");
  CHECK(nowhere.status == ExitStatus{1, 0});
  CHECK(nowhere.error.find("its parent is not there") != std::string::npos);
}

TEST_CASE("each namespace has its own values on disk, and one says off") {
  OnDisk disk({"--set", "namespaces.charts.memory=4MiB", "--set", "namespaces.scratch.memory=4MiB", "--set", "namespaces.scratch.disk=off", "--set",
               "namespaces.charts.disk_size=5MiB", "--set", "disk.size=7MiB"});
  for (const char* space : {"default", "charts"}) {
    Client client = disk.client(space);
    REQUIRE(client.put(key_named("f").bytes(), std::string("of ") + space, durable_put()).ok());
  }
  {
    Client scratch = disk.client("scratch");
    CHECK(scratch.put(key_named("f").bytes(), "of scratch", durable_put()).error().code == ErrorCode::not_durable);
    CHECK(text_of(scratch, key_named("f")) == "of scratch");
    CHECK(scratch.disk().error().code == ErrorCode::not_found);
  }
  CHECK(std::filesystem::exists(disk.path() + "/charts"));
  CHECK_FALSE(std::filesystem::exists(disk.path() + "/scratch"));
  disk.crash();
  disk.daemon().wait_for_log("on disk, namespace \"charts\": " + disk.path() + "/charts, 1 values, 0 MiB of 5MiB used");
  disk.daemon().wait_for_log("on disk, namespace \"default\": " + disk.path() + "/default, 1 values, 0 MiB of 7MiB used");
  for (const char* space : {"default", "charts"}) {
    Client client = disk.client(space);
    CHECK(text_of(client, key_named("f")) == std::string("of ") + space);
  }
  Client scratch = disk.client("scratch");
  CHECK_FALSE(text_of(scratch, key_named("f")));
}

// ---- reloads --------------------------------------------------------------------------------------------------------

namespace {

class ReloadedOnDisk {
 public:
  explicit ReloadedOnDisk(std::string_view text) : path_((files_ / "onced").string()), file_((files_ / "onced.toml").string()) {
    write(text);
    daemon_.emplace(DaemonProcess::options({"--config", file_}));
  }
  DaemonProcess& daemon() { return *daemon_; }
  const std::string& path() const { return path_; }
  void write(std::string_view text) const { write_file(file_, "[disk]\npath = \"" + path_ + "\"\n" + std::string(text)); }
  void reload(std::string_view text) {
    write(text);
    const std::size_t before = reloads();
    daemon_->kill(SIGHUP);
    wait_until([&] { return reloads() > before; }, "the reload");
  }
  void restart() {
    daemon_->kill(SIGTERM);
    CHECK(daemon_->wait() == ExitStatus{0, 0});
    daemon_->start();
  }
  Client client(const std::string& space) const {
    ClientOptions options = options_for(daemon_->socket());
    options.namespace_name = space;
    options.strict = true;
    return Client(options);
  }

 private:
  std::size_t reloads() const {
    const std::string log = daemon_->log();
    std::size_t found = 0;
    for (std::size_t at = 0; (at = log.find("reloaded the configuration", at)) != std::string::npos; ++at) ++found;
    return found;
  }
  TempDirectory files_;
  std::string path_;
  std::string file_;
  std::optional<DaemonProcess> daemon_;
};

constexpr std::string_view charts_on_disk = "[namespaces.charts]\nmemory = \"4MiB\"\n";

}  // namespace

TEST_CASE("a namespace that a reload ended and another began anew has nothing of before, and after a restart neither") {
  ReloadedOnDisk disk(charts_on_disk);
  {
    Client client = disk.client("charts");
    REQUIRE(client.put(key_named("f").bytes(), "of before", durable_put()).ok());
  }
  disk.reload("");
  disk.reload(charts_on_disk);
  {
    Client client = disk.client("charts");
    CHECK_FALSE(text_of(client, key_named("f")));
    REQUIRE(client.put(key_named("g").bytes(), "of now", durable_put()).ok());
  }
  disk.restart();
  Client client = disk.client("charts");
  CHECK_FALSE(text_of(client, key_named("f")));
  CHECK(text_of(client, key_named("g")) == "of now");
}

TEST_CASE("a namespace that fewer may use than before begins anew on disk, too") {
  ReloadedOnDisk disk(charts_on_disk);
  {
    Client client = disk.client("charts");
    REQUIRE(client.put(key_named("f").bytes(), "of before", durable_put()).ok());
  }
  disk.reload(std::string(charts_on_disk) + "allow_uids = [12345]\n");
  {
    Client client = disk.client("charts");  // the daemon's own user may always
    CHECK_FALSE(text_of(client, key_named("f")));
  }
  disk.restart();
  Client client = disk.client("charts");
  CHECK_FALSE(text_of(client, key_named("f")));
}

TEST_CASE("what a restart finds that is of no namespace any more stays as it is, and is told") {
  ReloadedOnDisk disk(charts_on_disk);
  {
    Client client = disk.client("charts");
    REQUIRE(client.put(key_named("f").bytes(), "kept", durable_put()).ok());
  }
  disk.write("");
  disk.restart();
  disk.daemon().wait_for_log("\"charts\" is of no namespace that keeps values there");
  disk.write(charts_on_disk);
  disk.restart();
  Client client = disk.client("charts");
  CHECK(text_of(client, key_named("f")) == "kept");
}

TEST_CASE("a reload opens no disk and closes none: it says that a restart would") {
  ReloadedOnDisk disk("");
  Client client = disk.client("default");
  REQUIRE(client.put(key_named("f").bytes(), "value", durable_put()).ok());
  disk.reload("size = \"2GiB\"\n[namespaces.default]\ndisk = \"off\"\n[namespaces.charts]\nmemory = \"4MiB\"\n");
  disk.daemon().wait_for_log("needs a restart: disk.size: 10GiB -> 2GiB");
  disk.daemon().wait_for_log("needs a restart: namespaces.default.disk: not set -> off");
  disk.daemon().wait_for_log("the namespace \"charts\" keeps its values in memory only until the daemon starts again");
  REQUIRE(client.put(key_named("g").bytes(), "value", durable_put()).ok());
  Client of_charts = disk.client("charts");
  CHECK(of_charts.put(key_named("f").bytes(), "value", durable_put()).error().code == ErrorCode::not_durable);
  disk.restart();
  Client again = disk.client("default");
  CHECK_FALSE(text_of(again, key_named("g")));  // off, as was said
  Client charts_again = disk.client("charts");
  CHECK(charts_again.put(key_named("f").bytes(), "value", durable_put()).ok());
}

// ---- a disk that cannot be written ----------------------------------------------------------------------------------

namespace {

// The daemon may write to no file any more, as if the disk were full.
void allow_files_of(pid_t daemon, rlim_t bytes) {
  const rlimit limit{bytes, RLIM_INFINITY};
  REQUIRE(::prlimit(daemon, RLIMIT_FSIZE, &limit, nullptr) == 0);
}

}  // namespace

TEST_CASE("a disk that cannot be written: memory goes on, nothing is called durable, and what was dropped meanwhile stays dropped") {
  const TempDirectory files;
  DaemonOptions options = DaemonProcess::options({"--disk", (files / "onced").string()});
  options.log_file = "/dev/null";  // a file could not be written either
  DaemonProcess daemon(std::move(options));
  ClientOptions of_client = options_for(daemon.socket());
  of_client.strict = true;
  {
    Client client(of_client);
    for (const char* function : {"kept", "dropped", "by_tag"}) {
      PutOptions put = durable_put();
      put.tags = {function};
      REQUIRE(client.put(key_named(function, 1).bytes(), value_of(1, 1), put).ok());
    }
    allow_files_of(daemon.pid(), 100);
    CHECK(client.put(key_named("meanwhile", 1).bytes(), value_of(1, 1), durable_put()).error().code == ErrorCode::not_durable);
    CHECK(client.peek(key_named("meanwhile", 1)).has_value());  // memory has it
    CHECK(number_in(client, "disk_degraded") == 1);
    CHECK(client.invalidate(key_named("dropped", 1).bytes()).error().code == ErrorCode::not_durable);
    CHECK_FALSE(text_of(client, key_named("dropped", 1)));
    CHECK(client.invalidate_tag("by_tag").error().code == ErrorCode::not_durable);
    CHECK_FALSE(text_of(client, key_named("by_tag", 1)));
    CHECK(text_of(client, key_named("kept", 1)) == value_of(1, 1));
    const auto report = client.disk();
    REQUIRE(report.ok());
    const auto why = std::find_if(report->begin(), report->end(), [](const auto& field) { return field.first == "degraded_why"; });
    REQUIRE(why != report->end());
    CHECK(std::get<std::string>(why->second).find("File too large") != std::string::npos);

    allow_files_of(daemon.pid(), RLIM_INFINITY);
    wait_until([&] { return number_in(client, "disk_degraded") == 0; }, "the disk to be tried again");
    CHECK(client.put(key_named("afterwards", 1).bytes(), value_of(1, 2), durable_put()).ok());
  }
  daemon.kill(SIGKILL);
  daemon.wait();
  daemon.start();
  Client client(of_client);
  CHECK(text_of(client, key_named("kept", 1)) == value_of(1, 1));
  CHECK(text_of(client, key_named("afterwards", 1)) == value_of(1, 2));
  CHECK_FALSE(text_of(client, key_named("dropped", 1)));
  CHECK_FALSE(text_of(client, key_named("by_tag", 1)));
}
