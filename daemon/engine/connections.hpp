// Who is connected, and what each of them has under way.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <unordered_map>
#include <utility>

#include "engine/engine.hpp"
#include "engine/entry.hpp"
#include "engine/opened_sessions.hpp"

namespace onced::engine {

// Processes are numbered from 1 and the numbers not used again: a pid may be.
using ProcessNumber = std::uint64_t;

struct Connection {
  ConnectionId id{};
  std::string description;  // "pid 4711 (gunicorn)"
  Process process{};
  ProcessNumber process_number = 0;
  bool gone = false;  // its process is dead or its socket is: nothing is sent to it
  std::map<protocol::RequestId, Waiter*> waits{};
  std::set<std::uint64_t> leases{};  // token counters, detached ones too
  std::size_t under_way_bytes = 0;   // of these waits and leases
  std::set<protocol::RequestId> subscriptions{};
  std::set<protocol::RequestId> invalidations{};  // that are not answered yet
  std::set<protocol::RequestId> cancellations{};  // the same
  std::set<protocol::RequestId> held_back{};      // answers that come when what was derived from a value has been reached
  std::set<protocol::RequestId> session_ends{};   // the same, of EndSession
  OpenedSessions opened{};
  std::set<protocol::RequestId> reserving{};      // Reserve requests that wait for memory
  std::set<BlobId> reserved{};                    // blobs that it fills
  std::uint64_t reserved_bytes = 0;               // their memory
  std::map<BlobId, std::uint32_t> lent{};         // blobs of values that it was told inline, and how often
  std::size_t loans = 0;                          // their sum
  std::uint64_t receipt = 0;                      // of the last blob that was passed to it
  std::uint64_t blobs_passed = 0;

  std::size_t blobs() const { return reserving.size() + reserved.size() + loans; }
  bool in_flight(protocol::RequestId request) const {
    return waits.contains(request) || subscriptions.contains(request) || invalidations.contains(request) || cancellations.contains(request) || held_back.contains(request) || session_ends.contains(request) || reserving.contains(request);
  }
};

class Connections {
 public:
  Connection& add(ConnectionId id, std::string description, Process process) {
    Connection& added = table_.try_emplace(id, Connection{.id = id, .description = std::move(description)}).first->second;
    added.process = process;
    if (process.pid == 0) {
      added.process_number = ++last_process_;
    } else {
      KnownProcess& known = processes_[{process.uid, process.pid}];
      if (known.connections++ == 0) known.number = ++last_process_;
      added.process_number = known.number;
    }
    return added;
  }
  // From here on nothing is sent to it, and it no longer stands for its process.
  void set_gone(Connection& connection) {
    if (std::exchange(connection.gone, true) || connection.process.pid == 0) return;
    const auto known = processes_.find({connection.process.uid, connection.process.pid});
    if (--known->second.connections == 0) processes_.erase(known);
  }
  Connection* find(ConnectionId id) {
    const auto found = table_.find(id);
    return found == table_.end() ? nullptr : &found->second;
  }
  // Of a connection that is known to be there: holders and waiters end before their connection does.
  Connection& at(ConnectionId id) { return table_.at(id); }
  const Connection& at(ConnectionId id) const { return table_.at(id); }
  void remove(ConnectionId id) { table_.erase(id); }
  // Where the daemon cannot see their pids, connections of one user may be.
  static bool may_be_one_process(const Connection& a, const Connection& b) {
    return a.process_number == b.process_number || (a.process.pid == 0 && b.process.pid == 0 && a.process.uid == b.process.uid);
  }
  std::size_t size() const { return table_.size(); }
  const std::unordered_map<ConnectionId, Connection>& all() const { return table_; }
  std::unordered_map<ConnectionId, Connection>& all() { return table_; }

 private:
  struct KnownProcess {
    ProcessNumber number = 0;
    std::size_t connections = 0;
  };
  std::unordered_map<ConnectionId, Connection> table_;
  std::map<std::pair<std::uint32_t, std::uint32_t>, KnownProcess> processes_;  // by uid and pid, while a connection is there
  ProcessNumber last_process_ = 0;
};

}  // namespace onced::engine
