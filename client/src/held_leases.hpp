// The leases that a thread holds: a request names them, so that the daemon can refuse a wait that would never end (L7).
//
// And what each of these computations is recorded to depend on: of those that one client runs in a thread, a value that is
// read counts for the innermost.
//
// A lease counts as held by the thread that acquired it until it ends, in whatever thread that happens, and whichever of
// the process's clients it was acquired with.
#pragma once

#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include <onced/protocol/messages.hpp>

#include "dependencies.hpp"
#include "process.hpp"

namespace onced::client_detail {

// False: the calling thread holds no lease, so that what it reads need not be recorded. On the hit path.
extern constinit thread_local bool this_thread_may_hold;

class HeldLeases {
 public:
  // Of the calling thread. A forked child starts with none: the leases stay its parent's.
  static std::shared_ptr<HeldLeases> of_this_thread();

  // What a token is unique in: one run of a daemon, which its epoch names, and one of its namespaces.
  struct Realm {
    std::uint64_t epoch;
    std::string namespace_name;
  };
  // By this thread. `dependencies`: null when nothing is to be recorded.
  void add(const std::string& namespace_name, const protocol::Token& token, const void* client, std::shared_ptr<Dependencies> dependencies);
  void remove(const std::string& namespace_name, const protocol::Token& token);
  // Where a value that this thread reads through this client is to be recorded; null: nowhere.
  static std::shared_ptr<Dependencies> recording_here(const void* client);
  // Outermost first; those of one realm.
  std::vector<protocol::Token> tokens(const Realm& realm) const;

  explicit HeldLeases(Process* process) : process_(process) {}

 private:
  struct Lease {
    std::string namespace_name;
    protocol::Token token;
    const void* client;  // only compared
    std::shared_ptr<Dependencies> dependencies;
  };
  Process* const process_;
  mutable std::mutex mutex_;
  std::vector<Lease> leases_;
};

}  // namespace onced::client_detail
