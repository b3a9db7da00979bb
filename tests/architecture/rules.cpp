#include "rules.hpp"

#include <algorithm>
#include <array>
#include <fstream>
#include <iterator>

#include "source_text.hpp"

namespace onced::testing {
namespace {

using Names = std::vector<std::string>;

// Everything that is not the standard library or the system: a room includes of it what it names.
const std::array<std::string_view, 18> known_headers{"onced/protocol/", "onced/", "engine/",  "memory/", "disk/", "tiers/", "net/", "zstd.h",
                                                     "service/",        "threads/", "boost/", "asio",     "spdlog/", "toml++/",
                                                     "CLI/",            "nlohmann/", "msgpack", "openssl/"};

const Names threads{"thread", "mutex", "shared_mutex", "condition_variable", "future", "semaphore", "latch", "barrier",
                    "stop_token", "pthread.h"};
const Names input_output{"fstream", "iostream", "filesystem", "unistd.h", "fcntl.h", "poll.h", "sys/", "linux/", "signal.h",
                         "csignal"};
const Names clocks{"ctime", "time.h"};
const Names clock_words{"steady_clock", "system_clock", "high_resolution_clock", "file_clock", "clock_gettime", "gettimeofday"};
const Names engine_words{"std::thread", "std::jthread", "std::mutex", "std::atomic", "std::lock_guard", "this_thread", "pthread",
                         "std::ofstream", "std::ifstream", "std::cout", "std::cerr", "printf", "fprintf", "fopen",
                         "std::random_device", "getrandom", "getenv", "spdlog", "socket", "mmap"};

Names joined(std::initializer_list<Names> lists) {
  Names all;
  for (const Names& list : lists) all.insert(all.end(), list.begin(), list.end());
  return all;
}

bool begins_with_any(std::string_view text, const Names& beginnings) {
  return std::any_of(beginnings.begin(), beginnings.end(), [&](const std::string& b) { return text.starts_with(b); });
}

bool is_named(std::string_view header, const Names& names) {
  return std::any_of(names.begin(), names.end(), [&](const std::string& name) {
    return header == name || (name.ends_with("/") && header.starts_with(name));
  });
}

const Room* room_of(const std::string& path) {
  for (const Room& room : rooms()) {
    if (path == room.path || path.starts_with(room.path + "/")) return &room;
  }
  return nullptr;
}

// "engine/x.hpp" in a room that may not: the known beginning is the longest that fits.
bool may_include(const Room& room, std::string_view header) {
  std::string_view known;
  for (const std::string_view beginning : known_headers) {
    if (header.starts_with(beginning) && beginning.size() > known.size()) known = beginning;
  }
  return known.empty() || std::find(room.may_include.begin(), room.may_include.end(), known) != room.may_include.end() ||
         begins_with_any(header, room.may_include);
}

}  // namespace

const std::vector<Room>& rooms() {
  static const std::vector<Room> all{
      {"protocol", {"onced/protocol/", "msgpack", "nlohmann/", "openssl/"}, joined({threads, input_output, clocks}), clock_words, {}},
      {"daemon/engine", {"onced/protocol/", "engine/"}, joined({threads, input_output, clocks, {"atomic"}}),
       joined({clock_words, engine_words}), {}},
      {"daemon/memory", {"onced/protocol/", "engine/", "memory/", "boost/interprocess/"}, {"sys/socket.h"}, clock_words, {}},
      // Knows no engine and no memory tier: daemon/tiers brings them together.
      {"daemon/disk", {"onced/protocol/", "disk/", "threads/", "zstd.h", "openssl/"}, {"sys/socket.h", "ctime", "time.h"}, clock_words, {}},
      {"daemon/tiers", {"onced/protocol/", "engine/", "memory/", "disk/", "tiers/", "threads/"}, {"sys/socket.h"}, {}, {}},
      {"daemon/net", {"onced/protocol/", "engine/", "memory/", "tiers/", "net/", "threads/", "boost/asio/", "boost/system/"}, {}, {}, {}},
      // What net and service both need of threads.
      {"daemon/threads", {}, {}, {}, {}},
      // Knows no engine, no memory, no socket of the door: main.cpp brings them together.
      {"daemon/service", {"onced/protocol/", "service/", "threads/", "boost/asio/", "boost/system/", "spdlog/", "toml++/", "CLI/"}, {}, {}, {}},
      {"daemon/main.cpp", {"onced/protocol/", "engine/", "memory/", "net/", "service/", "boost/asio/"}, {}, {}, {}},
      // Public headers: what a user's compiler must find, and no more.
      {"client/include", {"onced/", "msgpack"}, threads, {}, {}},
      // What the library and the CLI both need of the system, and nobody else sees.
      {"client/posix", {}, threads, {}, {}},
      {"client/src", {"onced/"}, {}, {}, {"client/posix"}},
      {"client/cli", {"onced/", "CLI/", "nlohmann/"}, {}, {}, {"client/posix"}},
      {"client/examples", {"onced/", "CLI/", "msgpack", "nlohmann/"}, {}, {}, {"client/cli"}},
  };
  return all;
}

std::vector<std::string> violations_of(const std::filesystem::path& root, const std::string& path, std::string_view source) {
  const Room* room = room_of(path);
  if (room == nullptr) return {path + ": belongs to no room of tests/architecture/rules.cpp"};
  std::vector<std::string> found;
  const auto complain = [&](std::size_t line, const std::string& text) {
    found.push_back(path + ":" + std::to_string(line) + ": " + text + " in " + room->path);
  };
  for (const Include& include : includes_of(source)) {
    if (is_named(include.header, room->must_not_include) || !may_include(*room, include.header)) {
      complain(include.line, "includes " + include.header + ", which must not be");
    }
    const bool bare = include.quoted && include.header.find('/') == std::string::npos;
    if (!include.quoted || (!bare && !include.header.starts_with("../"))) continue;
    // A bare name is a file beside this one; anything else would reach into another room by its include path.
    bool there = bare && std::filesystem::exists((root / path).parent_path() / include.header);
    for (const std::string& neighbour : room->neighbours) there = there || (bare && std::filesystem::exists(root / neighbour / include.header));
    if (!there) complain(include.line, "includes \"" + include.header + "\", which is not beside it; that must not be");
  }
  const std::string code = code_of(source);
  for (const std::string& word : room->must_not_say) {
    if (const std::size_t line = line_of_word(code, word)) complain(line, "says " + word + ", which must not be");
  }
  return found;
}

std::vector<std::string> violations_below(const std::filesystem::path& root, std::size_t& files) {
  namespace fs = std::filesystem;
  std::vector<std::string> found;
  files = 0;
  for (const char* part : {"protocol", "daemon", "client"}) {
    for (const fs::directory_entry& entry : fs::recursive_directory_iterator(root / part)) {
      const std::string extension = entry.path().extension().string();
      if (!entry.is_regular_file() || (extension != ".hpp" && extension != ".cpp" && extension != ".h" && extension != ".c")) continue;
      std::ifstream in(entry.path(), std::ios::binary);
      const std::string source(std::istreambuf_iterator<char>(in), {});
      const std::vector<std::string> more = violations_of(root, entry.path().lexically_relative(root).string(), source);
      found.insert(found.end(), more.begin(), more.end());
      ++files;
    }
  }
  return found;
}

}  // namespace onced::testing
