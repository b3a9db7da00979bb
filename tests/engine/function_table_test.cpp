#include <doctest/doctest.h>

#include "engine/directory.hpp"
#include "engine/function_table.hpp"
#include "scene.hpp"

using namespace onced::engine;

TEST_CASE("a function keeps its number, and those above the limit share the last one") {
  const BytesHash hash{HashSecret{}};
  FunctionTable table(hash, 3);
  CHECK(table.obtain("a") == 0);
  CHECK(table.obtain("b") == 1);
  CHECK(table.obtain("c") == 2);
  CHECK(table.obtain("d") == 2);
  CHECK(table.obtain("a") == 0);
  CHECK(table.at(2).name == "other");
}

TEST_CASE("functions that share a number are still walked apart") {
  const BytesHash hash{HashSecret{}};
  FunctionTable table(hash, 2);
  SessionTable sessions(hash, 1);
  Directory directory(table, sessions, hash);
  for (const char* name : {"a", "b", "c", "c"}) directory.obtain(key_of(name, static_cast<int>(directory.size())));
  const auto count = [&](const char* name) {
    int entries = 0;
    directory.walk_function(name, [&](Entry&) { return ++entries > 0; });
    return entries;
  };
  CHECK(count("a") == 1);
  CHECK(count("b") == 1);
  CHECK(count("c") == 2);
  CHECK(count("d") == 0);
  directory.sweep();  // nothing was put into them
  CHECK(directory.size() == 0);
  CHECK(count("c") == 0);
}
