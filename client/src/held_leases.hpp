// The leases that a thread holds: a request names them, so that the daemon can refuse a wait that would never end (L7).
//
// A lease counts as held by the thread that acquired it until it ends, in whatever thread that happens, and whichever of
// the process's clients it was acquired with.
#pragma once

#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include <onced/protocol/messages.hpp>

#include "process.hpp"

namespace onced::client_detail {

class HeldLeases {
 public:
  // Of the calling thread. A forked child starts with none: the leases stay its parent's.
  static std::shared_ptr<HeldLeases> of_this_thread();

  // What a token is unique in: one run of a daemon, which its epoch names, and one of its namespaces.
  struct Realm {
    std::uint64_t epoch;
    std::string namespace_name;
  };
  void add(const std::string& namespace_name, const protocol::Token& token);
  void remove(const std::string& namespace_name, const protocol::Token& token);
  // Outermost first; those of one realm.
  std::vector<protocol::Token> tokens(const Realm& realm) const;

  explicit HeldLeases(Process* process) : process_(process) {}

 private:
  struct Lease {
    std::string namespace_name;
    protocol::Token token;
  };
  Process* const process_;
  mutable std::mutex mutex_;
  std::vector<Lease> leases_;
};

}  // namespace onced::client_detail
