#include "held_leases.hpp"

#include <algorithm>

#include <onced/protocol/limits.hpp>

namespace onced::client_detail {

std::shared_ptr<HeldLeases> HeldLeases::of_this_thread() {
  thread_local std::shared_ptr<HeldLeases> held;
  if (Process* process = &Process::here(); held == nullptr || held->process_ != process) {
    held = std::make_shared<HeldLeases>(process);
  }
  return held;
}

void HeldLeases::add(const Connector* connector, const protocol::Token& token) {
  const std::lock_guard lock(mutex_);
  leases_.push_back({connector, token});
}

void HeldLeases::remove(const Connector* connector, const protocol::Token& token) {
  const std::lock_guard lock(mutex_);
  std::erase_if(leases_, [&](const Lease& lease) { return lease.connector == connector && lease.token == token; });
}

std::vector<protocol::Token> HeldLeases::tokens(const Connector* connector) const {
  const std::lock_guard lock(mutex_);
  std::vector<protocol::Token> tokens;
  for (const Lease& lease : leases_) {
    if (lease.connector == connector) tokens.push_back(lease.token);
  }
  // The innermost ones are those that a cycle goes through first.
  if (tokens.size() > limits::held_tokens_max) tokens.erase(tokens.begin(), tokens.end() - limits::held_tokens_max);
  return tokens;
}

}  // namespace onced::client_detail
