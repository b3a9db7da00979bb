// An engine with connections, a clock and a record of what it sent: the stage of the unit tests. What it does is in scene.cpp, and so with the
// fakes: each of fifty files would compile it anew.
#pragma once

#include <deque>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include <onced/protocol/key.hpp>

#include "engine/engine.hpp"
#include "fake_blob_store.hpp"
#include "fake_store.hpp"

namespace onced::engine {

using namespace std::chrono_literals;
using protocol::LeaseCause;
using protocol::LeaseEnd;
using protocol::RequestId;
using protocol::SignalEvent;

std::string key_of(const std::string& function, int argument = 0);
// Of two functions.
inline const std::string chart_key = key_of("chart"), other_key = key_of("other");
inline protocol::Scope key_scope(const std::string& key) { return {protocol::ScopeKind::key, key}; }
inline protocol::Scope tag_scope(const std::string& tag) { return {protocol::ScopeKind::tag, tag}; }
inline protocol::Scope function_scope(const std::string& function) { return {protocol::ScopeKind::function, function}; }
// In a session.
std::string key_in(const protocol::SessionOpened& session, const std::string& function = "f", int argument = 0);
inline std::string key_in(const protocol::SessionOpened& session, int argument) { return key_in(session, "f", argument); }
protocol::Scope session_scope(const protocol::SessionOpened& session);
inline protocol::Scope everything() { return {protocol::ScopeKind::everything, {}}; }

struct Scene {
  explicit Scene(Settings settings_ = {}, DiskTier* disk_tier = nullptr);
  ~Scene();

  static Settings prepared(Settings settings);

  // Each returns after one step; what was sent is in `inbox`, the rest in `closed` and `notes`.
  ConnectionId connect(const std::string& description = "pid 41 (gunicorn)", Process process = {});
  RequestId ask(ConnectionId from, protocol::Request request);
  // As good as random: no two are the same.
  SessionSecret fresh_secret();
  protocol::SessionOpened new_session(ConnectionId from, protocol::NewSession request = {});
  void step(Event event);
  // Time passes with every tick at its deadline.
  void pass(Duration duration);

  protocol::Acquire acquire(const std::string& key, std::uint64_t wait_ms = 60'000) const;
  // Takes the lease of a key that nobody computes.
  protocol::Token lease(ConnectionId from, const std::string& key, std::vector<protocol::Token> held = {});
  protocol::Published publish(ConnectionId from, protocol::Token token, const std::string& bytes, std::uint64_t ttl_ms = 0);
  protocol::Published put(ConnectionId from, const std::string& key, const std::string& bytes, std::uint64_t ttl_ms = 0);
  static std::vector<protocol::Part> value(const std::string& bytes);

  // The next reply to a request, which must be of this type; and whether there is one.
  template <typename Reply>
  Reply take(ConnectionId connection, RequestId id) {
    protocol::Reply reply = take_any(connection, id);
    REQUIRE(std::holds_alternative<Reply>(reply));
    return std::get<Reply>(std::move(reply));
  }
  protocol::Reply take_any(ConnectionId connection, RequestId id);
  bool has_reply(ConnectionId connection, RequestId id);
  ErrorCode refused(ConnectionId connection, RequestId id);
  std::string inline_bytes(ConnectionId connection, RequestId id);
  // The events that a subscription was told since the last call.
  std::vector<SignalEvent> events(ConnectionId connection, RequestId id);
  std::uint64_t counted(const std::string& name) const;

  FakeBlobStore blobs;
  FakeStore store{blobs};
  Settings settings;
  Engine engine;
  Time now = 1s;
  std::uint64_t last_connection = 0;
  std::uint64_t last_secret = 0;
  RequestId last_request = 0;
  std::map<std::pair<ConnectionId, RequestId>, std::deque<protocol::Reply>> inbox;
  std::vector<std::pair<ConnectionId, RequestId>> order;
  std::vector<BlobId> passed;  // whose descriptors went with replies
  std::vector<std::string> closed;
  std::vector<std::string> notes;
};

}  // namespace onced::engine
