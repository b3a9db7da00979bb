// Whose directory it is, in which format, and that nobody else uses it: over the real file system.
#include <doctest/doctest.h>

#include <sched.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "disk/format.hpp"
#include "support/temp_directory.hpp"
#include "workload.hpp"

namespace onced::testing {
namespace {

namespace fs = std::filesystem;

Result<std::unique_ptr<disk::Store>> open_at(const fs::path& path, disk::StoreOptions options = small_store()) {
  auto files = disk::open_posix_files(path.string());
  if (!files) return files.error();
  return disk::Store::open(std::move(*files), std::move(options), 10'000);
}

void put(disk::Store& store, int key, std::uint64_t version) {
  const disk::Store::Operation operation[] = {disk::Store::Put{derived_value(key, version)}};
  REQUIRE(store.write(operation, true, 20'000)[0] == disk::Store::Outcome::done);
}
bool has(disk::Store& store, int key, std::uint64_t version) {
  const auto loaded = store.load(key_name(key), 20'000);
  return loaded.ok() && loaded->has_value() && version_of(key, **loaded) == version;
}

std::map<std::string, std::string> contents(const fs::path& path) {
  std::map<std::string, std::string> all;
  for (const auto& entry : fs::recursive_directory_iterator(path)) {
    std::string text;
    if (entry.is_regular_file()) {
      std::ifstream in(entry.path(), std::ios::binary);
      text.assign(std::istreambuf_iterator<char>(in), {});
    }
    all[entry.path().lexically_relative(path).string()] = text;
  }
  return all;
}

void write_identity(const fs::path& path, std::uint32_t version) {
  disk::Identity identity;
  identity.version = version;
  identity.seed = 5;
  disk::seal(identity);
  std::ofstream out(path / "onced-disk", std::ios::binary);
  for (int i = 0; i < 2; ++i) out.write(reinterpret_cast<const char*>(&identity), sizeof(identity));
  out.close();
  ::chmod((path / "onced-disk").c_str(), 0600);
}

std::uint32_t mode_of(const fs::path& path) {
  struct stat status {};
  REQUIRE(::lstat(path.c_str(), &status) == 0);
  return status.st_mode & 07777;
}

}  // namespace

TEST_CASE("everything in a store is the owner's alone, and what is not is refused and left as it is") {
  const TempDirectory temp;
  const fs::path path = temp / "store";
  const mode_t before = ::umask(0);
  {
    auto store = open_at(path);
    REQUIRE_MESSAGE(store.ok(), store.error().text);
    put(**store, 1, 1);
    const disk::Store::Operation audience[] = {disk::Store::KeepAudience{"me"}};
    REQUIRE((*store)->write(audience, true, 20'000)[0] == disk::Store::Outcome::done);
  }
  ::umask(before);
  CHECK(mode_of(path) == 0700U);
  std::vector<fs::path> all{path};
  for (const auto& entry : fs::recursive_directory_iterator(path)) {
    CHECK_MESSAGE(mode_of(entry.path()) == (entry.is_directory() ? 0700U : 0600U), entry.path());
    all.push_back(entry.path());
  }
  CHECK(all.size() >= 10);
  const auto was = contents(path);
  for (const fs::path& each : all) {
    if (each.filename().string().find('-') != std::string::npos && each.parent_path() != path) continue;  // part files are looked at by name
    if (each.filename() == "lock") continue;
    CAPTURE(each);
    const std::uint32_t mode = mode_of(each);
    ::chmod(each.c_str(), mode | 0040);
    const auto refused = open_at(path);
    CHECK_FALSE(refused.ok());
    if (!refused) CHECK(refused.error().text.find("mode") != std::string::npos);
    ::chmod(each.c_str(), mode);
  }
  CHECK(contents(path) == was);
  auto store = open_at(path);
  REQUIRE(store.ok());
  CHECK(has(**store, 1, 1));
}

TEST_CASE("a second opener is refused, in this process and in another, and can open it afterwards") {
  const TempDirectory temp;
  const fs::path path = temp / "store";
  {
    auto first = open_at(path);
    REQUIRE(first.ok());
    const auto second = open_at(path);
    REQUIRE_FALSE(second.ok());
    CHECK(second.error().code == ErrorCode::limit_reached);
    CHECK(second.error().text.find("another daemon") != std::string::npos);
    const pid_t child = ::fork();
    if (child == 0) ::_exit(open_at(path).ok() ? 1 : 0);
    int status = 0;
    ::waitpid(child, &status, 0);
    CHECK(WEXITSTATUS(status) == 0);
  }
  CHECK(open_at(path).ok());
}

TEST_CASE("a foreign directory, garbage and a newer format are refused, and nothing in them is touched") {
  const TempDirectory temp;
  const auto refused = [&](const std::string& name, const std::function<void(const fs::path&)>& make, const std::string& because) {
    CAPTURE(name);
    const fs::path path = temp / name;
    fs::create_directory(path);
    ::chmod(path.c_str(), 0700);
    make(path);
    const auto before = contents(path);
    const auto opened = open_at(path);
    REQUIRE_FALSE(opened.ok());
    CHECK_MESSAGE(opened.error().text.find(because) != std::string::npos, opened.error().text);
    CHECK(contents(path) == before);
  };
  const auto file = [](const fs::path& path, const std::string& text) {
    std::ofstream(path, std::ios::binary) << text;
    ::chmod(path.c_str(), 0600);
  };
  refused("foreign", [&](const fs::path& p) { file(p / "thesis.tex", "precious"); }, "not empty (thesis.tex)");
  refused("garbage", [&](const fs::path& p) { file(p / "onced-disk", std::string(128, 'x')); }, "damaged or no store's");
  refused("empty", [&](const fs::path& p) { file(p / "onced-disk", ""); }, "damaged or no store's");
  refused("newer", [&](const fs::path& p) { write_identity(p, disk::format_version + 1); }, "newer daemon");
  refused("link", [&](const fs::path& p) {
    write_identity(temp.path(), disk::format_version);
    fs::create_symlink(temp / "onced-disk", p / "onced-disk");
  }, "no regular file");
  refused("log", [&](const fs::path& p) {
    { REQUIRE(open_at(p).ok()); }
    file(p / "log" / "notes.txt", "mine");
  }, "notes.txt");
  refused("parts", [&](const fs::path& p) {
    { REQUIRE(open_at(p).ok()); }
    fs::create_directory(p / "parts" / "00");
    ::chmod((p / "parts" / "00").c_str(), 0700);
    file(p / "parts" / "00" / "photo.jpg", "mine");
  }, "photo.jpg");
}

TEST_CASE("a store, and what a first start that was cut off has left of one, is told from anything else") {
  const TempDirectory temp;
  const auto is_taken_for_one = [&](const std::string& name, std::initializer_list<const char*> files) {
    const fs::path path = temp / name;
    fs::create_directory(path);
    for (const char* const file : files) std::ofstream(path / file) << "x";
    const auto before = contents(path);
    const auto opened = disk::open_posix_files(path.string());
    REQUIRE(opened.ok());
    const bool is_store = disk::may_be_store(**opened);
    CHECK(contents(path) == before);
    return is_store;
  };
  CHECK(is_taken_for_one("store", {"lock", "onced-disk", "log"}));
  CHECK(is_taken_for_one("empty", {}));
  CHECK(is_taken_for_one("cut-off", {"lock", "onced-disk.new"}));
  CHECK_FALSE(is_taken_for_one("home", {".profile"}));
  CHECK_FALSE(is_taken_for_one("locked-home", {"lock", "letters"}));
}

TEST_CASE("a store of an older format is moved aside, and an empty one takes its place") {
  const TempDirectory temp;
  const fs::path path = temp / "store";
  {
    auto store = open_at(path);
    REQUIRE(store.ok());
    put(**store, 1, 1);
  }
  write_identity(path, 0);
  std::vector<std::string> said;
  for (int round = 0; round < 2; ++round) {
    auto store = open_at(path, small_store(&said));
    REQUIRE_MESSAGE(store.ok(), store.error().text);
    CHECK(has(**store, 1, 1) == (round == 1));
    put(**store, 1, 1);
  }
  REQUIRE(said.size() == 1);
  CHECK(said[0].find("aside/format-0-1") != std::string::npos);
  CHECK(fs::exists(path / "aside" / "format-0-1" / "log" / "00000001.log"));
  CHECK(fs::exists(path / "aside" / "format-0-1" / "onced-disk"));
}

TEST_CASE("one damaged copy of the identity is repaired, two are refused") {
  const TempDirectory temp;
  const fs::path path = temp / "store";
  const auto flip = [&](std::streamoff at) {
    std::fstream file(path / "onced-disk", std::ios::binary | std::ios::in | std::ios::out);
    file.seekg(at);
    const char byte = static_cast<char>(file.get() ^ 1);
    file.seekp(at);
    file.put(byte);
  };
  {
    auto store = open_at(path);
    REQUIRE(store.ok());
    put(**store, 1, 1);
  }
  for (const std::streamoff at : {0, 20, 63, 64, 100, 127}) {
    flip(at);
    std::vector<std::string> said;
    auto store = open_at(path, small_store(&said));
    REQUIRE(store.ok());
    CHECK(has(**store, 1, 1));
    CHECK(said.size() == 1);
  }
  flip(10);
  flip(70);
  CHECK_FALSE(open_at(path).ok());
}

TEST_CASE("a disk that fills up in the middle of a write degrades the store, and it recovers when there is room") {
  const TempDirectory temp;
  const fs::path path = temp / "store";
  std::signal(SIGXFSZ, SIG_IGN);
  auto options = small_store();
  options.segment_bytes = 256 << 10;
  auto store = open_at(path, options);
  REQUIRE(store.ok());
  put(**store, 1, 1);
  // Writes beyond the limit come back short, then fail: as on a full disk.
  rlimit limit{};
  ::getrlimit(RLIMIT_FSIZE, &limit);
  const rlim_t before = limit.rlim_cur;
  limit.rlim_cur = 4'000;
  ::setrlimit(RLIMIT_FSIZE, &limit);
  std::vector<disk::Store::Operation> puts;
  for (int key = 20; key < 60; ++key) puts.push_back(disk::Store::Put{derived_value(key, 1)});
  const auto outcomes = (*store)->write(puts, true, 20'000);
  limit.rlim_cur = before;
  ::setrlimit(RLIMIT_FSIZE, &limit);
  CHECK(outcomes.back() == disk::Store::Outcome::failed);
  CHECK((*store)->degraded());
  CHECK((*store)->degraded_text().find("write") != std::string::npos);
  CHECK(has(**store, 1, 1));
  REQUIRE((*store)->recover(20'000));
  for (const auto outcome : (*store)->write(puts, true, 20'000)) CHECK(outcome == disk::Store::Outcome::done);
  store->reset();
  store = open_at(path, options);
  REQUIRE(store.ok());
  for (int key = 20; key < 60; ++key) CHECK(has(**store, key, 1));
}

TEST_CASE("kill -9 at any moment: it opens again, what was durable is there, nothing is wrong") {
  const TempDirectory temp;
  const fs::path path = temp / "store";
  const char* const wanted = std::getenv("ONCED_KILL_CYCLES");
  const int cycles = wanted != nullptr ? std::atoi(wanted) : 50;
  std::random_device device;
  const std::uint64_t seed = std::getenv("ONCED_SEED") != nullptr ? std::strtoull(std::getenv("ONCED_SEED"), nullptr, 10) : device();
  INFO("ONCED_SEED=" << seed);
  std::mt19937_64 random(seed);
  struct Latest {
    std::uint64_t certain = 0;  // acknowledged
    std::uint64_t possible = 0;
  };
  std::map<int, Latest> latest;
  std::uint64_t version = 0;
  constexpr int keys = 40;
  for (int cycle = 0; cycle < cycles; ++cycle) {
    CAPTURE(cycle);
    int pipe_ends[2];
    REQUIRE(::pipe(pipe_ends) == 0);
    const std::uint64_t first = version;
    const std::uint64_t child_seed = random();
    // The child puts versions first + 1, first + 2, ...; each is announced before, and told when it is durable.
    const pid_t child = ::fork();
    if (child == 0) {
      ::close(pipe_ends[0]);
      auto store = open_at(path);
      if (!store) ::_exit(3);
      std::mt19937_64 keys_random(child_seed);
      for (std::uint64_t mine = first + 1;; ++mine) {
        const int key = static_cast<int>(keys_random() % keys);
        std::array<std::uint64_t, 3> message{mine, static_cast<std::uint64_t>(key), 0};
        if (::write(pipe_ends[1], message.data(), sizeof(message)) < 0) ::_exit(4);
        const bool stable = keys_random() % 2 == 0;
        const disk::Store::Operation operation[] = {disk::Store::Put{derived_value(key, mine)}};
        if ((*store)->write(operation, stable, 20'000)[0] != disk::Store::Outcome::done) ::_exit(5);
        if (!stable) continue;
        message[2] = 1;
        if (::write(pipe_ends[1], message.data(), sizeof(message)) < 0) ::_exit(4);
      }
    }
    ::close(pipe_ends[1]);
    const std::uint64_t messages = random() % 150;
    std::uint64_t seen = 0;
    const auto receive = [&] {
      std::array<std::uint64_t, 3> message{};
      std::size_t got = 0;
      while (got < sizeof(message)) {
        const ssize_t n = ::read(pipe_ends[0], reinterpret_cast<char*>(message.data()) + got, sizeof(message) - got);
        if (n <= 0) return false;
        got += static_cast<std::size_t>(n);
      }
      version = std::max(version, message[0]);
      Latest& each = latest[static_cast<int>(message[1])];
      each.possible = message[0];
      if (message[2] != 0) each.certain = message[0];
      return true;
    };
    while (seen < messages && receive()) ++seen;
    for (std::uint64_t spin = random() % 100; spin != 0; --spin) static_cast<void>(::sched_yield());  // how long is all the same
    ::kill(child, SIGKILL);
    while (receive()) {}
    ::close(pipe_ends[0]);
    int status = 0;
    ::waitpid(child, &status, 0);
    REQUIRE(WIFSIGNALED(status));

    std::vector<std::string> said;
    auto store = open_at(path, small_store(&said));
    REQUIRE_MESSAGE(store.ok(), store.error().text);
    CHECK_MESSAGE((*store)->status().damaged == 0, (said.empty() ? "" : said[0]));
    for (auto& [key, each] : latest) {
      CAPTURE(key);
      const auto loaded = (*store)->load(key_name(key), 20'000);
      REQUIRE(loaded.ok());
      if (!loaded->has_value()) {
        CHECK(each.certain == 0);
        continue;
      }
      const auto found = version_of(key, **loaded);
      REQUIRE(found.has_value());
      CHECK(*found >= each.certain);
      CHECK(*found <= each.possible);
      each.certain = *found;  // a restart syncs what it found
    }
  }
}

}  // namespace onced::testing
