// The stage with a function "f" that computes so many keys at once.
#pragma once

#include <string>
#include <utility>

#include "scene.hpp"

namespace onced::engine {

inline Settings limited(std::size_t limit) {
  Settings settings;
  settings.max_concurrent["f"] = limit;
  return settings;
}

struct Queueing : Scene {
  explicit Queueing(std::size_t limit = 1) : Scene(limited(limit)), worker(connect("pid 1 (worker)")), other(connect("pid 2 (other)")) {}

  RequestId want(ConnectionId from, int argument, std::uint64_t wait_ms = 60'000) { return ask(from, acquire(key_of("f", argument), wait_ms)); }
  RequestId want_in_background(ConnectionId from, int argument) {
    protocol::Acquire request = acquire(key_of("f", argument));
    request.background = true;
    return ask(from, request);
  }
  // The lease has come out of the queue, and is taken up.
  protocol::Token turn(ConnectionId from, RequestId id) {
    const auto lease = take<protocol::Lease>(from, id);
    CHECK(lease.cause == LeaseCause::queued);
    CHECK(lease.take_up);
    ask(from, protocol::TakeUp{lease.token});
    return lease.token;
  }
  protocol::ListRow row(int argument) {
    return take<protocol::Explanation>(worker, ask(worker, protocol::Explain{key_of("f", argument)})).row;
  }
  std::string explanation(int argument) {
    std::string text;
    for (const std::string& line : take<protocol::Explanation>(worker, ask(worker, protocol::Explain{key_of("f", argument)})).lines)
      text += line + "\n";
    return text;
  }
  bool is_queued(int argument) { return row(argument).state == protocol::KeyState::queued; }
  void limit_to(std::size_t limit) {
    settings.max_concurrent["f"] = limit;
    engine.reconfigure(settings);
  }
  void store_with_grace(int argument, const std::string& bytes) {
    ask(worker, protocol::Put{key_of("f", argument), value(bytes), {.ttl_ms = 100, .grace_ms = 3'600'000}});
  }
  protocol::Acquire for_stale(int argument) const {
    protocol::Acquire request = acquire(key_of("f", argument));
    request.accept_stale = true;
    return request;
  }

  ConnectionId worker;
  ConnectionId other;
};

inline bool contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

}  // namespace onced::engine
