// Store: what is not about values: sessions and the audience (DISK.md).
#include "disk/store.hpp"

namespace onced::disk {

bool Store::is_of_session(const Operation& operation) {
  return std::holds_alternative<KeepSession>(operation) || std::holds_alternative<UseSession>(operation) || std::holds_alternative<EndSession>(operation);
}

std::optional<Digest> Store::place_of(std::string_view key) const {
  const std::uint64_t session = options_.session_of(key);
  if (session == 0) return digest_of(bytes_of(key), seed_);
  const std::optional<SessionKey> own = sessions_.key_of(session);
  if (!own) return std::nullopt;
  return sealed_digest(*own, session, key);
}

Result<Store::Outcome> Store::apply(const KeepSession& keep, std::uint64_t) {
  if (const auto kept = sessions_.keep(keep.facts); !kept) return kept.error();
  return Outcome::done;
}

Result<Store::Outcome> Store::apply(const UseSession& use, std::uint64_t) {
  if (const auto written = sessions_.use(use.number, use.used_ms); !written) return written.error();
  return Outcome::done;
}

// The key goes first, in memory: from here on nobody reads what is still being written. What is in the log needs no tombstone.
Result<Store::Outcome> Store::apply(const EndSession& end, std::uint64_t) {
  std::vector<std::uint64_t> numbers{end.number};
  if (end.number == 0) {
    numbers.clear();
    for (const SessionFacts& one : sessions_.all()) numbers.push_back(one.number);
  }
  std::optional<Error> error;
  for (const std::uint64_t number : numbers) {
    const auto ended = sessions_.end(number);
    if (!ended && !error) error = ended.error();
  }
  if (const auto settled = settle(); !settled && !error) error = settled.error();
  for (const std::uint64_t number : numbers) erase_values_of(number);
  if (error) return *error;
  return Outcome::done;
}

// Behind what was asked for before: who knows of a narrower audience only must not find what a wider one has put.
Result<Store::Outcome> Store::apply(const KeepAudience& keep, std::uint64_t now_ms) {
  audience_.owe(keep.audience);
  if (const auto synced = sync_all(now_ms); !synced) return synced.error();
  if (const auto kept = audience_.recover(); !kept) return kept.error();
  return Outcome::done;
}

// The files of these refuse to write, and do what is asked in memory: they are written anew from there.
void Store::hold_in_memory(const Operation& held) {
  if (const auto* keep = std::get_if<KeepSession>(&held)) static_cast<void>(apply(*keep, 0));
  if (const auto* use = std::get_if<UseSession>(&held)) static_cast<void>(apply(*use, 0));
  if (const auto* end = std::get_if<EndSession>(&held)) static_cast<void>(apply(*end, 0));
  if (const auto* keep = std::get_if<KeepAudience>(&held)) audience_.owe(keep->audience);
}

void Store::erase_values_of(std::uint64_t session) {
  std::vector<Digest> digests;
  {
    const std::lock_guard lock(mutex_);
    digests = index_.of_session(session);
  }
  for (const Digest& digest : digests) erase(digest);
}

}  // namespace onced::disk
