#include "peers/redis.hpp"

#include <hiredis/hiredis.h>
#include <unistd.h>

#include <stdexcept>
#include <string>

#include "harness/timing.hpp"

namespace onced::bench {
namespace {

constexpr int start_patience_ms = 10'000;

struct FreeReply {
  void operator()(redisReply* reply) const { ::freeReplyObject(reply); }
};
using Reply = std::unique_ptr<redisReply, FreeReply>;

template <std::size_t Count>
Reply command(redisContext* context, const std::string_view (&words)[Count]) {
  const char* data[Count];
  std::size_t lengths[Count];
  for (std::size_t i = 0; i < Count; ++i) {
    data[i] = words[i].data();
    lengths[i] = words[i].size();
  }
  return Reply(static_cast<redisReply*>(::redisCommandArgv(context, static_cast<int>(Count), data, lengths)));
}

}  // namespace

RedisServer::RedisServer()
    : process_(
          ChildProcess::execute({"redis-server", "--port", "0", "--unixsocket", socket_path().string(), "--save", "",
                                 "--appendonly", "no", "--daemonize", "no", "--dir", directory_.path().string()},
                                directory_.path() / "redis.log")) {
  for (int waited_ms = 0; waited_ms < start_patience_ms && process_.running(); ++waited_ms) {
    const std::unique_ptr<redisContext, decltype(&::redisFree)> probe(::redisConnectUnix(socket_path().c_str()),
                                                                      &::redisFree);
    if (probe != nullptr && probe->err == 0 && command(probe.get(), {"PING"}) != nullptr) return;
    ::usleep(1000);
  }
  throw std::runtime_error("redis-server does not start; is it installed?");
}

RedisClient::RedisClient(const RedisServer& server) : context_(::redisConnectUnix(server.socket_path().c_str())) {
  if (context_ == nullptr || context_->err != 0) throw std::runtime_error("cannot connect to redis-server");
}

void RedisClient::Close::operator()(redisContext* context) const {
  ::redisFree(context);
}

void RedisClient::set(std::string_view key, std::string_view value) {
  const Reply reply = command(context_.get(), {"SET", key, value});
  if (reply == nullptr || reply->type != REDIS_REPLY_STATUS) throw std::runtime_error("redis-server refused a SET");
}

std::uint64_t RedisClient::get_small_value(std::string_view key) {
  const Reply reply = command(context_.get(), {"GET", key});
  if (reply == nullptr || reply->type != REDIS_REPLY_STRING ||
      static_cast<std::size_t>(reply->len) != small_value_bytes) {
    throw std::runtime_error("redis-server lost a key");
  }
  return read_small_value(reply->str);
}

std::size_t RedisClient::get_bytes(std::string_view key) {
  const Reply reply = command(context_.get(), {"GET", key});
  if (reply == nullptr || reply->type != REDIS_REPLY_STRING) throw std::runtime_error("redis-server lost a key");
  return static_cast<std::size_t>(reply->len);
}

}  // namespace onced::bench
