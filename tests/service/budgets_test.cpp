// budgets.cpp, through what loads a configuration.
#include <doctest/doctest.h>

#include "service/configuration.hpp"

using namespace onced::service;

namespace {

constexpr std::uint64_t mebibyte = std::uint64_t{1} << 20;

Configuration loaded(std::vector<std::pair<std::string, std::string>> values, std::uint64_t machine_bytes) {
  Overrides overrides;
  overrides.values = std::move(values);
  overrides.values.emplace_back("socket", "/x/s");
  auto result = load_configuration(overrides, {}, {.memory_bytes = machine_bytes});
  REQUIRE(result.ok());
  return result->values;
}

}  // namespace

TEST_CASE("what is not set depends on the memory of the machine") {
  const Configuration small = loaded({}, 512 * mebibyte);
  CHECK(small.memory_bytes == 32 * mebibyte);
  CHECK(small.blob_bytes == 128 * mebibyte);
  const Configuration large = loaded({}, 256 * 1024 * mebibyte);
  CHECK(large.memory_bytes == 1024 * mebibyte);
  CHECK(large.blob_bytes == 64 * 1024 * mebibyte);
  const Configuration unknown = loaded({}, 0);
  CHECK(unknown.memory_bytes == 64 * mebibyte);
  CHECK(unknown.blob_bytes == 256 * mebibyte);
}

TEST_CASE("what is set stays, and blobs that nobody has set get no more than there is left") {
  const Configuration both = loaded({{"memory", "3MiB"}, {"blobs", "5MiB"}}, 512 * mebibyte);
  CHECK(both.memory_bytes == 3 * mebibyte);
  CHECK(both.blob_bytes == 5 * mebibyte);
  const Configuration tight = loaded({{"memory", "60MiB"}}, 64 * mebibyte);
  CHECK(tight.blob_bytes == 2 * mebibyte);
  // More than there is: main.cpp refuses to start with it.
  CHECK(loaded({{"memory", "600MiB"}}, 64 * mebibyte).blob_bytes == mebibyte);
}

TEST_CASE("a further namespace has four times its segment's size for blobs, or a segment to match its blobs") {
  const Configuration configuration =
      loaded({{"namespaces.a.memory", "8MiB"}, {"namespaces.b.blobs", "8MiB"}, {"namespaces.c.memory", "1MiB"},
              {"namespaces.c.blobs", "9MiB"}, {"memory", "10MiB"}}, 4096 * mebibyte);
  CHECK(configuration.namespaces.at("a").budget == Budget{8 * mebibyte, 32 * mebibyte});
  CHECK(configuration.namespaces.at("b").budget == Budget{2 * mebibyte, 8 * mebibyte});
  CHECK(configuration.namespaces.at("c").budget == Budget{1 * mebibyte, 9 * mebibyte});
  CHECK(configuration.blob_bytes == 1024 * mebibyte);
  CHECK(whole_budget(configuration) == Budget{21 * mebibyte, (1024 + 32 + 8 + 9) * mebibyte});
}
