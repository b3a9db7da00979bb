#include "engine/cancellations.hpp"

#include <onced/protocol/session.hpp>

#include "engine/key_fields.hpp"

namespace onced::engine {
namespace {

bool is_meant(const Cancellation& one, std::string_view key) {
  switch (one.scope.kind) {
    case protocol::ScopeKind::everything: return true;
    case protocol::ScopeKind::function: return function_of(key) == one.scope.subject;
    case protocol::ScopeKind::session: return protocol::session_in(key) == protocol::session_number_in(one.scope.subject);
    case protocol::ScopeKind::key:
    case protocol::ScopeKind::tag: break;
  }
  return false;
}

// Whether anything of the key is computed or queued since before it: a detached lease is older than all else.
bool has_older(const Entry& entry, const Cancellation& one) {
  if (!entry.detached.empty()) return entry.detached.front()->token.counter <= one.leases;
  if (entry.lease != nullptr) return entry.lease->token.counter <= one.leases;
  return entry.queued && entry.queued->number <= one.places;
}

}  // namespace

bool Cancellations::first_is_due(const Entry& entry) const { return has_older(entry, under_way_.front()) && is_meant(under_way_.front(), entry.key); }

const Cancellation* Cancellations::first_due(const Entry& entry, std::uint64_t before) const {
  if (!has_older(entry, under_way_.back())) return nullptr;
  for (const Cancellation& one : under_way_) {
    if (one.stamp >= before) return nullptr;
    if (has_older(entry, one) && is_meant(one, entry.key)) return &one;
  }
  return nullptr;
}

}  // namespace onced::engine
