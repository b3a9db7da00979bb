// Who is connected, and what each of them has under way.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <unordered_map>

#include "engine/entry.hpp"

namespace onced::engine {

struct Connection {
  ConnectionId id{};
  std::string description;  // "pid 4711 (gunicorn)"
  bool gone = false;  // its process is dead or its socket is: nothing is sent to it
  std::map<protocol::RequestId, Waiter*> waits{};
  std::set<std::uint64_t> leases{};  // token counters, detached ones too
  std::size_t under_way_bytes = 0;   // of these waits and leases
  std::set<protocol::RequestId> subscriptions{};
  std::set<protocol::RequestId> invalidations{};  // that are not answered yet

  bool in_flight(protocol::RequestId request) const {
    return waits.contains(request) || subscriptions.contains(request) || invalidations.contains(request);
  }
};

class Connections {
 public:
  Connection& add(ConnectionId id, std::string description) {
    return table_.try_emplace(id, Connection{.id = id, .description = std::move(description)}).first->second;
  }
  Connection* find(ConnectionId id) {
    const auto found = table_.find(id);
    return found == table_.end() ? nullptr : &found->second;
  }
  // Of a connection that is known to be there: holders and waiters end before their connection does.
  Connection& at(ConnectionId id) { return table_.at(id); }
  const Connection& at(ConnectionId id) const { return table_.at(id); }
  void remove(ConnectionId id) { table_.erase(id); }
  std::size_t size() const { return table_.size(); }
  const std::unordered_map<ConnectionId, Connection>& all() const { return table_; }
  std::unordered_map<ConnectionId, Connection>& all() { return table_; }

 private:
  std::unordered_map<ConnectionId, Connection> table_;
};

}  // namespace onced::engine
