// A well-behaved client that must not notice what others do.
#pragma once

#include <doctest/doctest.h>

#include <string>

#include <onced/protocol/key.hpp>

#include "support/raw_client.hpp"

namespace onced::testing {

inline std::string key_bytes(std::string_view function, std::int64_t argument) {
  auto key = KeyBuilder(function).add(argument).build();
  if (!key) throw std::runtime_error(key.error().text);
  return std::string(key->bytes());
}

class Bystander {
 public:
  explicit Bystander(const std::string& socket) : client_(socket), function_("bystander " + std::to_string(++count_)) {
    client_.hello();
  }

  // Computes a new key and reads it back.
  void check() {
    const std::string key = key_bytes(function_, ++round_);
    protocol::Acquire acquire;
    acquire.key = key;
    client_.request(2, acquire);
    const auto lease = client_.receive_only<protocol::Lease>();
    client_.request(3, protocol::Publish{lease.token, {{"", "text/plain", "value " + std::to_string(round_)}}, 0});
    CHECK(client_.receive_only<protocol::Published>().stored);
    client_.request(4, acquire);
    const auto value = client_.receive_only<protocol::Value>();
    REQUIRE(value.parts.size() == 1);
    CHECK(value.parts[0].bytes == "value " + std::to_string(round_));
  }

  RawClient& client() { return client_; }

 private:
  static inline int count_ = 0;  // no two of a test use the same keys
  RawClient client_;
  std::string function_;
  std::int64_t round_ = 0;
};

}  // namespace onced::testing
