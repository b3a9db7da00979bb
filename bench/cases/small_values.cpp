#include "cases/small_values.hpp"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <numeric>
#include <random>
#include <stdexcept>

#include "harness/onced_daemon.hpp"
#include "harness/timing.hpp"

namespace onced::bench {

KeyBuilder& add_small_key(KeyBuilder& builder, std::uint32_t number) {
  builder.reset("global_store", "v1");
  return builder.add(number).add("apples").add(0.5);
}

SmallValues make_small_values(std::size_t count) {
  SmallValues data;
  std::mt19937_64 random(64);
  KeyBuilder builder("global_store", "v1");
  for (std::size_t i = 0; i < count; ++i) {
    data.keys.emplace_back(must(add_small_key(builder, static_cast<std::uint32_t>(i)).build_view()));
    std::uint64_t words[small_value_bytes / sizeof(std::uint64_t)];
    for (std::uint64_t& word : words) word = random();
    data.values.emplace_back(reinterpret_cast<const char*>(words), sizeof words);
    data.folded ^= read_small_value(words);
  }
  return data;
}

std::vector<std::uint32_t> random_order(std::size_t count, std::uint64_t seed) {
  std::vector<std::uint32_t> order(count);
  std::iota(order.begin(), order.end(), 0U);
  std::shuffle(order.begin(), order.end(), std::mt19937_64(seed));
  return order;
}

void store(Client& client, const SmallValues& data) {
  const PutOptions options{.ttl = std::chrono::hours(24), .content_type = {}};
  for (std::size_t i = 0; i < data.keys.size(); ++i) must(client.put(data.keys[i], data.values[i], options));
  std::uint64_t folded = 0;
  for (const std::string& key : data.keys) folded ^= peek_small_value(client, key);
  check_folded(data, folded);
}

std::uint64_t peek_small_value(Client& client, std::string_view key) {
  const auto value = client.peek(key);
  if (!value || value->bytes().size() != small_value_bytes) throw std::runtime_error("onced lost a value");
  return read_small_value(value->bytes().data());
}

void check_folded(const SmallValues& data, std::uint64_t folded) {
  if (folded != data.folded) throw std::runtime_error("a round has read wrong bytes");
}

}  // namespace onced::bench
