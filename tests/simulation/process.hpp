// A client process: threads that ask, compute (also one key within another), publish, fail, stop and stall at random.
//
// It knows nothing of the engine: it sends requests and reads replies. What it checks is what a client can see: every
// message is for something it asked, and the bytes behind a pin are those of the version it was told, for as long as
// the pin is set.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include <onced/protocol/messages.hpp>

#include "schedule.hpp"

namespace onced::simulation {

class World;

class Process {
 public:
  Process(World& world, engine::ConnectionId connection, bool mapped);
  void start();
  void receive(protocol::RequestId id, const protocol::Reply& reply);
  void die() { dead_ = true; }
  bool dead() const { return dead_; }
  engine::ConnectionId connection() const { return connection_; }

 private:
  struct Computing {
    std::string key;
    protocol::Token token;
    std::vector<protocol::Dependency> reads{};
  };
  struct Thread {
    std::vector<Computing> stack;                // innermost last
    std::optional<protocol::RequestId> waits_in;  // an Acquire
    std::string asked;
  };
  struct Grant {
    std::uint64_t number = 0;
    std::uint64_t generation = 0;
  };
  struct Subscription {
    protocol::Scope scope;
    std::uint64_t epoch = 0;
    std::uint64_t position = 0;
  };

  void act(std::size_t thread);
  void act_soon(std::size_t thread, std::uint64_t at_most_us = 200'000);
  void begin_something(Thread& thread);
  void go_on_computing(Thread& thread);
  void ask(Thread& thread, const std::string& key, bool may_compute);
  void disturb();
  void subscribe_or_not();
  void reserve_or_release();
  void receive_blob(const protocol::Reply& reply);
  void give_back(const protocol::Value& value);
  void receive_value(const std::string& key, const protocol::Value& value);
  protocol::RequestId send(const protocol::Request& request);
  protocol::Scope any_scope();
  protocol::Scope any_scope_or_tag();
  protocol::Retention any_retention(std::vector<protocol::Dependency> reads = {});
  void read_something(std::vector<protocol::Dependency>& reads);
  std::string any_key();
  bool in_session();
  void use_sessions();
  std::vector<protocol::Part> content(const std::string& key, const std::string& origin);
  void add_blobs(std::vector<protocol::Part>& parts);

  World& world_;
  engine::ConnectionId connection_;
  bool mapped_;
  bool dead_ = false;
  protocol::RequestId last_id_ = 0;
  std::vector<Thread> threads_;
  std::map<protocol::RequestId, std::size_t> asked_by_;         // which thread waits in it
  std::map<protocol::RequestId, std::string> withdrawn_;        // an answer may still be on its way
  std::map<protocol::RequestId, Subscription> subscriptions_;
  std::optional<Subscription> ended_subscription_;              // one that could be resumed
  std::vector<protocol::Token> old_tokens_;
  std::set<protocol::RequestId> session_requests_;
  std::vector<Grant> grants_;                        // of sessions that it opened, dead ones too
  std::uint64_t receipt_ = 0;
  std::optional<protocol::RequestId> blob_request_;  // one at a time: a Reserve or Fetch
  bool reserving_ = false;                           // which of them
  std::vector<protocol::Blob> reserved_;
  std::vector<std::uint64_t> old_blobs_;             // that were published, or not
};

}  // namespace onced::simulation
