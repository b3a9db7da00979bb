#include "held_leases.hpp"

#include <algorithm>
#include <utility>

#include <onced/protocol/limits.hpp>

namespace onced::client_detail {

// Set and cleared by its own thread; a lease that ends in another one leaves it set until this thread looks again.
constinit thread_local bool this_thread_may_hold = false;

std::shared_ptr<HeldLeases> HeldLeases::of_this_thread() {
  thread_local std::shared_ptr<HeldLeases> held;
  if (Process* process = &Process::here(); held == nullptr || held->process_ != process) {
    held = std::make_shared<HeldLeases>(process);
  }
  return held;
}

void HeldLeases::add(const std::string& namespace_name, const protocol::Token& token, const void* client,
                     std::shared_ptr<Dependencies> dependencies) {
  const std::lock_guard lock(mutex_);
  leases_.push_back({namespace_name, token, client, std::move(dependencies)});
  this_thread_may_hold = true;
}

void HeldLeases::remove(const std::string& namespace_name, const protocol::Token& token) {
  const std::lock_guard lock(mutex_);
  std::erase_if(leases_, [&](const Lease& lease) { return lease.namespace_name == namespace_name && lease.token == token; });
}

std::shared_ptr<Dependencies> HeldLeases::recording_here(const void* client) {
  if (!this_thread_may_hold) return nullptr;
  const auto held = of_this_thread();
  const std::lock_guard lock(held->mutex_);
  if (held->leases_.empty()) this_thread_may_hold = false;
  const auto innermost = std::find_if(held->leases_.rbegin(), held->leases_.rend(), [client](const Lease& lease) { return lease.client == client; });
  return innermost == held->leases_.rend() ? nullptr : innermost->dependencies;
}

std::vector<protocol::Token> HeldLeases::tokens(const Realm& realm) const {
  const std::lock_guard lock(mutex_);
  std::vector<protocol::Token> tokens;
  for (const Lease& lease : leases_) {
    if (lease.token.epoch == realm.epoch && lease.namespace_name == realm.namespace_name) tokens.push_back(lease.token);
  }
  // The innermost ones are those that a cycle goes through first.
  if (tokens.size() > limits::held_tokens_max) tokens.erase(tokens.begin(), tokens.end() - limits::held_tokens_max);
  return tokens;
}

}  // namespace onced::client_detail
