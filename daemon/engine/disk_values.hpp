// What the engine has under way with the disk tier: loads, and answers that wait until something is written.
//
//   Acquire of a key that memory does not have -> begin_load() -> DiskLoaded -> take() -> stored in memory, or it is computed
//   Invalidate, durable Publish -> a ticket -> answer() -> DiskWritten -> the reply leaves
//
// A value that was computed from others is on disk with what it was computed from, over all steps, and is there for as long as these are. So
// what drops or replaces one of them need not look for it, and nothing that is read is stale by anything but its time: a value that is itself made stale
// is dropped here, what hangs on it does not pass the look at its upstreams. What changes between a load and its end is for has_changed(). Values of sessions are there if the tier keeps sessions, and go with them.
//
// Ownership: borrows the tier, which may be null: then nothing is kept and nothing is found. Entries that are being loaded are kept
//            by their `loading`.
// Rule:      what drops by label holds for loads begun after it was written: loads that are wanted meanwhile wait for it.
//            One that has begun before is void when its entry, or a tag that it turns out to have, is invalidated (Computations::loaded()).
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "engine/connections.hpp"
#include "engine/context.hpp"
#include "engine/disk_tier.hpp"
#include "engine/entry.hpp"
#include "engine/tag_fences.hpp"

namespace onced::engine {

class DiskValues {
 public:
  DiskValues(Context& context, Connections& connections, DiskTier* tier)
      : context_(context), connections_(connections), tier_(tier), changed_(context.hash, limits::disk_changes_max) {}

  bool is_on() const { return tier_ != nullptr; }
  bool keeps_sessions() const { return is_on() && tier_->keeps_sessions(); }
  bool takes(std::string_view key) const { return is_on() && tier_->takes(key); }
  bool may_have(std::string_view key) const { return takes(key) && tier_->may_have(key); }

  // Writes what the entry has in memory, and names what it was computed from. With `durable`: the ticket of what is to be waited for.
  DiskTicket put(const Entry& entry, const SharedParts& parts, const std::vector<std::string>& tags, const std::vector<DiskUpstream>& upstreams, bool durable);
  // Nothing to wait for when it has none. `waited_for`: an answer() or forget() follows.
  DiskTicket drop(std::string_view key, bool waited_for);
  DiskTicket drop_label(DiskTier::Label kind, std::string_view name, bool waited_for);
  DiskTicket drop_in_session(std::uint64_t number, bool waited_for);

  // Nothing to wait for where no sessions are kept. An answer() follows the first, and as with drop() the second.
  DiskTicket keep_session(const DiskSession& session);
  DiskTicket end_session(std::uint64_t number, bool waited_for);
  void use_session(std::uint64_t number) {
    if (keeps_sessions()) tier_->use_session(number);
  }

  // The reply leaves when the ticket's operation is written; at once when there is none. If it failed: Refused (not_durable) in place of
  // Done, Published without `durable`, SessionOpened as it is: that session goes on in memory.
  void answer(DiskTicket ticket, ReplyAddress to, protocol::Reply reply);
  void forget(DiskTicket ticket);
  // Every reply that waits is given as one that the daemon's end overtakes.
  void drain();

  // False: there is nothing to be loaded, or too much is being loaded.
  bool begin_load(Entry& entry, std::uint64_t stamp);
  // The entry that was being loaded, whose `loading` stays for the caller to take; null: nobody waits for that.
  Entry* take(DiskTicket ticket);
  // Nobody wants what it brings.
  void end_load(Entry& entry);
  std::size_t loads() const { return loads_.size(); }
  // Whether the key's value was replaced or dropped since (Loading::changes), by itself or by a label, whoever may have had it: what a load that
  // began then says of it is not known to be so any more. Good until end_load(); more than has changed may be said to have.
  bool has_changed(std::string_view key, std::uint64_t since) const;
  std::vector<Entry*> entries_loading() const;
  // Of the loads under way the oldest stamp; nothing: none.
  std::optional<std::uint64_t> oldest_stamp() const;

  // Entries whose load could not even begin are added to `without`: they are to be treated as if it had found nothing.
  void written(const DiskWritten& event, std::vector<Entry*>& without);
  void check_invariants() const;

 private:
  // Of an operation whose ticket somebody waits for.
  struct Open {
    bool is_put = false;
    std::optional<DiskOutcome> outcome{};
    std::optional<ReplyAddress> to{};
    protocol::Reply reply{};
  };
  struct Postponed {
    DiskTicket load{};
    DiskTicket after{};  // this label must have been written
  };
  DiskTicket ticket_for_label(bool waited_for);
  void note_change(std::string_view key);
  void note_label() { label_changed_ = ++changes_; }
  std::string mark_of(std::string_view key) const;
  DiskTicket next_ticket() { return DiskTicket{++last_ticket_}; }
  void finish(Open& open);
  void load_postponed(std::vector<Entry*>& without);

  Context& context_;
  Connections& connections_;
  DiskTier* tier_;
  std::uint64_t last_ticket_ = 0;
  std::unordered_map<DiskTicket, Open> open_;
  std::unordered_map<DiskTicket, Entry*> loads_;
  std::multiset<std::uint64_t> stamps_;  // of these
  std::set<DiskTicket> labels_;          // that are not written yet
  std::deque<Postponed> postponed_;      // in order of `after`
  std::uint64_t changes_ = 0;            // puts and drops so far
  std::uint64_t label_changed_ = 0;      // the latest that concerns more than one key
  TagFences changed_;                    // the others, by the keys' marks, while loads are under way
  std::optional<Time> session_noted_;
};

}  // namespace onced::engine
