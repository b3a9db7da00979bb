// Redis as a peer: a server of our own on a Unix socket, without persistence, and hiredis in front of it.
//
// Threads: one at a time. Errors: std::runtime_error.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string_view>

#include "harness/process.hpp"

struct redisContext;

namespace onced::bench {

class RedisServer {
 public:
  RedisServer();  // returns when it answers
  pid_t id() const { return process_.id(); }
  std::filesystem::path socket_path() const { return directory_.path() / "redis.sock"; }

 private:
  TemporaryDirectory directory_;
  ChildProcess process_;
};

class RedisClient {
 public:
  explicit RedisClient(const RedisServer& server);
  void set(std::string_view key, std::string_view value);
  // GET of a 64-byte value: its bytes folded into a word (read_small_value).
  std::uint64_t get_small_value(std::string_view key);
  // GET of a value of any size: how many bytes came. They are in the client's memory then, as many as they are.
  std::size_t get_bytes(std::string_view key);

 private:
  struct Close {
    void operator()(redisContext* context) const;
  };
  std::unique_ptr<redisContext, Close> context_;
};

}  // namespace onced::bench
