// Sessions from their making to their end: ids, rotation, who may name one in keys, and when one ends by itself.
//
// Ids:       made from random bytes that come with the event (engine.hpp, Requested): the host draws them from getrandom(2). Only
//            the id's digest is kept. What is not known is refused, and never becomes a session.
// Readers:   one store to the session's entry in the segment's table, at the end and at a rotation, and every hit of the old id is
//            none. What it keeps goes afterwards, in bounded steps (Computations::settle_session).
// Use:       requests whose key names it count at once. Of hits the daemon learns by marks in the pin pages, which it takes when the session
//            is looked at: every quarter of its idle time, so that a session whose last use was a hit lives up to a quarter longer.
// Bounds:    sessions_checked_per_step_max looks in a step, each at one bit of every pin page; sessions_max sessions, and about as many
//            that have ended and keep something yet.
// Disk:      where the tier keeps sessions, making one, a new id and the end are answered when that is on stable storage; making and new ids also
//            when the disk fails. Uses are told to it at most four times in an idle time.
// Errors:    an id that is not known and one that was are refused alike (session_ended).
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <list>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "engine/computations.hpp"
#include "engine/connections.hpp"
#include "engine/context.hpp"
#include "engine/disk_values.hpp"
#include "engine/record_store.hpp"
#include "engine/session_table.hpp"
#include "engine/signal_hub.hpp"

namespace onced::engine {

class Sessions {
 public:
  Sessions(Context& context, Connections& connections, SessionTable& table, Computations& computations, SignalHub& signals, RecordStore& store,
           DiskValues& disk)
      : context_(context), connections_(connections), table_(table), computations_(computations), signals_(signals), store_(store), disk_(disk) {}

  // The first call of all: sessions that were there before this engine was.
  void found(const SessionsFound& event);

  void create(Connection& from, protocol::RequestId id, const protocol::NewSession& request, const SessionSecret& secret);
  void open(Connection& from, protocol::RequestId id, const protocol::OpenSession& request);
  void rotate(Connection& from, protocol::RequestId id, const protocol::RotateSession& request, const SessionSecret& secret);
  void touch(Connection& from, protocol::RequestId id, const protocol::TouchSession& request);
  void end(Connection& from, protocol::RequestId id, const protocol::EndSession& request);
  void list(ReplyAddress to, const protocol::ListSessions& request) const;

  // Whether this connection may send keys of the session: it has shown its present id. Counts as a use. False: it was refused.
  bool may_name(Connection& from, ReplyAddress to, SessionNumber number);
  // Whether a value of this key may be said to depend on those: not on what is in another session than its own, unless this connection has
  // opened that. If not, it is refused. (In one that has ended by now, it is an upstream that was invalidated.)
  bool may_depend_on(const Connection& from, ReplyAddress to, std::string_view key, const std::vector<protocol::Dependency>& upstreams);

  // Ends what has come to its end, a bounded number of them.
  void let_time_pass();
  // Does a share of what rotations and ends have left to do; `most` is what is left of the step's share.
  void go_on(std::size_t most);
  bool has_work_left() const { return !settling_.empty() || !finished_.empty(); }
  // After the directory's sweep: ended sessions whose last entries are gone go too.
  void sweep();
  std::optional<Time> next_turn() const;
  void connection_gone(Connection& connection);
  void drain();
  void check_invariants() const;

  // The first digits of an id's digest: for people.
  static std::string digest_text(std::string_view digest);

 private:
  // Why one ends: one word, and a sentence for the log.
  enum class EndedBy : std::uint8_t { request, idle, age, room };

  Session* find(const std::string& id);
  void refuse_ended(ReplyAddress to);
  void refuse_for_limit(ReplyAddress to, std::string text);
  bool is_over(const Session& session) const;
  // Takes what its readers have marked, and ends it if it has come to its end.
  void look_at(Session& session);
  void used(Session& session);
  void schedule(Session& session);
  void opened(Connection& from, const Session& session);
  void finish(Session& session, EndedBy how);
  void settle_later(Session& session);
  std::size_t most() const;        // that may live
  std::size_t ending_max() const;  // of those that have ended and keep something yet
  bool make_room();
  DiskSession image_of(const Session& session) const;
  protocol::SessionOpened answer_for(const Session& session) const;

  Context& context_;
  Connections& connections_;
  SessionTable& table_;
  Computations& computations_;
  SignalHub& signals_;
  RecordStore& store_;
  DiskValues& disk_;
  std::uint64_t last_generation_ = 0;
  std::list<Session*> by_use_;            // the one that was used longest ago first
  std::multimap<Time, Session*> looks_;   // when each is looked at next
  std::deque<Session*> settling_;         // rotated or ended, with entries that were not held against it yet
  std::deque<Session*> finished_;         // ended and settled, with entries that may have to leave them
  std::size_t opened_ = 0;                // by all connections
};

}  // namespace onced::engine
