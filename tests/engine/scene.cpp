#include "scene.hpp"

#include <algorithm>

namespace onced::engine {

std::string key_of(const std::string& function, int argument) {
  return std::string(KeyBuilder(function).add(argument).build().value().bytes());
}

std::string key_in(const protocol::SessionOpened& session, const std::string& function, int argument) {
  return std::string(KeyBuilder(function, "", session.number).add(argument).build().value().bytes());
}

protocol::Scope session_scope(const protocol::SessionOpened& session) { return {protocol::ScopeKind::session, std::to_string(session.number)}; }

Scene::Scene(Settings settings_, DiskTier* disk_tier)
    : settings(prepared(std::move(settings_))), engine(settings, store, blobs, disk_tier) {}

Scene::~Scene() = default;

Settings Scene::prepared(Settings settings) {
  if (settings.epoch == 0) settings.epoch = 7;
  settings.daemon_version = "0.1.0";
  settings.daemon_pid = 99;
  return settings;
}

ConnectionId Scene::connect(const std::string& description, Process process) {
  const ConnectionId id{++last_connection};
  step(Connected{id, description, process});
  return id;
}

RequestId Scene::ask(ConnectionId from, protocol::Request request) {
  const RequestId id = ++last_request;
  Requested event{from, id, std::move(request)};
  if (std::holds_alternative<protocol::NewSession>(event.request) || std::holds_alternative<protocol::RotateSession>(event.request))
    event.secret = fresh_secret();
  step(std::move(event));
  return id;
}

SessionSecret Scene::fresh_secret() {
  SessionSecret secret{};
  std::uint64_t bits = ++last_secret;
  for (unsigned char& byte : secret) {
    bits = bits * 6364136223846793005U + 1442695040888963407U;
    byte = static_cast<unsigned char>(bits >> 56);
  }
  return secret;
}

protocol::SessionOpened Scene::new_session(ConnectionId from, protocol::NewSession request) {
  return take<protocol::SessionOpened>(from, ask(from, request));
}

void Scene::step(Event event) {
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

void Scene::pass(Duration duration) {
  const Time end = now + duration;
  for (auto due = engine.next_deadline(); due && *due <= end; due = engine.next_deadline()) {
    now = std::max(now, *due);
    step(Ticked{});
  }
  now = end;
}

protocol::Acquire Scene::acquire(const std::string& key, std::uint64_t wait_ms) const {
  return protocol::Acquire{.key = key, .wait_ms = wait_ms, .held = {}};
}

protocol::Token Scene::lease(ConnectionId from, const std::string& key, std::vector<protocol::Token> held) {
  protocol::Acquire request = acquire(key);
  request.held = std::move(held);
  return take<protocol::Lease>(from, ask(from, request)).token;
}

protocol::Published Scene::publish(ConnectionId from, protocol::Token token, const std::string& bytes, std::uint64_t ttl_ms) {
  return take<protocol::Published>(from, ask(from, protocol::Publish{token, value(bytes), {.ttl_ms = ttl_ms}}));
}

protocol::Published Scene::put(ConnectionId from, const std::string& key, const std::string& bytes, std::uint64_t ttl_ms) {
  return take<protocol::Published>(from, ask(from, protocol::Put{key, value(bytes), {.ttl_ms = ttl_ms}}));
}

std::vector<protocol::Part> Scene::value(const std::string& bytes) { return {protocol::Part{"", "text/plain", bytes}}; }

protocol::Reply Scene::take_any(ConnectionId connection, RequestId id) {
  auto& replies = inbox[{connection, id}];
  REQUIRE(!replies.empty());
  protocol::Reply reply = std::move(replies.front());
  replies.pop_front();
  return reply;
}

bool Scene::has_reply(ConnectionId connection, RequestId id) { return !inbox[{connection, id}].empty(); }

ErrorCode Scene::refused(ConnectionId connection, RequestId id) { return take<protocol::Refused>(connection, id).code; }

std::string Scene::inline_bytes(ConnectionId connection, RequestId id) {
  return take<protocol::Value>(connection, id).parts.at(0).bytes;
}

std::vector<SignalEvent> Scene::events(ConnectionId connection, RequestId id) {
  std::vector<SignalEvent> told;
  for (const protocol::Reply& reply : inbox[{connection, id}])
    if (const auto* signal = std::get_if<protocol::Signal>(&reply)) told.push_back(signal->event);
  inbox[{connection, id}].clear();
  return told;
}

std::uint64_t Scene::counted(const std::string& name) const {
  const protocol::Statistics statistics = engine.statistics(now);
  for (const auto& [field, number] : statistics.fields)
    if (field == name) return std::get<std::uint64_t>(number);
  FAIL("no such statistic: " << name);
  return 0;
}

}  // namespace onced::engine
