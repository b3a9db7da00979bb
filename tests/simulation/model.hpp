// The laws, written a second time: what the engine was told (model.cpp), what it did (model_answers.cpp), what it owes (model_owed.cpp),
// who waits for his turn (model_queues.cpp), what was computed from what (model_dependencies.cpp), what is a session's
// (model_sessions.cpp), what was cancelled (model_cancelling.cpp), what a function may keep (model_quotas.cpp), what the disk may bring back
// (model_disk.cpp) and which sessions (model_disk_sessions.cpp), checked after every step.
//
// The model does not compute what the engine should do; it knows what is allowed and what is owed. It learns of grants,
// ends and answers from the engine's effects and refuses those that the laws (L1 to L7, L9, L10) do not permit; after
// each step it looks for what is missing: an answer, a hand-over, a signal.
#pragma once

#include <concepts>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include <onced/protocol/messages.hpp>
#include <onced/protocol/segment_reader.hpp>

#include "blob_contents.hpp"
#include "blob_model.hpp"
#include "engine/engine.hpp"
#include "schedule.hpp"
#include "signal_model.hpp"
#include "simulated_disk.hpp"
#include "told_sessions.hpp"

namespace onced::simulation {

using engine::ConnectionId;
using protocol::RequestId;
using Address = std::pair<ConnectionId, RequestId>;

std::uint64_t bytes_in(const Parts& parts);

class Model {
 public:
  // `disk`: null, or what an earlier daemon has left, which counts from here on as this one's. `told`: of sessions, by earlier daemons, too.
  Model(Schedule& schedule, memory::SegmentStore& store, const engine::Engine& engine, SimulatedDisk* disk, ToldSessions& told, BlobContents& contents)
      : schedule_(schedule), engine_(engine), disk_(disk), told_(told), blob_contents_(contents), signals_(schedule), blobs_(schedule, store, store.blobs()) {
    if (disk_ != nullptr) find_on_disk();
  }

  void before(const engine::Event& event);
  // `effects` are those of the step that before() announced; the segment has them already.
  void after(const engine::Event& event, const engine::Effects& effects);

  // The content that a version of a key has; nothing when it was never published.
  const std::string* content_of(const std::string& key, std::uint64_t version) const;
  // Which version a reader of the segment must find now; 0: none.
  std::uint64_t visible_version(const std::string& key) const;
  // As which a reader must find that one.
  protocol::Freshness visible_freshness(const std::string& key) const;
  // Whether its record must say that nobody else is wanted to refresh it; nothing while an invalidation is under way.
  std::optional<bool> visible_refreshing(const std::string& key) const;
  // How old the time word may be at most.
  engine::Duration time_word_age_max() const;
  std::size_t pending() const { return waits_.size() + unanswered_sweeps() + held_back_.size() + disk_clears_.size() + session_ends_.size() + openings_.size(); }
  // Throws when a value is left that an invalidation, or a value of a newer version, should have dropped.
  void check_all_dropped() const;
  std::size_t leases() const { return leases_.size() + dead_leases_.size(); }
  // Of each session, all generations that it ever had.
  const std::map<std::uint64_t, std::vector<std::uint64_t>>& generations() const { return generations_; }
  bool is_good(const protocol::SessionGrant& grant) const;
  std::uint64_t derived_loads() const { return derived_loads_; }
  std::uint64_t session_loads() const { return session_loads_; }
  std::uint64_t blob_loads() const { return blob_loads_; }
  std::uint64_t computations() const { return computations_; }
  bool alive(ConnectionId connection) const { return alive_.contains(connection); }
  const SignalModel& signals() const { return signals_; }
  BlobModel& blobs() { return blobs_; }

 private:
  struct Wait {
    std::string key;
    protocol::Acquire request;
    Time deadline{};
    std::uint64_t arrival = 0;
    std::uint64_t detached = 0;  // the token counter it waits for, when that lease is detached
    std::uint64_t asked_after = 0;  // this invalidation
    bool nested = false;            // of a thread that had a lease when it asked
    bool fenced = false;            // under an id that is dead: it is to be told so
    std::uint64_t cancelled_by = 0;  // this cancellation: it is to be told so
  };
  struct Lease {
    std::string key;
    ConnectionId holder{};
    RequestId acquire = 0;
    bool detached = false;
    bool taken_up = true;
    Time take_up_by{};
    Time limit_at{};
    Time granted{};
    std::uint64_t granted_after = 0;  // this invalidation
    bool granted_meanwhile = false;   // while a hard one was under way
    bool owes_lost = false;  // an invalidation has detached it, and it is to be told so
  };
  struct Value {
    std::uint64_t version = 0;
    Time stored{};
    std::uint64_t fresh_until_ms = 0;
    std::uint32_t early_ms = 0;
    std::uint32_t grace_ms = 0;
    bool stale = false;              // as the signals say
    std::uint64_t dropped_by = 0;    // the first hard invalidation that meant it: it is there for readers only
    std::uint64_t softened_by = 0;   // the first soft one, while it was fresh: for readers it may still be
    bool superseded = false;         // a newer value of another version is to take its place
  };
  struct Failed {
    std::string text;
    Time until{};
  };
  // In the queue of its function, while somebody who can compute it waits and nobody does.
  struct QueuePlace {
    bool background = false;
    std::uint64_t since = 0;  // among the numbers of arrivals
    bool operator<(const QueuePlace& other) const { return background != other.background ? other.background : since < other.since; }
  };
  struct KeyModel {
    std::uint64_t live = 0;  // token counter
    std::optional<QueuePlace> queued;  // at the end of the last step
    std::optional<Value> value;
    std::optional<Failed> failed;
    std::uint64_t invalidated_by = 0;  // the latest hard invalidation that may still have to say so
    std::uint64_t softened_by = 0;     // the latest soft one
    std::set<std::uint64_t> deaths;  // processes
    Time last_death{};
    std::set<std::string> tags;      // of its last value, while anything is known of the key
    bool fenced = false;             // what was computed is nobody's any more, and that may still have to be told
    bool ended = false;              // its session has,
    std::uint64_t ended_after = 0;   // and of this step's signals those up to this one came before
    bool mark_unknown = false;       // its record may still say that it is being refreshed
    std::uint64_t cancelled_by = 0;  // what was computed or queued is over by this cancellation, and that is still to be told
    bool cancelled_in_queue = false; // which of them
  };
  // From its arrival on all it means counts as gone; it is answered when that is so for readers too.
  struct Invalidation {
    std::uint64_t number = 0;
    protocol::Scope scope;
    bool soft = false;
    std::set<std::string> tagged;  // of a tag: the keys that had it when the invalidation arrived
    std::uint64_t last_version = 0;          // when it arrived
    std::set<std::uint64_t> means_versions;  // that were there, by their numbers alone: no two keys have the same
    std::optional<Address> to;  // nothing: it has no answer any more
    std::uint64_t values = 0;
    bool may_be_on_disk = false;  // of one key: its value may be there alone, and then it counts
  };
  // Of more than one key.
  struct Cancellation {
    std::uint64_t number = 0;
    protocol::Scope scope;
    std::optional<Address> to;  // nothing: it has no answer any more
    std::uint64_t ended = 0;
  };
  struct Content {
    std::string text;
    std::set<std::uint64_t> blobs;
    std::uint64_t bytes = 0;
  };
  struct Session {
    std::uint64_t generation = 0;  // 0: it has ended
    std::string id;
    Time made{};
    Time used{};
    engine::Duration idle_ttl{};
    std::optional<Time> absolute_end{};
    std::optional<Time> used_before{};  // as far as was known when it was found after a restart
  };
  // A session that was begun or got another id, which is told when it is on the disk.
  struct Opening {
    std::uint64_t number = 0;
    std::uint64_t generation = 0;
    std::string digest;
  };
  // Of a value that was stored, whether it is there or not: what became of what it was computed from. It may be so from the arrival
  // of what makes it so, and must from the answer to that.
  struct Fate {
    bool may_be_outdated = false;
    bool must_be_outdated = false;
    bool may_be_condemned = false;
    bool must_be_condemned = false;
    void take_over(const Fate& upstream) {
      may_be_outdated |= upstream.may_be_outdated;
      must_be_outdated |= upstream.must_be_outdated;
      may_be_condemned |= upstream.may_be_condemned;
      must_be_condemned |= upstream.must_be_condemned;
    }
  };
  struct Upstream {
    std::string key;
    std::uint64_t version = 0;  // 0: one that never was the key's
    Fate fate{};                // of such a one
  };
  struct Made {
    std::string key;
    std::vector<Upstream> upstreams;
    Fate fate{};
    std::set<std::string> tags{};
    bool was_read = false;                    // from disk: it hangs on numbers that are not told
    bool stands_for_copy = false;             // something that was read from disk was computed from it, and memory did not have it
    std::optional<std::uint64_t> gone_after{};  // it is not the key's value any more; of all leases that were granted before this is the newest
  };
  // What a load may bring.
  struct OnDisk {
    std::uint64_t epoch = 0;
    std::uint64_t version = 0;  // of that epoch
    std::uint64_t fresh_until_ms = 0;
    std::uint32_t grace_ms = 0;
    std::set<std::string> tags;
    std::string text;
    std::vector<engine::DiskUpstream> upstreams{};
  };
  struct Loaded {
    std::string key;
    std::optional<engine::DiskValue> value;
    std::size_t places = 0;     // that its blobs need
    bool is_good = false;       // it is what the key has on disk
    std::uint64_t version = 0;  // under which it was taken; 0: it was not
  };
  // What this step may still do, by the event that began it.
  struct Step {
    Address from;                                       // of the request that it is, if it is one
    std::optional<Address> request;                     // the Acquire of this step, unanswered so far
    std::map<std::string, protocol::LeaseCause> ended;  // keys whose lease ended without a result
    std::set<std::string> rejoining;                    // keys whose detached lease ended without a result
    std::set<Address> rejoined;                         // who waited for such a lease
    std::optional<std::string> publishing;              // the key of an accepted Publish or Put
    std::uint64_t detached_publish = 0;                 // its token, when that is detached
    bool fenced_publish = false;                        // a tag of its value was invalidated since the grant
    Content content;
    std::vector<Upstream> upstreams;                    // of the value that is published
    Fate fate;                                          // theirs together
    std::optional<Lease> lease;                         // it is published under, as it was before
    std::uint64_t counter = 0;                          // of that
    std::set<std::uint64_t> deaths;                     // of the key, as they were before
    bool void_put = false;                              // of what was invalidated: it changes nothing
    std::uint64_t replaced = 0;                         // by this version, as its publisher was told
    protocol::Retention retention;
    std::uint64_t cost_us = 0;
    std::uint64_t version = 0;
    std::set<std::uint64_t> evicted;                    // versions; the one that is published: it was not stored
    bool put = false;
    std::string failing_key;                            // the key of an accepted Fail
    std::uint64_t failing_detached = 0;
    std::string failing_text;
    std::set<std::string> dying;                        // keys that reached the limit of holder deaths
    bool must_recurse = false;
    bool would_deadlock = false;
    std::optional<Address> answer_due;                  // a request whose one answer comes in this step
    std::optional<ErrorCode> refusal_due;
    bool answered = false;
    bool close_due = false;
    bool closed = false;
    std::uint64_t last_arrival = 0;                     // of the waiter answered last by a publish
    std::optional<protocol::Scope> cancelling;          // one key
    std::optional<std::uint64_t> session;               // whose SessionOpened is due; 0: a new one
    bool rotating = false;
    std::set<std::uint64_t> dead;                       // sessions that have ended or have another id since it began
    std::set<std::uint64_t> silently_ended;             // of these, those whose end is still to be told
    std::optional<std::uint64_t> ending;                // by request
    std::set<std::uint64_t> ends_answered;              // of sessions
    std::optional<protocol::Reserve> reserving;
    std::optional<protocol::Fetch> fetching;
    std::map<std::uint64_t, ConnectionId> lost_words;   // leases that ended before they were told that they had been detached
    std::vector<std::pair<Invalidation, std::optional<std::uint64_t>>> invalidated;  // those that were answered, and with what
    std::vector<std::pair<std::uint64_t, std::uint64_t>> cancelled;  // the same, by number
    std::map<std::string, std::size_t> running_before;  // by function
    std::map<std::string, std::size_t> exempt;          // leases that the limit does not hold for
    std::set<std::string> entered;                      // keys that are queued now and were not before
    std::set<std::string> softened_gone;                // keys without a value that are invalidated softly: their tags need not be kept
    std::uint64_t newest_lease = 0;                     // before it
    std::optional<Loaded> loaded;                       // from disk
    bool put_ends_load = false;
    std::set<std::string> were_loading;                 // before something of the disk's ended
    bool written = false;                               // to disk: loads that waited for that may fail to begin
  };

  // model_sessions.cpp
  bool may_go_on(Address from, const protocol::Request& request);
  bool may_depend(Address from, const protocol::Request& request);
  bool before_session_request(Address from, const protocol::Request& request);
  void expire_if_over(std::uint64_t number);
  bool is_over(const Session& session) const;
  void session_dies(std::uint64_t number, bool ends);
  void on_session_opened(Address to, const protocol::SessionOpened& opened);
  void on_session_ended(const protocol::Signal& signal);
  void check_sessions();
  void check_session_ends();
  std::size_t values_in(std::uint64_t session) const;
  bool over_quota(const std::string& key) const;
  void connection_ends(ConnectionId connection);
  void before_request(const engine::Requested& event);
  // Whether it is refused because of what it names.
  bool takes_blobs(const Parts& parts);
  void before_withdraw(ConnectionId from, RequestId target);
  bool may_hold(ConnectionId connection, const protocol::Token& token) const;
  void before_acquire(Address from, const protocol::Acquire& request);
  void before_invalidate(Address from, const protocol::Invalidate& request);
  void fence_by_tags(std::uint64_t counter, const std::vector<std::string>& tags);
  void forget_tags();
  void keep_failure(const std::string& key, std::string text, engine::Duration ttl);
  void supersede_others_than(const std::string& newer);
  void on_send(const engine::Send& send);
  void on_lease(Address to, const protocol::Lease& lease);
  void on_lease_lost(Address to, const protocol::LeaseLost& lost);
  void on_value(Address to, const protocol::Value& value);
  void on_failure(Address to, const protocol::Failure& failure);
  void on_refused(Address to, const protocol::Refused& refused);
  void on_published(const protocol::Published& published);
  void on_change(const protocol::Signal& signal);
  void check_invalidated();
  void check_owed() const;
  void check_blobs();
  void check_no_circle() const;

  // model_queues.cpp
  void count_running_before();
  void check_turn(Address to, const Wait& wait, const protocol::Lease& lease);
  void update_queues();
  void check_queues() const;
  void check_queued_signal(const protocol::Signal& signal) const;
  std::size_t limit_of(const std::string& function) const;  // the largest number: none
  std::size_t running(const std::string& function) const;
  bool is_full(const std::string& function) const { return running(function) >= limit_of(function); }
  bool has_room(const std::string& function) const;  // and nobody is queued
  bool holder_waits_for(const std::string& key) const;
  std::size_t position_of(const std::string& key) const;
  QueuePlace place_in_step(const Wait& wait) const;

  // model_quotas.cpp
  std::uint64_t bytes_max_of(const std::string& function) const;  // 0: none
  std::uint64_t bytes_kept(const std::string& function, const std::string& without) const;
  std::optional<std::pair<std::string, std::uint64_t>> stored_in_step() const;
  bool is_above_function_limit(const std::string& key, std::uint64_t bytes) const;
  bool over_function_limit(const std::string& victim) const;
  void check_function_limits();
  bool is_weighed(ConnectionId connection, const protocol::Reserve& request) const;

  // model_cancelling.cpp
  struct DeadLease {
    ConnectionId holder{};
    std::string key;
    std::uint64_t cancelled_by = 0;  // 0: its session's id is dead
    bool owes_lost = false;          // an invalidation has detached it before, and it is to be told that first
  };
  std::size_t sweeps_awaited_by(ConnectionId connection) const;
  void before_cancel(Address from, const protocol::Cancel& request);
  bool on_cancel_answer(const engine::Send& send);
  void on_cancelled(Address to);
  void on_dead_lease_lost(std::map<std::uint64_t, DeadLease>::iterator dead, protocol::LeaseEnd why);
  void on_cancelled_signal(const protocol::Signal& signal);
  void count_cancelled(std::uint64_t number);
  void check_cancelled();

  // model_disk.cpp
  void find_on_disk();
  void before_disk(const engine::Event& event);
  void before_disk_request(Address from, const protocol::Disk& request);
  void forget_on_disk(const Invalidation& one);
  bool on_disk_answer(const engine::Send& send);  // true: that was one
  void learn_of_load(const engine::Effects& effects);
  void on_loaded_value(const Wait& wait, const protocol::Value& value) const;
  void done_on_disk(const std::string& key);
  void check_upstreams_on_disk(const std::string& key) const;
  bool are_on_disk(const std::vector<engine::DiskUpstream>& upstreams) const;
  engine::DiskIdentity identity_of(std::uint64_t version) const;
  std::uint64_t version_of(const engine::DiskUpstream& upstream);
  bool is_hung_on(std::uint64_t version) const;
  void hang_on_copies(const std::string& key, std::uint64_t version, const OnDisk& copy);
  void check_dropped_on_disk(const Invalidation& one) const;
  void check_disk();
  bool is_loading(const std::string& key) const { return disk_ != nullptr && engine_.is_loading(key); }
  // Its load ends in this step, or cannot begin.
  bool ends_load(const std::string& key) const { return step_.written || (step_.loaded && step_.loaded->key == key); }

  // model_disk_sessions.cpp
  bool keeps_sessions() const { return disk_ != nullptr && disk_->keeps_sessions(); }
  void on_sessions_found(const engine::SessionsFound& found);
  void learn_of_kept_sessions();
  bool on_session_answer(const engine::Send& send);  // true: that was one
  void on_end_answer(std::uint64_t number, const engine::Send& send);
  void check_kept_sessions();
  std::size_t sessions_max() const { return std::min<std::size_t>(schedule_.profile.settings.sessions.sessions_max, session_places); }

  // model_dependencies.cpp
  void before_keep(const std::string& key, const Lease* lease);
  void learn_of_upstreams(const engine::Effects& effects);
  void detach_for_upstreams(const engine::Effects& effects);
  void rejoin_for_upstreams(const engine::Effects& effects);
  std::set<std::string> known_keys() const;
  void invalidation_arrives(Invalidation& one);
  void invalidation_is_over(const Invalidation& one);
  void made(const std::string& key, std::uint64_t version);
  void is_replaced(const std::string& key, std::uint64_t version, bool must);
  void are_retired(const std::string& key);
  void pass_on();
  void note_gone();
  void check_dependants() const;
  bool is_upstream(const std::string& key) const;  // of a value that is there
  bool has_dependencies() const { return schedule_.profile.dependency_percent > 0; }
  bool has_few_edges() const { return schedule_.profile.settings.dependency_edges_max < limits::dependency_edges_max; }
  bool takes_too_old(const Wait& wait) const { return wait.request.accept_stale && !wait.request.force; }

  Wait take_wait(Address to, const char* what);
  void end_without_result(std::uint64_t counter, protocol::LeaseCause cause);
  void forget_lease(std::uint64_t counter);
  // Whether one more process has died, and they are too many now.
  bool too_many_deaths(KeyModel& key, ConnectionId connection);
  std::size_t unanswered_sweeps() const;
  bool expired(const KeyModel& key) const;
  bool usable(const KeyModel& key) const;  // there is a value for requests, fresh or stale
  bool fresh(const KeyModel& key) const;
  bool early(const KeyModel& key) const;   // and it may be refreshed
  bool may_have(const protocol::Acquire& request, const KeyModel& key) const;  // its value will do
  bool failed_recently(const KeyModel& key) const { return key.failed && key.failed->until > schedule_.now; }
  const Lease* lease_of(const Wait& wait) const;
  bool reaches(std::uint64_t from, const std::vector<protocol::Token>& held, std::set<std::uint64_t>& seen) const;
  static bool in_scope(const protocol::Scope& scope, const std::string& key);
  static bool means(const Invalidation& one, const std::string& key);
  [[noreturn]] void fail(const std::string& text) const { throw Violation(text); }
  void require(bool condition, std::string_view text) const {
    if (!condition) fail(std::string(text));
  }
  // For what is asked of every key after every step: `say` makes the text when it is wanted.
  template <std::invocable Say>
  void require(bool condition, const Say& say) const {
    if (!condition) fail(say());
  }

  Schedule& schedule_;
  const engine::Engine& engine_;  // for what the laws leave open and its effects do not say: forget_tags(), is_loading()
  SimulatedDisk* disk_;
  ToldSessions& told_;
  BlobContents& blob_contents_;
  SignalModel signals_;
  BlobModel blobs_;
  std::set<ConnectionId> alive_;
  std::map<ConnectionId, std::uint64_t> processes_;
  static constexpr std::uint64_t unseen_pids = std::uint64_t{1} << 32;  // above all pids
  std::map<Address, Wait> waits_;
  std::map<std::uint64_t, Lease> leases_;
  std::map<std::string, KeyModel> keys_;
  std::map<std::pair<std::string, std::uint64_t>, Content> contents_;
  std::vector<Invalidation> invalidations_;
  std::vector<Cancellation> cancellations_;
  std::map<std::uint64_t, Made> made_;                // by version: what a value names is older than itself
  std::map<std::string, std::uint64_t> versions_;     // of the values that there were after the last step
  std::map<std::uint64_t, std::set<std::string>> condemning_;  // keys, by the numbers of hard invalidations
  std::set<std::uint64_t> condemned_;                 // of those, which are over
  std::map<Address, std::uint64_t> held_back_;        // publishes whose answers are still to come, and the versions
  std::map<std::string, std::set<std::uint64_t>> invalidated_tags_;  // by which invalidations
  std::uint64_t last_invalidation_ = 0;
  std::uint64_t last_cancellation_ = 0;
  std::uint64_t last_counter_ = 0;
  std::uint64_t last_version_ = 0;
  std::uint64_t arrivals_ = 0;
  std::uint64_t computations_ = 0;
  std::map<std::uint64_t, Session> sessions_;
  std::map<std::uint64_t, std::vector<std::uint64_t>> generations_;
  std::map<ConnectionId, std::map<std::uint64_t, std::uint64_t>> opened_;  // generations by session
  std::map<std::uint64_t, DeadLease> dead_leases_;  // whose holders are to be told; until then they count for their function's limit
  std::map<std::uint64_t, Invalidation> ending_;                           // sessions from whose values something may be left elsewhere
  std::map<Address, std::uint64_t> session_ends_;                          // asked for and not answered
  std::uint64_t last_generation_ = 0;
  static constexpr std::size_t session_places = 64;  // of the simulated segment
  std::map<Address, Opening> openings_;
  std::size_t kept_seen_ = 0;
  std::size_t sessions_allowed_ = 0;  // after a restart there may be more than the limit, until the next one begins
  std::map<std::string, OnDisk> on_disk_;
  std::map<std::uint64_t, engine::DiskIdentity> identities_;  // of values of earlier daemons, by their versions
  std::uint64_t last_unseen_ = unseen_from;                   // the like of those that were named on disk only: what numbers they have nobody tells
  static constexpr std::uint64_t unseen_from = std::uint64_t{1} << 40;
  std::uint64_t derived_loads_ = 0;                           // values that were taken from disk, and were computed from others
  std::uint64_t session_loads_ = 0;                           // the like, and are a session's
  std::uint64_t blob_loads_ = 0;                              // and have blobs
  std::map<Address, std::uint64_t> disk_clears_;  // not answered, and the last version when they came
  std::uint64_t puts_seen_ = 0;
  std::map<std::string, std::uint64_t> bytes_kept_before_;  // by function
  std::set<std::string> measured_functions_;
  bool draining_ = false;
  Step step_;
};

}  // namespace onced::simulation
