// Invalidations of a function, a tag or everything that are under way: accepted at once, carried out in bounded steps.
//
// Each is a stamp (directory.hpp). From its arrival on an entry with an older stamp, in its scope, is unsettled: whatever
// request comes to it finds what the invalidation leaves of it, for Computations::settle() sees to that first. Entries that
// nobody comes to are settled by the way, the oldest stamp first, some in every tick; when none is left the invalidation
// is answered (L6). What was published after its arrival is under a newer stamp, and stays.
//
// Ownership: holds names and addresses only.
// Order:     answered in order of arrival. An entry that several concern is dropped for the first hard one of them, and made
//            stale for a soft one before it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <string>

#include "engine/disk_tier.hpp"
#include "engine/entry.hpp"
#include "engine/function_table.hpp"
#include "engine/session_table.hpp"
#include "engine/tag_table.hpp"

namespace onced::engine {

struct Invalidation {
  std::uint64_t stamp = 0;
  std::optional<FunctionNumber> function;  // nothing: a tag, or everything
  std::string function_name;
  std::optional<std::string> tag{};
  std::uint64_t session{};                 // 0: all that the others mean, of whatever session
  std::optional<ReplyAddress> to;          // nothing: whoever asked is gone, or was answered by the end of the daemon
  std::string by;                          // for people
  bool soft = false;
  std::uint64_t values = 0;                // dropped or made stale so far
  std::uint64_t last_wave = 0;             // of those through what depends on them (dependency_waves.hpp)
  DiskTicket written{};                    // on disk, what it drops there
};

class Invalidations {
 public:
  explicit Invalidations(const FunctionTable& functions) : functions_(functions) {}

  void add(Invalidation invalidation) { under_way_.push_back(std::move(invalidation)); }
  bool empty() const { return under_way_.empty(); }
  std::size_t size() const { return under_way_.size(); }
  Invalidation& front() { return under_way_.front(); }
  void pop_front() { under_way_.pop_front(); }
  std::deque<Invalidation>& all() { return under_way_; }
  const std::deque<Invalidation>& all() const { return under_way_; }

  // Whether this one is still to be carried out on the entry.
  bool is_due(const Invalidation& one, const Entry& entry) const {
    if (one.stamp <= entry.stamp) return false;
    if (one.tag) return TagTable::has(entry, *one.tag);
    if (one.session != 0) return entry.session != nullptr && entry.session->number == one.session;
    if (!one.function) return true;
    return *one.function == entry.function && functions_.owns(functions_.at(entry.function), entry, one.function_name);
  }

 private:
  const FunctionTable& functions_;
  std::deque<Invalidation> under_way_;
};

}  // namespace onced::engine
