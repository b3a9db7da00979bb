// Who computes which key, who waits for it, and how that ends: the laws L1 to L5 and L7.
//
// Ownership: leases are in the LeaseTable, waiters in the list they wait in; connections list both by number.
// Invariant: a waiter that can compute waits only while there is a lease to wait for, or its key is queued or being read from disk; every waiter leaves its list in
//            take_out(), and whoever takes it out sends its one final answer (L3), unless its connection is gone.
//            Whoever looks at an entry's value, lease or failure has settled it (invalidations.hpp, cancellations.hpp).
// Errors:    unknown tokens are answered (Refused) or, where the message has no answer, ignored: they come from clients.
#pragma once

#include <deque>
#include <limits>
#include <optional>
#include <string>
#include <vector>

#include "engine/blobs.hpp"
#include "engine/cancellations.hpp"
#include "engine/catalog.hpp"
#include "engine/connections.hpp"
#include "engine/context.hpp"
#include "engine/dependency_waves.hpp"
#include "engine/directory.hpp"
#include "engine/disk_values.hpp"
#include "engine/function_queues.hpp"
#include "engine/function_table.hpp"
#include "engine/holder_deaths.hpp"
#include "engine/invalidations.hpp"
#include "engine/lease_table.hpp"
#include "engine/signal_hub.hpp"
#include "engine/tag_fences.hpp"
#include "engine/wait_graph.hpp"

namespace onced::engine {

inline constexpr std::string_view upstream_invalidated_text = "what it was computed from was invalidated while it was computed";

class Computations {
 public:
  Computations(Context& context, Connections& connections, Directory& directory, FunctionTable& functions, Catalog& catalog,
               SignalHub& signals, Blobs& blobs, DiskValues& disk);

  // Requests (computations.cpp: acquire and holding; handing_over.cpp: ends without a result; publishing.cpp: values and failures;
  // dropping.cpp, cancelling.cpp: ending what others began; queueing.cpp: keys that wait for a turn; dependants.cpp: what depends on what;
  // loading.cpp: values on disk; disk_upstreams.cpp: what those depend on).
  void acquire(Connection& from, protocol::RequestId id, protocol::Acquire request);
  void withdraw(Connection& from, const protocol::Withdraw& request);
  void take_up(Connection& from, const protocol::TakeUp& request);
  void progress(Connection& from, protocol::Progress request);
  void publish(Connection& from, protocol::RequestId id, protocol::Publish request);
  void put(Connection& from, protocol::RequestId id, protocol::Put request);
  void fail(Connection& from, protocol::RequestId id, const protocol::Fail& request);
  void abandon(Connection& from, protocol::RequestId id, const protocol::Abandon& request);
  void invalidate(Connection& from, protocol::RequestId id, const protocol::Invalidate& request);
  void cancel(Connection& from, protocol::RequestId id, const protocol::Cancel& request);
  void disk(Connection& from, protocol::RequestId id, const protocol::Disk& request);

  // What the disk tier has done. The blobs of a value are claimed (blobs.hpp).
  void written(const DiskWritten& event);
  void loaded(DiskLoaded event);

  // Its waits end unanswered, then its leases; the order matters: nothing is handed over to the dead.
  void process_gone(Connection& connection);
  // Every waiter is told that the daemon is going, and so is who waits for the end of an invalidation or a cancellation.
  void drain();
  // Does a step's share of each kind of work that was cut into steps: cancellations, what depends on values, invalidations, dropping older versions.
  // Returns what is left of the last one's.
  std::size_t go_on();
  bool has_work_left() const {
    return !cancellations_.empty() || !invalidations_.empty() || !retirements_.empty() || queues_.has_work_left() || !waves_.empty() || directory_.has_work_left();
  }
  // Acts on deadlines that have passed, a bounded number of them.
  void run_deadlines();
  std::optional<Time> next_deadline() const { return timers_.earliest(); }
  // The last of each step: who may begin now that others have ended, and who is to be told of its place. A bounded number begin.
  void let_queues_move();
  void limits_changed() { queues_.limits_changed(leases_); }

  // Holds entries of a session, `most` of them about, against its present generation, the ones that were settled longest ago first. Returns
  // how many it was.
  std::size_t settle_session(Session& session, std::size_t most);
  void forget_deaths_in(std::uint64_t session);
  // Its values, and what was computed from them, count as invalidated from now on. Forgets deaths in it.
  void session_ended(std::uint64_t session);
  std::uint64_t last_wave() const { return waves_.last(); }
  // Of one that is settled: whether all has been reached that depends on what it had. If not, works on that for the rest of the share.
  bool go_on_behind(const Session& session, std::size_t& most);

  const LeaseTable& leases() const { return leases_; }
  const FunctionQueues& queues() const { return queues_; }
  std::size_t waiting() const { return waiting_; }
  std::size_t under_way_bytes() const { return under_way_bytes_; }
  // Those that share the limits of invalidations: they are cut into steps as well.
  std::size_t invalidations_under_way() const { return invalidations_.size() + cancellations_.size(); }
  // Who computes a function, for people: those that run longest by name.
  std::string running_text(std::string_view function) const;
  int holder_deaths(const Entry& entry) const { return deaths_.count(entry.key, context_.now); }
  void check_invariants() const;

  static constexpr std::size_t deadlines_per_step_max = 1024;
  static constexpr std::size_t begun_per_step_max = 256;  // of those that were queued
  static constexpr std::size_t dependants_evicted_max = 256;  // for one value, whose own upstreams are to be recorded

 private:
  // A value is to take the place of those of other versions; so many entries may have to be examined yet.
  struct Retirement {
    std::string key;
    std::uint64_t family = 0;
    std::uint64_t version = 0;  // of the value: newer ones stay
    std::size_t left = 0;
  };
  // How a lease ends without a result.
  enum class EndedBy : std::uint8_t { abandon, holder_death, limit, not_taken_up };

  void grant(Entry& entry, Connection& holder, protocol::RequestId id, Duration limit, protocol::LeaseCause cause, bool has_waited = false);
  void end_without_result(Lease& lease, EndedBy how);
  void end_unwanted_lease(Connection& from, protocol::RequestId acquire);
  void hand_over(Entry& entry, protocol::LeaseCause cause);
  void rejoin(Entry& entry, WaiterList orphans, protocol::LeaseCause cause);
  void end(Lease& lease);
  void forget_fences();
  void note_leases();
  void lose(const Lease& lease, protocol::LeaseEnd why);
  // `not_kept`: why what it brings is not, for its holder.
  void detach(Lease& lease, protocol::LeaseEnd why, protocol::NotStored not_kept, std::string_view not_kept_text);
  void detach_invalidated(Lease& lease, const std::string& by);
  Lease* held_by(Connection& from, const protocol::Token& token);
  void refuse_token(Connection& from, protocol::RequestId id);

  void queue(Entry& entry, Connection& from, protocol::RequestId id, protocol::Acquire request);
  // loading.cpp
  bool is_to_load(Entry& entry, const protocol::Acquire& request);
  void wait_for_load(Entry& entry, Connection& from, protocol::RequestId id, protocol::Acquire request);
  bool store_loaded(Entry& entry, DiskValue& value, bool has_room, SharedParts& parts);
  void serve_loaded(Entry& entry, const DiskValue& value, bool stored, const SharedParts& parts);
  void begin_without(Entry& entry);
  void begin_for_others(Entry& entry, protocol::LeaseCause cause);
  std::uint64_t fresh_until_ms(const DiskValue& value) const;
  bool is_usable(const DiskValue& value) const;
  void note_disk_problem(const Entry& entry, const std::string& problem);
  void keep_own(std::vector<protocol::Token>& held, const Connection& from);
  bool is_nested(const protocol::Acquire& request);
  bool may_begin(const Entry& entry, bool nested) const;
  void begin_or_line_up(Entry& entry, protocol::LeaseCause cause);
  void line_up(Entry& entry, const Waiter& waiter);
  void leave_queue_if_nobody_waits(Entry& entry);
  void check_queue_of(const Entry& entry) const;
  void check_queues() const;
  void check_cancellations() const;
  std::optional<Error> circle_of(const std::vector<protocol::Token>& held, const Lease& lease);
  bool is_to_refresh(Entry& entry, const Connection& from, const protocol::Acquire& request);
  Duration lease_limit_of(const protocol::Acquire& request) const;
  // Why no more is accepted.
  struct TooMuch {
    Limit limit;
    std::string text;
  };
  std::optional<TooMuch> too_much_under_way(const Connection& from, std::size_t more_bytes) const;
  void charge(Connection& connection, std::size_t bytes);
  void discharge(Connection& connection, std::size_t bytes);
  // Removes a waiter from everything but its list; the caller answers and erases it.
  void take_out(Waiter& waiter);
  template <typename Reply>
  void answer_all(WaiterList& waiters, const Reply& reply_to);
  void refuse_waiter(Waiter& waiter, Error error);
  void time_out(Waiter& waiter);
  std::string holder_text(const Lease& lease) const;
  // Of a key: who computes it, or behind whom it is queued.
  std::string holder_text(const Entry& entry) const;

  void keep_failure(Entry& entry, std::string text, Duration ttl);
  void forget_failure(Entry& entry);
  const FailedAnswer* failure_of(Entry& entry);
  void count_computation(const Lease& lease, std::uint64_t cost_us);
  void count_served(const Entry& entry, std::uint64_t cost_us, const WaiterList& waiters);
  bool value_is_wrong(Connection& from, protocol::RequestId id, const std::vector<protocol::Part>& parts);
  void note_not_stored(const Entry& entry, protocol::NotStored why);
  void note_invalidated(std::uint64_t stamp);
  bool has_too_many_under_way(const Connection& from, ReplyAddress to);
  bool detach_if_overtaken(Lease& lease, const std::vector<std::string>& tags, Standing of_upstreams);

  // What became of what a value was computed from, under this lease or put without one.
  Standing standing_of(const Entry& own, const std::vector<protocol::Dependency>& upstreams, const Lease* lease);
  Standing standing_of(const protocol::Dependency& upstream, const Lease* lease);
  Derivation* record_upstreams(Entry& entry, std::uint64_t version, const std::vector<protocol::Dependency>& upstreams);
  // Of what a value names, with keys: protocol::Dependency, DiskUpstream.
  template <typename Upstream>
  static std::size_t key_bytes_of(const std::vector<Upstream>& upstreams) {
    std::size_t bytes = 0;
    for (const Upstream& upstream : upstreams) bytes += upstream.key.size();
    return bytes;
  }
  template <typename Upstream>
  bool has_room_for(const std::vector<Upstream>& upstreams) const {
    return upstreams.empty() || has_room_for_edges(upstreams.size(), key_bytes_of(upstreams));
  }
  template <typename Upstream>
  bool make_room_for(const std::vector<Upstream>& upstreams) {
    return upstreams.empty() || make_room_for_edges(upstreams.size(), key_bytes_of(upstreams));
  }
  bool has_room_for_edges(std::size_t edges, std::size_t key_bytes) const;
  bool make_room_for_edges(std::size_t edges, std::size_t key_bytes);
  void note_dependencies_full();
  // Stores a value whose upstreams are not condemned, records them, and begins with what depends on the value it replaces.
  struct Kept {
    bool stored = false;
    bool outdated = false;   // stale from the first moment
    std::uint64_t wave = 0;  // 0: nothing depends on the former value
  };
  Kept keep(Entry& entry, const std::vector<protocol::Part>& parts, const protocol::Retention& retention, Catalog::Origin origin, Standing of_upstreams,
            bool has_room);
  void answer_takers(Entry& entry, const Kept& kept, std::uint64_t version, std::uint64_t cost_us, const SharedParts& parts);
  // disk_upstreams.cpp. What the entry's value was computed from, as it is on disk; nothing: it is not to be written.
  std::optional<std::vector<DiskUpstream>> upstreams_on_disk(const Entry& entry) const;
  // Of a value that was read: whether what it was computed from is as it was, also by now. Afterwards it may hang on that.
  bool has_current_upstreams(const Entry& entry, const DiskValue& value, const Loading& loading);
  bool is_current(const DiskUpstream& upstream, const Loading& loading);
  // The version that it has here.
  std::uint64_t version_of_copy(const Entry& entry, const DiskIdentity& copy);
  // As what it is found by who means one of these; null: it was computed from none.
  Derivation* hang_on_copies(Entry& entry, std::uint64_t version, const std::vector<DiskUpstream>& upstreams);
  Derivation& obtain_copy(const DiskUpstream& upstream);
  // The copy on disk of what was kept, or that it has none any more. Returns what a durable one is to wait for.
  DiskTicket keep_on_disk(Entry& entry, const Kept& kept, const SharedParts& parts, const protocol::Retention& retention);
  protocol::NotStored why_not_stored(const Entry& entry, const Kept& kept, bool has_room) const;
  protocol::Published published(const Entry& entry, const Kept& kept, std::uint64_t version, protocol::NotStored why) const;
  void tell_kept(Entry& entry, const Kept& kept, std::uint64_t version, bool retires_older, protocol::NotStored why);
  // What depends on the value that the entry had, on that derivation, on any value of the entry. Return the number of the wave that
  // sees to it; 0: nothing does.
  std::uint64_t supersede(Entry& entry, std::string why);
  std::uint64_t outdate(Derivation& derivation, std::string why);
  std::uint64_t await_waves(const Entry& entry);
  std::uint64_t condemn(Entry& entry, const std::string& by);
  void go_on_with_waves(std::size_t most);
  void reach(Wave& wave, Derivation& reached);
  void end_wave(Wave& wave);
  // While the daemon drains: what it holds back.
  void give_held_back(Wave& wave);
  // When that wave is over, and that is written to disk.
  void answer_after(std::uint64_t wave_number, ReplyAddress to, protocol::Reply reply, DiskTicket written = {});
  std::uint64_t behind_all_waves();
  void settle(Entry& entry);
  bool leave_generation(Entry& entry);  // session_fences.cpp
  void fence(Entry& entry);
  Entry* oldest_of(const Invalidation& one);
  // Drops some of what the invalidations under way concern, and answers those that are done.
  void go_on_invalidating();
  void retire_older(Entry& newer);
  std::size_t retire_some(Retirement& retirement, std::size_t most);
  struct Invalidated {
    bool value = false;      // was dropped, or made stale
    std::uint64_t wave = 0;  // 0: nothing depends on it
  };
  Invalidated invalidate_entry(Entry& entry, const std::string& by, bool soft);
  Invalidated soften_entry(Entry& entry, const std::string& by);
  void fail_for_deaths(Entry& entry, int deaths, const std::string& last_holder);
  // cancelling.cpp
  void go_on_cancelling();
  bool carry_out(Cancellation& one, std::size_t& left);
  // What a cancellation means that came before the invalidation with this stamp.
  void end_cancelled(Entry& entry, std::uint64_t before = std::numeric_limits<std::uint64_t>::max());
  std::uint64_t end_computations(Entry& entry, const std::string& text);
  static std::size_t waiters_of(const Entry& entry);  // also of those whose leases are detached
  bool is_ending(const Lease& lease) const;

  Context& context_;
  Connections& connections_;
  Directory& directory_;
  FunctionTable& functions_;
  Catalog& catalog_;
  SignalHub& signals_;
  Blobs& blobs_;
  DiskValues& disk_;
  TimerQueue timers_;
  LeaseTable leases_;
  Invalidations invalidations_;
  Cancellations cancellations_;
  TagFences fences_;
  FunctionQueues queues_;
  std::vector<Entry*> left_by_waiters_;  // queued ones, in this step
  DependencyWaves waves_;
  std::uint64_t invalidated_at_ = 0;     // the stamp of the latest that anything was dropped by invalidation
  std::uint64_t invalidated_up_to_ = 0;  // the newest version at the latest hard invalidation
  std::optional<Time> dependencies_noted_;
  std::deque<Retirement> retirements_;  // of families too large for one step, each once
  HolderDeaths deaths_;
  WaitGraph graph_;
  std::size_t waiting_ = 0;
  std::size_t under_way_bytes_ = 0;  // of all connections
  std::uint64_t last_waiter_ = 0;
  std::uint64_t last_version_ = 0;
  std::list<Entry*> failures_;  // the oldest first
  std::optional<Time> not_stored_noted_;
  std::optional<Time> disk_noted_;
};

// Takes every waiter of a list out, in order of arrival, and lets `reply_to` answer it.
template <typename Reply>
void Computations::answer_all(WaiterList& waiters, const Reply& reply_to) {
  WaiterList answered;
  answered.splice(answered.end(), waiters);
  for (Waiter& waiter : answered) {
    take_out(waiter);
    reply_to(waiter);
  }
}

}  // namespace onced::engine
