// Every message of the protocol as a type; WIRE.md describes the same ones in the same words and order.
//
// A frame is a 16-byte header (frame.hpp) and a payload; the payload is one MessagePack array with the fields of one
// of these structures in their order. A newer peer may append fields; an older one ignores what it does not know, and
// takes the default written here for what is missing.
//
// Requests go from client to daemon and carry a request id chosen by the client, unique among its requests in flight
// on this connection; the answers repeat it. Signals and notices carry the id of the request that asked for them.
//
// Ownership: messages own their bytes. Errors: decode() reports; nothing is asserted on content.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include <onced/protocol/result.hpp>

namespace onced::protocol {

using RequestId = std::uint64_t;

// The right to compute a key. `counter` rises with every grant; a daemon start draws a new random epoch.
struct Token {
  std::uint64_t epoch = 0;
  std::uint64_t counter = 0;
  friend bool operator==(const Token&, const Token&) = default;
  friend auto operator<=>(const Token&, const Token&) = default;
};

// One named piece of a value. Inline: its bytes are here. Else they are `length` bytes at `offset` in blob `blob`.
struct Part {
  std::string name;
  std::string content_type;  // a MIME type or empty
  std::string bytes;         // inline
  std::uint64_t blob = 0;    // 0: inline
  std::uint64_t offset = 0;  // in the blob; a multiple of value_alignment
  std::uint64_t length = 0;  // in the blob; inline 0
  std::uint64_t size() const { return blob == 0 ? bytes.size() : length; }
  friend bool operator==(const Part&, const Part&) = default;
};

// What a request or subscription is about.
// tag: of Invalidate alone; session: of Invalidate, Cancel and Subscribe, once it is opened on the connection
enum class ScopeKind : std::uint8_t { key = 0, function = 1, everything = 2, tag = 3, session = 4 };
struct Scope {
  ScopeKind kind = ScopeKind::key;
  std::string subject;  // canonical key bytes, a function name, empty, a tag, or a session's number in decimal digits
  friend bool operator==(const Scope&, const Scope&) = default;
};

// A number that the daemon's configuration decides, for the function or else for the namespace.
inline constexpr std::uint64_t as_configured = ~std::uint64_t{0};

// What a value was computed from: that version of that key.
struct Dependency {
  std::string key;
  std::uint64_t version = 0;
  friend bool operator==(const Dependency&, const Dependency&) = default;
};

// How long a value is kept, and what makes it go.
struct Retention {
  std::uint64_t ttl_ms = as_configured;    // fresh for so long; 0: until it is evicted or invalidated
  std::uint64_t grace_ms = as_configured;  // afterwards usable for so long while one caller refreshes it; 0: not at all
  // XFetch's beta in thousandths: how early, in units of what the value cost, somebody may refresh it before it is stale. 0: never.
  std::uint64_t refresh_ahead_permille = as_configured;
  std::vector<std::string> tags{};         // names for Invalidate
  std::vector<Dependency> depends_on{};
  bool retire_older = false;               // values of the same function and arguments under other versions of it go
  bool durable = false;                    // answered when the value is on stable storage, or cannot come there (Published says which)
  friend bool operator==(const Retention&, const Retention&) = default;
};

// ---- client to daemon -----------------------------------------------------------------------------------------------

// The first frame of a connection. Answered by Welcome (with descriptors) or Refused, then nothing more is accepted.
struct Hello {
  std::string magic = "onced";
  std::uint16_t protocol_version = 0;
  std::string namespace_name;
  std::string client_name;   // for people: "gunicorn", "oncectl"
  bool wants_mapping = true; // false: no segment and no pin page (subscriptions, administration); values come inline
};

// "The value of this key, or the lease, or tell me when." Answers: Value, Lease, Failure, Cancelled, Refused
// (timed_out, recursion, deadlock, limit_reached, not_found for may_compute = false and wait_ms = 0).
struct Acquire {
  std::string key;
  bool may_compute = true;          // false: only wait; also waits for a key nobody computes yet
  bool force = false;               // a value that is there does not count (its replacement does); waits for a live lease
  std::uint64_t wait_ms = 0;        // how long to wait for the present holder; 0: do not wait
  std::uint64_t lease_limit_ms = 0; // the longest this caller will compute; 0: the daemon's default
  std::vector<Token> held;          // leases that the calling thread holds, outermost first (deadlock, L7)
  bool accept_stale = false;        // a stale value within its grace will do, while somebody else refreshes it
  bool refresh = false;             // the value is fresh, and this caller offers to refresh it ahead of time
  bool background = false;          // when its function computes as many as it may: after those who are not
  std::uint64_t load_ms = 30'000;   // with wait_ms = 0: how long to wait for a value that is being read from disk
};
// The caller of request `target` no longer waits. No answer; a value already on its way is released by the client, a lease
// that the request got before this was read ends.
struct Withdraw { RequestId target = 0; };
// A lease that came with take_up = true is being worked on. No answer.
struct TakeUp { Token token; };
// Ends a lease well. Answers: Published or Refused (unknown_token).
struct Publish {
  Token token;
  std::vector<Part> parts;
  Retention retention{};
};
// Ends a lease badly: all waiters are told `text`; it stays an answer for failure_ttl_ms. Answers: Done, Refused.
struct Fail {
  Token token;
  std::string text;
  std::uint64_t failure_ttl_ms = 0; // 0: told to the present waiters only; as_configured
};
// Gives a lease back without a result; the next waiter gets it. Answers: Done, Refused.
struct Abandon { Token token; };
// How far a computation is. No answer: an old token is ignored and answered by an earlier LeaseLost.
struct Progress {
  Token token;
  double fraction = 0;              // 0 to 1; NaN: unknown
  std::string text;
};
// Stores a value without a lease; a live lease of the key is detached (its waiters get this value). Answer: Published.
struct Put {
  std::string key;
  std::vector<Part> parts;
  Retention retention{};
};
// Drops values and detaches leases (L5, L6). `soft`: values become stale instead, and go when their grace ends (those without
// one have limits::soft_grace). Answer: Done with the number of values dropped, or made stale.
struct Invalidate {
  Scope scope;
  bool soft = false;
};
// Ends what is computed and queued when it arrives; holders and waiters are told. Answer: Done with the number of computations ended, when
// all have been.
struct Cancel { Scope scope; };
// Answers: State (initial), then Signal, Position and State (resync) under this request's id until Unsubscribe.
struct Subscribe {
  Scope scope;
  std::uint64_t resume_epoch = 0;    // with resume_sequence: continue after this position; 0: from now
  std::uint64_t resume_sequence = 0;
};
struct Unsubscribe { RequestId target = 0; };  // Answer: Done; nothing of that subscription follows it
struct GetStatus {};                           // Answer: Report (the names of `oncectl status --json`)
struct GetStats {};                            // Answer: Statistics
// Answer: Listing. Rows in order of the key's bytes, after `cursor` (empty: from the start).
struct List {
  std::string function;              // empty: all
  std::string cursor;
  std::uint64_t session = 0;         // 0: keys of all sessions and of none; else of this one, which is opened here
};
struct Explain { std::string key; };           // Answer: Explanation

// Memory for a large part. Answers: Blob (with a descriptor, to write to), or Refused (too_large, limit_reached,
// out_of_memory). The reservation is the connection's until a Publish or Put names the blob (also one that is refused), a
// Release, or the connection's end. `receipt`: of the last Blob on this connection, 0 before the first; another one is a
// breach of the protocol. So at most one descriptor is under way to a client.
struct Reserve {
  std::uint64_t bytes = 0;
  std::uint64_t receipt = 0;
  bool ready = false;                // the part is there to be copied: its computation will hardly take longer than it has
  std::string key{};                 // of the value that it is for; empty: not said
};
// The descriptor of a published blob, to read from: one that a record of this namespace has, also one that nobody finds any
// more but somebody pins, or one that was lent to this connection (Value). Answers: Blob, Refused (not_found).
struct Fetch {
  std::uint64_t blob = 0;
  std::uint64_t receipt = 0;
};
// These reservations, or lent blobs (each once for every Value that named it), are not needed any more. No answer; others
// than one's own are ignored.
struct Release { std::vector<std::uint64_t> blobs; };

// Sessions. Their ids come from the daemon and from nowhere else; whoever has one may use the session. On a connection that has
// opened it, keys may name its number.
//
// A new one. The times are cut to those of the configuration. Answer: SessionOpened with the id.
struct NewSession {
  std::uint64_t idle_ttl_ms = as_configured;      // it ends when it was not used for so long; 0: never
  std::uint64_t absolute_ttl_ms = as_configured;  // it ends when it is so old; 0: never
};
// Keys on this connection may name it from now on. Counts as a use. Answers: SessionOpened (without the id), Refused (session_ended).
struct OpenSession { std::string id; };
// The same session under a new id; the old one is dead at once, with what was computed or subscribed under it. Opens it here.
// Answers: SessionOpened with the new id, Refused (session_ended).
struct RotateSession { std::string id; };
// A use of a session that is opened here. Answers: Done, Refused.
struct TouchSession { std::uint64_t number = 0; };
// No reader finds anything of it from now on. Answers: Done (with the number of values dropped) when nothing is left, Refused.
struct EndSession { std::string id; };
// Answer: SessionListing. Rows in order of numbers, after `cursor` (0: from the start).
struct ListSessions { std::uint64_t cursor = 0; };

// The disk tier of this namespace: how it is, and work on it. verify reads everything and checks it, compact rewrites what is live; one of them
// at a time, look tells how far it is. clear drops all values on disk (those in memory stay) and is answered when that is
// durable. stop ends verify before its end. Answers: DiskReport, of clear Done with the number of values, Refused (not_found: values of this namespace are not kept on disk).
enum class DiskAction : std::uint8_t { look = 0, verify = 1, compact = 2, clear = 3, stop = 4 };
struct Disk { DiskAction action = DiskAction::look; };

using RequestVariant = std::variant<Hello, Acquire, Withdraw, TakeUp, Publish, Fail, Abandon, Progress, Put, Invalidate, Cancel, Subscribe,
                                    Unsubscribe, GetStatus, GetStats, List, Explain, Reserve, Fetch, Release, NewSession, OpenSession,
                                    RotateSession, TouchSession, EndSession, ListSessions, Disk>;
// One of them, with copying, moving and destruction compiled once (messages.cpp): else every file that has one compiles them for all.
struct Request : RequestVariant {
  using Variant = RequestVariant;
  using RequestVariant::variant;
  using RequestVariant::operator=;
  Request();
  Request(const Request&);
  Request(Request&&) noexcept;
  Request& operator=(const Request&);
  Request& operator=(Request&&) noexcept;
  ~Request();
};

// ---- daemon to client -----------------------------------------------------------------------------------------------

// Descriptors come with this frame, in this order, when wants_mapping was set: segment, pin page.
struct Welcome {
  std::uint16_t protocol_version = 0;
  std::string daemon_version;
  std::uint64_t epoch = 0;
  std::uint64_t connection = 0;      // the daemon's number of this connection: in logs and error texts
  std::uint64_t segment_bytes = 0;
  std::uint64_t pin_page_bytes = 0;
  std::uint32_t daemon_pid = 0;
};
// Where a value is. In the segment: `record` is its offset and the daemon has already set pin `pin` of this
// connection's pin page to it, so it stays until the client clears that pin: no second look-up that could miss (L3).
// Inline: record is 0 and `parts` hold the bytes (no mapping, no free pin, or the value could not be stored); the blobs that
// they name are lent to this connection until it releases them.
struct Value {
  std::uint64_t version = 0;         // of this key; rises with every publish
  std::uint64_t record = 0;
  std::uint32_t pin = 0;
  std::vector<Part> parts;
  std::uint64_t cost_us = 0;         // what computing it took
  bool waited = false;               // false: it was there already
  bool stale = false;                // past its time, within its grace
};
// How this lease came to the caller.
enum class LeaseCause : std::uint8_t { absent = 0, forced = 1, abandoned = 2, holder_died = 3, limit_passed = 4, not_taken_up = 5, stale = 6, ahead = 7, queued = 8 };
struct Lease {
  Token token;
  std::uint64_t limit_ms = 0;
  bool take_up = false;              // answer with TakeUp within limits::take_up_deadline, or the next waiter gets it
  LeaseCause cause = LeaseCause::absent;
};
struct Failure {                     // a computation failed, and said why
  std::string text;
  std::uint64_t age_ms = 0;
};
struct Cancelled { std::string text; };         // by whom
struct Refused { ErrorCode code = ErrorCode::internal; std::string text; };
// Why a published value is not there for others. invalidated: its key or one of its tags was, while it was computed; superseded: a value was put in
// its place meanwhile; upstream_invalidated: what it was computed from was; too_large: for the segment; session_full: its session has all that it may
// keep; not_worth_it: too much would have to go for it; no_room: all that could go is being read; upstreams_full: no more can be recorded of
// what values depend on; function_full: its function has all that its values may have.
enum class NotStored : std::uint8_t { not_said = 0, invalidated = 1, superseded = 2, upstream_invalidated = 3, too_large = 4, session_full = 5, not_worth_it = 6, no_room = 7, upstreams_full = 8, function_full = 9 };
struct Published {
  std::uint64_t version = 0;
  bool stored = false;               // false: only the waiters have it
  NotStored why = NotStored::not_said;
  std::string text{};                // the same in words; empty when it is stored
  bool durable = false;              // it was asked for, and the value is on stable storage
};
struct Done { std::uint64_t count = 0; };
// The daemon ended this holder's lease: cancelled, invalidated, superseded by a put, or its limit has passed.
// Under the id of the Acquire that got the lease. Not answered.
enum class LeaseEnd : std::uint8_t { cancelled = 0, invalidated = 1, superseded = 2, limit_passed = 3, not_taken_up = 4, session_ended = 5 };
struct LeaseLost { Token token; LeaseEnd why = LeaseEnd::cancelled; };

enum class SignalEvent : std::uint8_t { started = 0, progress = 1, done = 2, failed = 3, cancelled = 4, invalidated = 5, evicted = 6, expired = 7, abandoned = 8, stale = 9, queued = 10, session_ended = 11, loaded = 12 };
struct Signal {
  SignalEvent event = SignalEvent::started;
  std::string key;                   // session_ended: empty
  std::uint64_t epoch = 0;
  std::uint64_t sequence = 0;        // of the namespace
  std::uint64_t previous = 0;        // position this subscriber was at: everything between did not match its scope
  std::uint64_t version = 0;         // of the key; session_ended: the session's number
  double fraction = 0;               // progress
  std::string text;                  // progress, failed, cancelled: what was said; session_ended: why
  std::uint64_t queue_position = 0;  // queued: 1 is next
};
// Nothing that matches happened up to here: lets a quiet subscriber resume from a recent position.
struct Position { std::uint64_t epoch = 0; std::uint64_t sequence = 0; };

enum class KeyState : std::uint8_t { absent = 0, computing = 1, ready = 2, failed = 3, queued = 4 };
struct KeyStateEntry {
  std::string key;
  KeyState state = KeyState::absent;
  std::uint64_t version = 0;
  double fraction = 0;               // computing
  std::string text;                  // last progress or the failure
  std::uint64_t waiting = 0;
  std::uint64_t queue_position = 0;  // queued: 1 is next
};
enum class StateReason : std::uint8_t { initial = 0, slow = 1, history_gone = 2, other_epoch = 3 };
// The present state of a scope at a position: what a subscription starts with, and the explicit marker that something
// was dropped (every reason but initial). A key: that key. A function: its first entries. Everything: what is computed,
// and what is queued.
struct State {
  StateReason reason = StateReason::initial;
  std::uint64_t epoch = 0;
  std::uint64_t sequence = 0;
  std::vector<KeyStateEntry> entries;
  bool truncated = false;
};

using Number = std::variant<std::uint64_t, double, std::string>;
using Report = std::vector<std::pair<std::string, Number>>;
struct StatusReport { Report fields; };
struct FunctionStatistics {
  std::string function;
  Report fields;
};
struct Statistics {
  Report fields;
  std::vector<FunctionStatistics> functions;
  bool truncated = false;            // there are more functions than fit into one frame
};
struct ListRow {
  std::string key;
  KeyState state = KeyState::absent;
  std::uint64_t version = 0;
  std::uint64_t bytes = 0;
  std::string content_type;
  std::uint64_t cost_us = 0;
  std::uint64_t age_ms = 0;
  std::uint64_t ttl_left_ms = 0;     // 0: no time-to-live
  std::uint64_t waiting = 0;
  std::string holder;                // "pid 4711 (gunicorn)" while computing
  std::uint64_t parts = 0;
  std::uint64_t blob_bytes = 0;      // of `bytes`: those in blobs
  std::uint64_t pins = 0;            // readers that have it in their hands
  std::uint64_t grace_left_ms = 0;   // usable for so long, being stale or after ttl_left_ms
  bool stale = false;
  std::uint64_t hits = 0;            // that the daemon knows of: readers report some of theirs
  std::uint64_t queue_position = 0;  // queued: 1 is next
  std::uint64_t under_way_ms = 0;    // computing, queued: for so long
};
// What a value was computed from, and what has become of that.
enum class UpstreamState : std::uint8_t { current = 0, outdated = 1, invalidated = 2 };
struct UpstreamRow {
  std::string key;
  std::uint64_t version = 0;         // that it was computed from
  UpstreamState state = UpstreamState::current;
  bool present = false;              // that version is the key's value
  std::string text;                  // what happened: "was replaced by pid 4711 (gunicorn)"; empty: nothing
  std::string origin;                // the key to which that happened, when it came from further up; empty: to this one
};
struct PartRow {
  std::string name;
  std::string content_type;
  std::uint64_t bytes = 0;
  std::uint64_t blob = 0;            // 0: in the segment
};
struct Listing {
  std::vector<ListRow> rows;
  std::string cursor;                // empty: that was all
};
// Why a value is stale: fresh: it is not, or there is none; time: its time-to-live is over; invalidated: it was, softly; upstream: what it was
// computed from has changed.
enum class StaleCause : std::uint8_t { fresh = 0, time = 1, invalidated = 2, upstream = 3 };
struct Explanation {
  ListRow row;
  std::vector<std::string> lines;    // sentences for people
  std::vector<PartRow> parts;
  StaleCause stale_cause = StaleCause::fresh;
  std::uint64_t stale_ms = 0;        // stale for so long
  std::string softened_by{};         // who invalidated this very value softly; empty: nobody
  std::uint64_t softened_ms = 0;     // so long ago
  std::vector<UpstreamRow> upstreams{};  // the first ones
  std::uint64_t upstreams_all = 0;   // how many there are
  std::uint64_t dependants = 0;      // values that were computed from the key
};

// Comes with a descriptor: of a reservation, to write to, or of a published blob, to read from. `bytes` is its size.
struct Blob {
  std::uint64_t blob = 0;
  std::uint64_t bytes = 0;
  std::uint64_t receipt = 0;         // for the next Reserve or Fetch
  bool file = false;                 // not sealed memory: a file of the daemon's, which only it may write (SHM.md, "Blobs")
};

// What a client needs to use a session: its number for keys, and the generation that its table entry has as long as this id is good.
struct SessionOpened {
  std::uint64_t number = 0;
  std::uint64_t generation = 0;
  std::string id;                    // of a new or rotated one: nobody is told it twice
  std::uint64_t idle_ttl_ms = 0;     // 0: never by idling
  std::uint64_t absolute_left_ms = 0;  // 0: never by age
};
struct SessionRow {
  std::uint64_t number = 0;
  std::string digest;                // the first digits of the id's SHA-256, hexadecimal
  std::uint64_t bytes = 0;           // of its values
  std::uint64_t entries = 0;
  std::uint64_t age_ms = 0;
  std::uint64_t idle_ms = 0;
  std::uint64_t idle_left_ms = 0;    // 0: never by idling
  std::uint64_t absolute_left_ms = 0;  // 0: never by age
};
struct SessionListing {
  std::vector<SessionRow> rows;
  std::uint64_t cursor = 0;          // 0: that was all
};

// Names and numbers as `oncectl disk status --json` shows them.
struct DiskReport { Report fields; };

using ReplyVariant = std::variant<Welcome, Value, Lease, Failure, Cancelled, Refused, Published, Done, LeaseLost, Signal, Position, State,
                                  StatusReport, Statistics, Listing, Explanation, Blob, SessionOpened, SessionListing, DiskReport>;
struct Reply : ReplyVariant {
  using Variant = ReplyVariant;
  using ReplyVariant::variant;
  using ReplyVariant::operator=;
  Reply();
  Reply(const Reply&);
  Reply(Reply&&) noexcept;
  Reply& operator=(const Reply&);
  Reply& operator=(Reply&&) noexcept;
  ~Reply();
};

// Type numbers in the frame header: requests count from 1 in the order of Request, replies from 64 in that of Reply.
inline constexpr std::uint16_t first_request_type = 1;
inline constexpr std::uint16_t first_reply_type = 64;
std::uint16_t type_of(const Request& request);
std::uint16_t type_of(const Reply& reply);
std::string_view name_of(SignalEvent event);   // the words of `oncectl watch --json`
std::string_view name_of(KeyState state);
std::string_view name_of(LeaseEnd why);
std::string_view name_of(LeaseCause cause);
std::string_view name_of(UpstreamState state);  // the words of `oncectl explain --json`
std::string_view name_of(StaleCause cause);

// Appends one whole frame (header and payload) to `out`. Texts above their limit are cut and made valid UTF-8. A State,
// Listing, Statistics or Explanation that would not fit into a frame loses entries from its end and says so (truncated,
// cursor). Everything else is the caller's to keep within limits.hpp: the peer refuses what is above.
void encode(RequestId id, const Request& request, std::string& out);
void encode(RequestId id, const Reply& reply, std::string& out);

// A payload of a type, as frame.hpp delivers it. Checks every length against limits.hpp and every key with check_key().
Result<Request> decode_request(std::uint16_t type, std::string_view payload);
Result<Reply> decode_reply(std::uint16_t type, std::string_view payload);

}  // namespace onced::protocol
