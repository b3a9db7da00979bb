#include <doctest/doctest.h>

#include <filesystem>
#include <string>
#include <vector>

#include "missing_includes.hpp"
#include "support/temp_directory.hpp"

namespace onced::testing {
namespace {

// What is missing in a tree of a header with types and functions, and one file that may include it.
std::vector<std::string> missing_in(const std::string& source) {
  const TempDirectory tree;
  std::filesystem::create_directories(tree / "daemon/engine");
  write_file(tree / "daemon/engine/lease.hpp", "#include <vector>\nstruct Lease {\n  struct Limit {};\n};\nbool is_over(const Lease& lease);\n");
  write_file(tree / "daemon/engine/table.hpp", "#include \"engine/lease.hpp\"\n");
  write_file(tree / "daemon/engine/table.cpp", source);
  return Sources(tree.path(), {"daemon"}).missing_includes();
}

}  // namespace

TEST_CASE("every source file includes what this test sees that it names") {
  const Sources sources(ONCED_SOURCE_DIRECTORY, {"protocol", "daemon", "client", "tests"});
  for (const std::string& one : sources.missing_includes()) FAIL_CHECK(one);
  CHECK(sources.files() > 300);
}

TEST_CASE("a name of the standard library whose header nobody includes is missed, with file and line") {
  const std::vector<std::string> missing = missing_in("#include \"engine/lease.hpp\"\n\nstd::vector<std::string> names;\nstd::string more;\n");
  REQUIRE(missing.size() == 1);
  CHECK(missing[0] == "daemon/engine/table.cpp:3: names string and does not include <string>");
}

TEST_CASE("a type or function of a header that nobody includes is missed") {
  CHECK(missing_in("void end(Lease& lease) {}\n").size() == 1);
  CHECK(missing_in("Lease::Limit limit;\n").size() == 2);
  CHECK(missing_in("void end(int lease) {\n  if (is_over(lease)) return;\n}\n").size() == 1);
  CHECK(missing_in("bool end(int lease) {\n  return engine::is_over(lease);\n}\n").size() == 1);
  CHECK(missing_in("bool end(int lease) {\n  return lease > 0 && is_over(lease);\n}\n").size() == 1);
  CHECK(missing_in("bool end(int lease) {\n  return lease == 0 ? true : is_over(lease);\n}\n").size() == 1);
  CHECK(missing_in("void end(int lease) {\n  if (lease > 0) return;\n  else is_over(lease);\n}\n").size() == 1);
  CHECK(missing_in("#define LEASE Lease\n").size() == 1);
}

TEST_CASE("what is included by what is included is not missed, nor what is declared there, belongs to others or stands in comments") {
  CHECK(missing_in("#include \"engine/table.hpp\"\nvoid end(Lease& lease) {\n  if (is_over(lease)) return;\n}\nstd::vector<int> v;\n").empty());
  CHECK(missing_in("struct Lease;\nvoid end(Lease& lease) {}\n").empty());
  CHECK(missing_in("void end(CLI::Lease& lease) {}\n").empty());
  CHECK(missing_in("// A Lease in a std::string\nconst char* text = \"Lease\";\n").empty());
  CHECK(missing_in("bool is_over(int lease) { return lease > 0; }\nvoid end(int lease) {\n  if (is_over(lease)) return;\n}\n").empty());
  CHECK(missing_in("void end(Table& table) {\n  if (table.is_over(1)) return;\n}\n").empty());
}

}  // namespace onced::testing
