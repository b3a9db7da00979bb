// The stage with values that are computed from others.
#pragma once

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "scene.hpp"

namespace onced::engine {

inline const std::string source = key_of("source");
inline const std::string chart = key_of("chart");
inline const std::string page = key_of("page");

using Upstreams = std::vector<protocol::Dependency>;

struct Dependent : Scene {
  explicit Dependent(Settings settings_ = {}) : Scene(std::move(settings_)) {}

  protocol::RequestId ask_put(const std::string& key, Upstreams upstreams, std::uint64_t grace_ms = 0, std::vector<std::string> tags = {}) {
    return ask(a, protocol::Put{key, value("v"), {.ttl_ms = 0, .grace_ms = grace_ms, .tags = std::move(tags), .depends_on = std::move(upstreams)}});
  }
  protocol::Published put_on(const std::string& key, Upstreams upstreams, std::uint64_t grace_ms = 0, std::vector<std::string> tags = {}) {
    return take<protocol::Published>(a, ask_put(key, std::move(upstreams), grace_ms, std::move(tags)));
  }
  std::uint64_t put_source(const std::string& key = source) { return put_on(key, {}).version; }
  protocol::Published publish_on(ConnectionId from, protocol::Token token, Upstreams upstreams) {
    return take<protocol::Published>(from, ask(from, protocol::Publish{token, value("computed"), {.ttl_ms = 0, .depends_on = std::move(upstreams)}}));
  }
  std::uint64_t invalidate(protocol::Scope scope, bool soft = false) {
    return take<protocol::Done>(admin, ask(admin, protocol::Invalidate{std::move(scope), soft})).count;
  }
  bool explains(const std::string& key, const std::string& line) {
    const auto lines = take<protocol::Explanation>(admin, ask(admin, protocol::Explain{key})).lines;
    return std::any_of(lines.begin(), lines.end(), [&](const std::string& one) { return one.find(line) != std::string::npos; });
  }
  // As a reader finds it.
  bool is_fresh(const std::string& key) const { return store.visible(key); }
  bool is_stale(const std::string& key) const { return store.find(key) && !store.visible(key); }
  bool is_gone(const std::string& key) const { return !store.find(key); }
  // source <- chart <- page
  void make_chain() {
    const std::uint64_t of_source = put_source();
    const std::uint64_t of_chart = put_on(chart, {{source, of_source}}).version;
    put_on(page, {{chart, of_chart}});
  }

  ConnectionId a = connect(), b = connect(), c = connect(), admin = connect("pid 9 (oncectl)");
};

}  // namespace onced::engine
