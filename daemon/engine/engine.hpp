// Every decision of the daemon for one namespace: who computes, who waits, what is kept, who is told.
//
//   apply(event, now, effects): one step. Pure: no clock, no I/O, no threads, no locks, no logging. The same events at
//   the same times give the same effects; the simulation in tests/simulation/ lives from that.
//
// Ownership: owns leases, waiters, catalog, reservations, signals and statistics; borrows the RecordStore, the BlobStore
//            and the DiskTier, which outlive it.
//            Connections are ids; an event for one that is gone is ignored.
// Threads:   the engine's strand (one at a time). Time never goes back; an earlier `now` counts as the latest one.
// Invariant: check_invariants() says them all, in prose and in code.
// Errors:    whatever a client says is answered (Refused), never asserted.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include <onced/protocol/limits.hpp>
#include <onced/protocol/messages.hpp>

#include "engine/blob_store.hpp"
#include "engine/disk_tier.hpp"
#include "engine/record_store.hpp"
#include "engine/retention.hpp"
#include "engine/session_settings.hpp"
#include "engine/types.hpp"

namespace onced::engine {

// ---- what happens ---------------------------------------------------------------------------------------------------

// Who is at the other end, as the kernel says. Connections with the same pid at the same time are of one process.
struct Process {
  std::uint32_t uid = 0;
  std::uint32_t pid = 0;  // in the daemon's pid namespace; 0: not visible from there, and each connection is a process
};
// A connection said HELLO and is answered with Welcome by the host. `description` is for people: "pid 4711 (gunicorn)".
struct Connected {
  ConnectionId connection;
  std::string description;
  Process process{};
};
// The socket is gone in every process, or the host ended it: leases, waits and subscriptions of it end.
struct Disconnected { ConnectionId connection; };
// The process that connected has died (pidfd); a child may still hold the socket. Leases, waits and subscriptions end;
// the connection's pins stay until Disconnected.
struct ProcessDied { ConnectionId connection; };
struct Requested {
  ConnectionId connection;
  protocol::RequestId id;
  protocol::Request request;
  std::optional<SessionSecret> secret{};  // with NewSession and RotateSession: fresh from getrandom(2), never used before
};
// So many Signal/Position/State messages of this connection have left for its socket since the last such event.
struct SignalsSent {
  ConnectionId connection;
  protocol::RequestId subscription;
  std::uint32_t count = 1;
};
// Time has passed: send it at next_deadline() at the latest. Never needed earlier. A deadline that has come already asks
// for a turn: there is work left that was cut into steps, and other events may well come before its next one.
struct Ticked {};
// SIGTERM: every waiter gets a final answer (unavailable), new requests are refused.
struct Draining {
  std::string why = "the daemon is shutting down";  // for whoever asks, or waits for an answer
};

using Event = std::variant<Connected, Disconnected, ProcessDied, Requested, SignalsSent, Ticked, Draining, DiskWritten, DiskLoaded, SessionsFound>;

// ---- what is to be done ---------------------------------------------------------------------------------------------

// In this order, per connection: effects of one step are carried out before the next step.
using SharedParts = std::shared_ptr<const std::vector<protocol::Part>>;
struct Send {
  ConnectionId connection;
  protocol::RequestId id;
  protocol::Reply reply;
  SharedParts parts{};  // those of a Value that travels inline, in place of its own: one copy for all who are told it
  BlobId blob{};        // not 0: its descriptor goes with the first byte of this reply; it is there when the effect is carried out
};
// The reply as it goes over the wire.
protocol::Reply whole_reply(const Send& send);
// The client broke the protocol (the text says how): send what is queued, then end the connection.
struct Close {
  ConnectionId connection;
  std::string text;
};
// One line for the operator's log; the host decides where it goes.
struct Note {
  enum class Level : std::uint8_t { debug, info, warning } level = Level::info;
  std::string text;
};
using Effect = std::variant<Send, Close, Note>;
using Effects = std::vector<Effect>;

struct Settings {
  std::uint64_t epoch = 0;  // random per daemon start
  HashSecret hash_secret{};
  std::string daemon_version;
  std::uint32_t daemon_pid = 0;
  Duration lease_limit_default = limits::lease_limit_default;
  Duration take_up_deadline = limits::take_up_deadline;
  Duration time_word_period = limits::time_word_period;
  int holder_deaths_max = limits::holder_deaths_max;
  Duration holder_deaths_memory = limits::holder_deaths_memory;
  RetentionSettings retention{};
  std::map<std::string, std::size_t, std::less<>> max_concurrent{};  // computations at once, by function; not there, or 0: any number
  std::map<std::string, std::uint64_t, std::less<>> function_bytes_max{};  // of a function's values together; not there, or 0: as much as has room
  SessionSettings sessions{};
  std::uint64_t blob_bytes_max = std::uint64_t{1} << 30;  // memory of all blobs; the host knows the machine
  std::uint64_t part_bytes_max = limits::part_bytes_max;  // more than this default is cut to it: the record's format says so
  std::uint64_t stored_value_bytes_max = limits::stored_value_bytes_max;
  std::size_t requests_in_flight_per_connection_max = limits::requests_in_flight_per_connection_max;
  std::size_t waiters_per_key_max = limits::waiters_per_key_max;
  std::size_t under_way_bytes_per_connection_max = limits::under_way_bytes_per_connection_max;
  std::size_t under_way_bytes_max = limits::under_way_bytes_max;
  std::size_t blobs_reserved_per_connection_max = limits::blobs_reserved_per_connection_max;
  std::uint64_t reserved_bytes_per_connection_max = limits::reserved_bytes_per_connection_max;
  std::uint64_t reserved_bytes_per_uid_max = limits::reserved_bytes_per_uid_max;
  std::uint64_t pinned_bytes_per_connection_max = limits::pinned_bytes_per_connection_max;
  std::size_t invalidations_per_connection_max = limits::invalidations_per_connection_max;
  std::size_t invalidations_max = limits::invalidations_max;
  std::size_t subscriptions_per_connection_max = limits::subscriptions_per_connection_max;
  std::size_t subscriptions_max = limits::subscriptions_max;
  std::size_t signals_queued_per_subscription_max = limits::signals_queued_per_subscription_max;
  std::size_t signal_history = limits::signal_history;
  std::size_t invalidated_per_step_max = limits::invalidated_per_step_max;
  std::size_t dependency_edges_max = limits::dependency_edges_max;
  std::size_t dependency_key_bytes_max = limits::dependency_key_bytes_max;
};

class Engine {
 public:
  // Without a disk tier values are kept in memory only.
  Engine(Settings settings, RecordStore& store, BlobStore& blobs, DiskTier* disk = nullptr);
  ~Engine();
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  // Appends to `effects`.
  void apply(Event event, Time now, Effects& effects);

  // When the next Ticked is due at the latest; nothing while only events from outside can change anything.
  std::optional<Time> next_deadline() const;

  // Settings that a reload may change; the epoch, the secret and the identity stay as they are.
  void reconfigure(const Settings& settings);

  // Counters and gauges as `oncectl stats` shows them; without running a step.
  protocol::Statistics statistics(Time now) const;
  // A turn of the loop that runs this engine took so long: no step, a number for the statistics.
  void turn_took(Duration took, Time ended);

  // Aborts with a sentence when an invariant is broken. For tests: walks everything.
  void check_invariants() const;
  // The tags by which a key is meant now, in no order. For tests.
  std::vector<std::string> tags_of(std::string_view key) const;
  // Whether the key waits for the disk. For tests.
  bool is_loading(std::string_view key) const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace onced::engine
