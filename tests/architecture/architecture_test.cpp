#include <doctest/doctest.h>

#include <filesystem>
#include <string>
#include <vector>

#include "rules.hpp"
#include "source_text.hpp"
#include "support/temp_directory.hpp"

namespace onced::testing {
namespace {

const std::filesystem::path project = ONCED_SOURCE_DIRECTORY;

bool refused(const std::string& path, const std::string& source) { return !violations_of(project, path, source).empty(); }

}  // namespace

TEST_CASE("every source file keeps to the directions of dependence") {
  std::size_t files = 0;
  const std::vector<std::string> found = violations_below(project, files);
  for (const std::string& violation : found) FAIL_CHECK(violation);
  CHECK(files > 50);
}

TEST_CASE("a planted violation in a tree is found, and named with file and line") {
  const TempDirectory tree;
  for (const char* room : {"protocol/src", "daemon/engine", "client/include/onced"}) {
    std::filesystem::create_directories(tree / room);
  }
  write_file(tree / "daemon/engine/lease.cpp", "#include <string>\n\n#include <mutex>\n");
  write_file(tree / "protocol/src/key.cpp", "#include <onced/protocol/key.hpp>\n");
  std::size_t files = 0;
  const std::vector<std::string> found = violations_below(tree.path(), files);
  CHECK(files == 2);
  REQUIRE(found.size() == 1);
  CHECK(found[0] == "daemon/engine/lease.cpp:3: includes mutex, which must not be in daemon/engine");
}

TEST_CASE("protocol includes neither daemon nor client, no Boost, no threads, no clock") {
  for (const char* header : {"engine/engine.hpp", "memory/arena.hpp", "onced/client.hpp", "boost/asio.hpp", "thread", "mutex",
                             "sys/socket.h", "ctime", "asio.hpp"}) {
    CAPTURE(header);
    CHECK(refused("protocol/src/key.cpp", "#include <" + std::string(header) + ">\n"));
  }
  CHECK(refused("protocol/src/key.cpp", "auto now = std::chrono::steady_clock::now();\n"));
  CHECK_FALSE(refused("protocol/src/key.cpp", "#include <onced/protocol/limits.hpp>\n#include <chrono>\n"));
}

TEST_CASE("the engine knows no clock, no I/O, no threads or locks, no logging") {
  for (const char* header : {"fstream", "unistd.h", "sys/socket.h", "thread", "mutex", "condition_variable", "pthread.h", "atomic",
                             "spdlog/spdlog.h", "boost/asio.hpp", "memory/arena.hpp", "net/host.hpp", "service/log.hpp"}) {
    CAPTURE(header);
    CHECK(refused("daemon/engine/engine.cpp", "#include <" + std::string(header) + ">\n"));
  }
  for (const char* code : {"auto t = std::chrono::steady_clock::now();", "::clock_gettime(CLOCK_MONOTONIC, &t);",
                           "using C = std::chrono::system_clock;", "std::mutex m;", "std::atomic<int> a;", "std::printf(\"x\");",
                           "std::cerr << 1;", "spdlog::info(1);", "std::random_device r;"}) {
    CAPTURE(code);
    CHECK(refused("daemon/engine/engine.cpp", code));
  }
  CHECK_FALSE(refused("daemon/engine/engine.cpp", "// a mutex: steady_clock, std::mutex\nconst char* s = \"steady_clock\";\n"));
  CHECK_FALSE(refused("daemon/engine/engine.cpp", "std::snprintf(buffer, 8, \"x\");\nint my_steady_clock_count;\n"));
}

TEST_CASE("memory does not include net, net does not include service, service includes neither") {
  CHECK(refused("daemon/memory/arena.cpp", "#include \"net/host.hpp\"\n"));
  CHECK(refused("daemon/net/host.cpp", "#include \"service/log.hpp\"\n"));
  CHECK(refused("daemon/service/log.cpp", "#include \"net/host.hpp\"\n"));
  CHECK(refused("daemon/service/log.cpp", "#include \"engine/engine.hpp\"\n"));
  CHECK_FALSE(refused("daemon/net/host.cpp", "#include \"memory/arena.hpp\"\n#include \"engine/engine.hpp\"\n"));
}

TEST_CASE("the client's public headers have no Boost and no threads, and the CLI none of the library's insides") {
  CHECK(refused("client/include/onced/client.hpp", "#include <boost/asio.hpp>\n"));
  CHECK(refused("client/include/onced/client.hpp", "#include <mutex>\n"));
  CHECK(refused("client/src/client.cpp", "#include <boost/asio.hpp>\n"));
  CHECK(refused("client/src/client.cpp", "#include \"engine/engine.hpp\"\n"));
  CHECK(refused("client/cli/main.cpp", "#include \"client_state.hpp\"\n"));
  CHECK(refused("client/cli/main.cpp", "#include \"../src/client_state.hpp\"\n"));
  CHECK(refused("client/cli/main.cpp", "#include \"engine/engine.hpp\"\n"));
  CHECK_FALSE(refused("client/cli/main.cpp", "#include <onced/client.hpp>\n#include \"context.hpp\"\n"));
  CHECK_FALSE(refused("client/cli/child_process.cpp", "#include \"descriptor.hpp\"\n"));
  CHECK(refused("client/posix/descriptor.hpp", "#include <onced/client.hpp>\n"));
}

TEST_CASE("a file in a directory without rules is refused") { CHECK(refused("daemon/remote/store.cpp", "")); }

TEST_CASE("includes are read as a compiler reads them") {
  const auto includes = includes_of("  #  include <a.hpp>\n// #include <b.hpp>\n/* \n#include <c.hpp>\n*/\n#include \"d.hpp\"\n");
  REQUIRE(includes.size() == 2);
  CHECK(includes[0].header == "a.hpp");
  CHECK_FALSE(includes[0].quoted);
  CHECK(includes[1].header == "d.hpp");
  CHECK(includes[1].quoted);
  CHECK(includes[1].line == 6);
}

TEST_CASE("comments and literals are not code") {
  CHECK(code_of("a /* b */ c") == "a         c");
  CHECK(line_of_word(code_of("\"x\\\" clock\"; clock;"), "clock") == 1);
  CHECK(line_of_word(code_of("R\"y(clock)\" )y\" ; 1'000; 'c'"), "clock") == 0);
  CHECK(line_of_word(code_of("int x = 10'000; clock();"), "clock") == 1);
}

}  // namespace onced::testing
