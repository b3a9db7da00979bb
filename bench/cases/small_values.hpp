// The data that hits are measured on: 64-byte values under canonical keys, and ways through them in random order.
#pragma once

#include <cstdint>
#include <onced/client.hpp>
#include <onced/protocol/key.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace onced::bench {

struct SmallValues {
  std::vector<std::string> keys;    // canonical bytes, about 40 each
  std::vector<std::string> values;  // 64 random bytes each
  std::uint64_t folded = 0;         // all values' bytes, folded: what reading each once must give
};
SmallValues make_small_values(std::size_t count);

// The builder after the typed arguments of key number `number` have been added.
KeyBuilder& add_small_key(KeyBuilder& builder, std::uint32_t number);

// Every index once.
std::vector<std::uint32_t> random_order(std::size_t count, std::uint64_t seed);

// Stores all of them, with a time-to-live that is checked at each hit and never passes, and looks whether they are
// there.
void store(Client& client, const SmallValues& data);

// A hit, consumed. Throws when it is a miss.
std::uint64_t peek_small_value(Client& client, std::string_view key);

// Throws unless a round over all values has read the right bytes.
void check_folded(const SmallValues& data, std::uint64_t folded);

}  // namespace onced::bench
