// The leases that a thread holds: a request names them, so that the daemon can refuse a wait that would never end (L7).
//
// A lease counts as held by the thread that acquired it until it ends, in whatever thread that happens.
#pragma once

#include <memory>
#include <mutex>
#include <vector>

#include <onced/protocol/messages.hpp>

#include "process.hpp"

namespace onced::client_detail {

class Connector;

class HeldLeases {
 public:
  // Of the calling thread. A forked child starts with none: the leases stay its parent's.
  static std::shared_ptr<HeldLeases> of_this_thread();

  void add(const Connector* connector, const protocol::Token& token);
  void remove(const Connector* connector, const protocol::Token& token);
  // Outermost first; those of one client.
  std::vector<protocol::Token> tokens(const Connector* connector) const;

  explicit HeldLeases(Process* process) : process_(process) {}

 private:
  struct Lease {
    const Connector* connector;
    protocol::Token token;
  };
  Process* const process_;
  mutable std::mutex mutex_;
  std::vector<Lease> leases_;
};

}  // namespace onced::client_detail
