#include "engine/key_map.hpp"

#include <algorithm>
#include <random>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

using namespace onced::engine;

namespace {

HashSecret secret_of(unsigned seed) {
  HashSecret secret{};
  std::mt19937 random(seed);
  for (unsigned char& byte : secret) byte = static_cast<unsigned char>(random());
  return secret;
}

}  // namespace

TEST_CASE("keys that share their buckets under one secret do not under another") {
  constexpr std::size_t buckets = 1024;
  const BytesHash known(secret_of(1)), real(secret_of(2));
  std::vector<std::string> flood;  // what somebody who knew the secret would send
  for (int i = 0; flood.size() < 200; ++i) {
    std::string key = "key " + std::to_string(i);
    if (known(key) % buckets == 7) flood.push_back(std::move(key));
  }
  std::vector<int> load(buckets);
  for (const std::string& key : flood) ++load[real(key) % buckets];
  CHECK(*std::max_element(load.begin(), load.end()) < 10);
}

TEST_CASE("copies of a hash agree, whatever the length of the bytes") {
  const BytesHash hash(secret_of(1));
  const BytesHash copy = hash;
  for (const std::size_t size : {0U, 1U, 3U, 8U, 16U, 17U, 128U, 240U, 241U, 5000U})
    CHECK(hash(std::string(size, 'x')) == copy(std::string(size, 'x')));
  KeyMap<int> map(0, hash);
  map.emplace("a", 1);
  CHECK(map.find(std::string_view("a"))->second == 1);
}
