// An engine with connections, a clock and a record of what it sent: the stage of the unit tests.
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

inline std::string key_of(const std::string& function, int argument = 0) {
  return std::string(KeyBuilder(function).add(argument).build().value().bytes());
}
inline protocol::Scope key_scope(const std::string& key) { return {protocol::ScopeKind::key, key}; }
inline protocol::Scope function_scope(const std::string& function) { return {protocol::ScopeKind::function, function}; }
inline protocol::Scope everything() { return {protocol::ScopeKind::everything, {}}; }

struct Scene {
  explicit Scene(Settings settings_ = {}, DiskTier* disk_tier = nullptr)
      : settings(prepared(std::move(settings_))), engine(settings, store, blobs, disk_tier) {}

  static Settings prepared(Settings settings) {
    if (settings.epoch == 0) settings.epoch = 7;
    settings.daemon_version = "0.1.0";
    settings.daemon_pid = 99;
    return settings;
  }

  // Each returns after one step; what was sent is in `inbox`, the rest in `closed` and `notes`.
  ConnectionId connect(const std::string& description = "pid 41 (gunicorn)", Process process = {}) {
    const ConnectionId id{++last_connection};
    step(Connected{id, description, process});
    return id;
  }
  RequestId ask(ConnectionId from, protocol::Request request) {
    const RequestId id = ++last_request;
    Requested event{from, id, std::move(request)};
    if (std::holds_alternative<protocol::NewSession>(event.request) || std::holds_alternative<protocol::RotateSession>(event.request))
      event.secret = fresh_secret();
    step(std::move(event));
    return id;
  }
  // As good as random: no two are the same.
  SessionSecret fresh_secret() {
    SessionSecret secret{};
    std::uint64_t bits = ++last_secret;
    for (unsigned char& byte : secret) {
      bits = bits * 6364136223846793005U + 1442695040888963407U;
      byte = static_cast<unsigned char>(bits >> 56);
    }
    return secret;
  }
  protocol::SessionOpened new_session(ConnectionId from, protocol::NewSession request = {}) {
    return take<protocol::SessionOpened>(from, ask(from, request));
  }
  void step(Event event) {
    Effects effects;
    engine.apply(std::move(event), now, effects);
    engine.check_invariants();
    for (Effect& effect : effects) {
      if (auto* send = std::get_if<Send>(&effect)) {
        order.emplace_back(send->connection, send->id);
        inbox[{send->connection, send->id}].push_back(whole_reply(*send));
        if (send->blob != BlobId{}) passed.push_back(send->blob);
      }
      if (const auto* close = std::get_if<Close>(&effect)) closed.push_back(close->text);
      if (const auto* note = std::get_if<Note>(&effect)) notes.push_back(note->text);
    }
  }
  // Time passes with every tick at its deadline.
  void pass(Duration duration) {
    const Time end = now + duration;
    for (auto due = engine.next_deadline(); due && *due <= end; due = engine.next_deadline()) {
      now = std::max(now, *due);
      step(Ticked{});
    }
    now = end;
  }

  protocol::Acquire acquire(const std::string& key, std::uint64_t wait_ms = 60'000) const {
    return protocol::Acquire{.key = key, .wait_ms = wait_ms, .held = {}};
  }
  // Takes the lease of a key that nobody computes.
  protocol::Token lease(ConnectionId from, const std::string& key, std::vector<protocol::Token> held = {}) {
    protocol::Acquire request = acquire(key);
    request.held = std::move(held);
    return take<protocol::Lease>(from, ask(from, request)).token;
  }
  protocol::Published publish(ConnectionId from, protocol::Token token, const std::string& bytes, std::uint64_t ttl_ms = 0) {
    return take<protocol::Published>(from, ask(from, protocol::Publish{token, value(bytes), {.ttl_ms = ttl_ms}}));
  }
  protocol::Published put(ConnectionId from, const std::string& key, const std::string& bytes, std::uint64_t ttl_ms = 0) {
    return take<protocol::Published>(from, ask(from, protocol::Put{key, value(bytes), {.ttl_ms = ttl_ms}}));
  }
  static std::vector<protocol::Part> value(const std::string& bytes) { return {protocol::Part{"", "text/plain", bytes}}; }

  // The next reply to a request, which must be of this type; and whether there is one.
  template <typename Reply>
  Reply take(ConnectionId connection, RequestId id) {
    auto& replies = inbox[{connection, id}];
    REQUIRE(!replies.empty());
    REQUIRE(std::holds_alternative<Reply>(replies.front()));
    Reply reply = std::get<Reply>(std::move(replies.front()));
    replies.pop_front();
    return reply;
  }
  bool has_reply(ConnectionId connection, RequestId id) { return !inbox[{connection, id}].empty(); }
  ErrorCode refused(ConnectionId connection, RequestId id) { return take<protocol::Refused>(connection, id).code; }
  std::string inline_bytes(ConnectionId connection, RequestId id) {
    return take<protocol::Value>(connection, id).parts.at(0).bytes;
  }
  // The events that a subscription was told since the last call.
  std::vector<SignalEvent> events(ConnectionId connection, RequestId id) {
    std::vector<SignalEvent> told;
    for (const protocol::Reply& reply : inbox[{connection, id}])
      if (const auto* signal = std::get_if<protocol::Signal>(&reply)) told.push_back(signal->event);
    inbox[{connection, id}].clear();
    return told;
  }
  std::uint64_t counted(const std::string& name) const {
    const protocol::Statistics statistics = engine.statistics(now);
    for (const auto& [field, number] : statistics.fields)
      if (field == name) return std::get<std::uint64_t>(number);
    FAIL("no such statistic: " << name);
    return 0;
  }

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
